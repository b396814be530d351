"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "355cf73a1c1fa5c0a60d73777ba39e69df8a32ed2b9714ad33543f18f96fae88"
