"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "59e67753d6b34ba0f3254a0cd1c0fb1c40351ce6c12ffd9a16302db1d9f019fc"
