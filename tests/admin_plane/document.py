"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "c2a6bd65c4f5b07cfd3b32e4ff2e64d3f33fcf0a13cc25c45d624567469d22fb"
