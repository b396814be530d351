"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "fbf3402be8c3f3499f3a094a956f4a715c6e1da17c7ebea8c021e114fe0ff812"
