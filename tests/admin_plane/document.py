"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "9b11cdeabb176b73a1ae5d14db5854927d8bf7e11f32a36c5f34f89edf6b17ef"
