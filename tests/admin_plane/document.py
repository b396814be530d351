"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "0efe86c56077ed9d7753407a58ff4356599261646d948e8d96b5a84c65da25c2"
