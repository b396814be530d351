"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.8.2"
SHA256 = "b02bb7fe70cfef1e184fd37e4f29f0da00d4daab069597b39a3e46988e82764b"
