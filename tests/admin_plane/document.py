"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "edf2c607f40abcb90e6962ccbbdba48e8c1d2ab86677b6979bc80be5e018e2a3"
