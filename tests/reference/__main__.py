"""Writes all that is generated, and says which files changed."""

from tests.reference.generated import files

for path, text in files():
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(path)  # noqa: T201
