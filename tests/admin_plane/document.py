"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "b196e47aae3b3403cb646fb5c0b210bbe18bdb2339740fb5c33dd564600bc979"
