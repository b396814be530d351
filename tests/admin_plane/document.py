"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "319d29dbcf848a7dde8924ab4e848b02d15e4ef2f86670bb70952950c0226fbd"
