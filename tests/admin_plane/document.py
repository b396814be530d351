"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "c15670ea46f0302fa9fd8d03a1dcf42d6781ac98079ed603ddf940fa62e31ca3"
