"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.8.2"
SHA256 = "a32e1082c08607d7f2c7e7ec75de82c31f4b2185489d9321dd40d457e7c28697"
