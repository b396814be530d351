"""The document that `info.version` was last raised for; see test_version_moves_with_the_document."""

VERSION = "0.12.0"
SHA256 = "1e3838948644ac43dc7cddce128db52dd8944bd9cb43ce57f56c1357869e33f9"
