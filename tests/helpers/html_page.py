"""An HTML page as its reader sees it."""

from html.parser import HTMLParser
from pathlib import Path

_VOID = ("meta", "img", "br", "wbr")


class Parsed(HTMLParser):
    """A page, checked: all tags are closed, and it needs no other file.

    Attributes:
        tags: the names of all elements with their attributes.
        words: all text, but not styles and scripts.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))
        self.close()
        assert self._open == []
        for tag, attributes in self.tags:
            assert all(attributes.get(name, "data:image/").startswith("data:image/") for name in ("src", "href"))
            assert tag != "link"

    def all(self, tag: str) -> list[dict]:
        """The attributes of all elements of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.words += data
