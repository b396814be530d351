"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.6.0"
SHA256 = "86631c41a8bc85779b33b9bdb402f2afcbd0b7768b2d5a73a24ce07df87bfb14"
