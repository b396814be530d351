"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "427cdeefcff8f60f0ae85d75dbad842557449fd7ff07d5bc1d6e5c04400e9e6c"
