"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "e079a8b8e12e41a37bdbe8d1bb010626c25f3d62c824d605f5563a72dbb9ef7b"
