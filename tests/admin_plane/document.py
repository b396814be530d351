"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.13.0"
SHA256 = "62921ddcd45c35610928a34b969b1fd1f32dc4e89740720edc67f8b17818de93"
