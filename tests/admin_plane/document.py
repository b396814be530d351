"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.10.1"
SHA256 = "893a42f6f03267aad76bb095355239f05b73af65a73574103120d7933cb78f88"
