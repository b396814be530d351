"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.11.0"
SHA256 = "461798d494235696cf167538a9a1c9dc98598cdb4dabc94b7a90c6c7383f3d09"
