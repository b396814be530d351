"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.15.0"
SHA256 = "63b41874216f47eb9f3916fe9bbda688e5bc0cec4e356e5d1a221adfa0e17205"
