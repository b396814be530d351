"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "a4d1e656918f4af7e85af99dacec9805c8020ba77493ac2c0a9f69a0a4be2864"
