"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "c3a95d42e1b650f1856bb0a59debdf7cf4b7b3e4a1569b158c2b06cc14cb5baa"
