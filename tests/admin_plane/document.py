"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.10.1"
SHA256 = "154f27d4f3742290a8552fe64c4d6eed49db5934af20b016c60956b14d14bbf5"
