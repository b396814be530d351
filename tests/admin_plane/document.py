"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "e4ae49dcd23e03a4f07e1a7d814434740425752efae10aeb45ee1acffa077db1"
