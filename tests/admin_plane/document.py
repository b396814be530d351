"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.5.1"
SHA256 = "f40beb65363aa45275d79571b9f842d441c550e6a4dbf9d60f48983e9d5db2b6"
