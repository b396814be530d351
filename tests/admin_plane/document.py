"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "3b1c7779c4754c54582d5652d727bf738b2187ff93b66957360a3585df65584d"
