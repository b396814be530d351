"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "7fdd9f4b840f4eaaf82811f6e02dfb714829a1c188333297edc2ce3bfdc72079"
