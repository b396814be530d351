"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "25e5bf04ac56d68779e39d2b2c561416150d2672df54396a41c4e3c00207bcfb"
