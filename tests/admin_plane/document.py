"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "0c1fe0928ed2955558b80c86a8cdc388ef810e9dc02c4b16b50b0189163fa236"
