"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "7d16f1c53d790b408baae7c469be72ac09472d3055d0b775d6cfed02ab3f8d71"
