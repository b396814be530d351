"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "e222ca862a6f1b21a4b77aeed7dc407bbe93832e4d988b4c7ac1cdf9524773e0"
