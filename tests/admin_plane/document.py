"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "b05d2fffe0b66a6a11b2cd60ffb9b5c84f475c973d4c87738683748ca59578b9"
