"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.8.2"
SHA256 = "b43be73a9e098734f8c1d464c6c870b3c4be15d0db06e6cdb4adc54adcb06b9a"
