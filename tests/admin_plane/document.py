"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "9da284e1ef2072742151b90a15338aff5d70a1b4c5b11522213051cdff2b6d9f"
