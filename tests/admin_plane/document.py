"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "171c97663c211519be8c1bde73198a829b3e7f353a2ca6af1f0941c22d255013"
