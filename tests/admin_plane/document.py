"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.14.0"
SHA256 = "5e0150530589f77f2ad71758e3d61359169ae91e9fbea192e5dc203cd1b86ee3"
