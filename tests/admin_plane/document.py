"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.6.0"
SHA256 = "addb0bf3369ca090062606035dc5a7689b377f10637191fe59b2027ff8fd154b"
