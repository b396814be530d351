"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "a25cd6983db2c86da6cc0914f3030ab05c66600829acec0a46689178b3b3e35c"
