"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "1d10755d0d8cf45b6d160105a55afc2ebc3f014c10a3e9884b312664b61829dc"
