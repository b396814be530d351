"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.7.0"
SHA256 = "5dd15a8ac69bf61bc1faee54ee1e0f51e1dd84241f726dadbd3624a0a2c3f29a"
