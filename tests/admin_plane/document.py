"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "ee44788e9cfbdf1eaae181309bc33150a01229d4d811c0564e4fcd8144faf8c9"
