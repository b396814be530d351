"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "9fa357de7b0cc72cfed0c19823a9a10056aaf2199d452f8d077fa9abb7b8fef1"
