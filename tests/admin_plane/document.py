"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "455e131a5d5c97dee17aca47e5bf5f96b5a7f257a292e6ccf4d31910796afde5"
