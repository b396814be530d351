"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.9.0"
SHA256 = "d7d69bd021f61d4b8ca87bfa9b839b1cfe0631b06dede9e66e8de8857bef34c4"
