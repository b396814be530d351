"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "67fcaf2e0446c065c48fb82e6009eb384a35e636e2fc40d3cf865fd0c0bd87d4"
