"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.10.1"
SHA256 = "ec205f6cf63a443ec2a3d5c43cb2fcbb01882e447cef3050ec3d6087ba7c7ee1"
