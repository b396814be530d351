"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "6f6b9ca69f666d7350abe6c5d1e20912daa0762d744f69a7834fc483a9586ebf"
