"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "775618d9c0b96bc2a2eebc0b2e2495fe68a1071f01880392a8b70392521a9153"
