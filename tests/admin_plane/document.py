"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.10.0"
SHA256 = "cd3c37d04aedda31b560f9528cde33cdae7a63b42ad64c66f07aab388ce3d470"
