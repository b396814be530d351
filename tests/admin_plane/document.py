"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.15.0"
SHA256 = "d264e3a9e00fc5b25a5bda4d6562680930dc6cf627fcd3ec71c171e20a63eea9"
