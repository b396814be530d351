"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "2532f537ca7c4fe404bce7fddeb1be552059c20b7cc42b1f3bf8a3ef5d284b99"
