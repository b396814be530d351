"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "63abcf1a6346358556683a4ddbe233194a0da7dab822dc4977d1abb6b0f68331"
