"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "35db75fa01a7bae76b7fc868233d791999db4979c526067f583b7d61d5c4ac6f"
