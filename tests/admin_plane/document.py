"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.8.1"
SHA256 = "ec089264e1c35a9015f13b1ee1f67ee4dee7cadab1e96d826c9a50e1a4fb728b"
