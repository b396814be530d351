"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "1da0a0b1661bd45c2f6741992bf83ec9d36eff7f7d31910859c36be9942d97cf"
