"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.9.1"
SHA256 = "ce562967824a499772c51367fa4637be7be862793faa73361699d3605de9734d"
