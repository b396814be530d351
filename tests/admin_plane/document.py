"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "b1b4e2e413630c2fc90a2e995a2f0a76ee7fd11f26c2035e092b5c230f484e5c"
