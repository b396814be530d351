"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "89c336a1f04bfda33bbc09b55555950302a5de956e83fbc5f55b04bc86747307"
