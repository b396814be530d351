"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "1097ad0490a5f3c45c0bb075c278f6b4e614cf5ae2b65f94208e495d9f352dfc"
