"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.6.1"
SHA256 = "68c0233cc6f34761d4c1f3e8bd9f4c22a9a6af3c675893cbb51e8ace2be9fdc9"
