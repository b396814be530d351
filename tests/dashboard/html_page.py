"""Reads an HTML page as a browser does, as far as tests need it: its tables, its elements and its texts."""

from collections.abc import Sequence
from html.parser import HTMLParser

NOT_SHOWN = ("style", "title", "desc")


class HtmlPage(HTMLParser):
    """A page that is parsed."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []  # names and attributes, in their order
        self.tables: dict[str, list[list[str]]] = {}  # by caption: rows of cells
        self.texts: list[str] = []  # that are shown
        self.title = ""
        self._open: list[str] = []
        self._caption = ""
        self.feed(content.decode())
        self.close()
        assert self._open == [], "an element is not closed"

    @property
    def text(self) -> str:
        """All that is shown, with a space after each text."""
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note an element; see HTMLParser."""
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables[self._caption].append([])
        if tag in ("th", "td"):
            self.tables[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """End an element; see HTMLParser."""
        assert self._open.pop() == tag
        if tag == "caption":
            self.tables[self._caption] = []

    def handle_data(self, data: str) -> None:
        """Note a text; see HTMLParser."""
        if self._open == ["html", "head", "title"]:
            self.title += data
        if not self._open or self._open[-1] in NOT_SHOWN:
            return
        self.texts.append(data)
        if "caption" in self._open:
            self._caption += data
        elif "tr" in self._open:
            self.tables[self._caption][-1][-1] += data
