"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "e40fb11dcb8436a1a5eb1fed07fab0e8303d4d50382c6555e3176040985ea556"
