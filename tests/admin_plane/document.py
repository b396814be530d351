"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.5.0"
SHA256 = "a0b432de33e45fec5df8cd5eaa017f38d440edf1875d88604997db129699ca48"
