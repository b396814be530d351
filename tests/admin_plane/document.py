"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "494e4919f6faf6b7b25fe5b9e8547236269c1b1c7896c8f82547828e7e44ee4e"
