"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "9187d2c4d30389de69ea69e8d259676700c359d9922640152e0ee60b4ba3456a"
