"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "589a9a4af88827ac1ad1b8b781f52e5528e5bf2861d1e735a2c607a85ff17a46"
