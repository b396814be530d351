"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "fe54ade33b93a9403bb42f5fa56fde35eec970fb1ae486e05b63e0316508db57"
