"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "07c1481c5f36304285d668cf2b828172543c92279af77cc871a6a4713c913872"
