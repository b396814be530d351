"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "31278baa169ed45a2b65c78fd57ac656304420f1345680427ad576e4a4e4140e"
