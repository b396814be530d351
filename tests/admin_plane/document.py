"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.8.0"
SHA256 = "dbafa076d4661381944d982c2f846473aa7a5c56c00f47b7aae40199661ba200"
