"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "d6a46f3fb721380bec55b40060d7a290b6f93810b66e8bed197e25fa5dcbe47c"
