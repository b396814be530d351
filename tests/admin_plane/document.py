"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "a00a693da4f0e0dae83ab967db780bcaa16dc2b3932ab53b0bf24d1306f5d71b"
