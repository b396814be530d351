"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "2965e916fd8f533bb030b51dc4956c26e50417517cde401986a5b88d9c0d5f2e"
