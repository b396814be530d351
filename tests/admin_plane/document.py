"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "80309f44aefb51bbbc0dab032193cca8c5c59af517ce7e3391dd96222d70871b"
