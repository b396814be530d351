"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.7.0"
SHA256 = "e02a2c22fd49f01e705216ca126b24dc204a994b40b82c20d242f9461d23d09f"
