"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "6ce73550ea91731986ded3db9244161829d92e9a0937a297fc288bbddc969695"
