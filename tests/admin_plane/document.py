"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "85deb302ac269a7921f9d09c1db68982aa89e7d798af147d983acd886f44c5ee"
