"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "c25af239481336f4351cc9b49091e05d2ead6e5bf1eca3a006e89699a5e15aa2"
