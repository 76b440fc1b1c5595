"""What of a page is live, read from its HTML as static/js/live.js would find it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source"}


@dataclass
class LiveParts:
    """Figures, attributes, fragments (as text) and ids of rows, by name."""

    figures: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    fragments: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)


def squeezed(text: str) -> str:
    """Text without the white space between."""
    return "".join(text.split())


def text_of(html: str) -> str:
    """The text of a piece of HTML."""
    reader = _Reader()
    reader.feed(html)
    return squeezed("".join(reader.texts))


def live_parts(html: str) -> LiveParts:
    """Read a page."""
    reader = _Reader()
    reader.feed(html)
    return reader.parts


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts = LiveParts()
        self.texts: list[str] = []
        self._open: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        mine = dict(attributes)
        if name := mine.get("data-live-attributes"):
            self.parts.attributes[name] = {key: value or "" for key, value in mine.items()}
        if name := mine.get("data-live"):
            self.parts.figures[name] = ""
        if name := mine.get("data-live-fragment"):
            self.parts.fragments[name] = ""
        if name := mine.get("data-live-rows"):
            self.parts.rows[name] = []
        if (row := mine.get("data-row")) and (rows := self._enclosing("data-live-rows")):
            self.parts.rows[rows].append(row)
        if tag not in VOID:
            self._open.append((tag, mine))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if name := self._enclosing("data-live"):
            self.parts.figures[name] += data
        if name := self._enclosing("data-live-fragment"):
            self.parts.fragments[name] += squeezed(data)

    def _enclosing(self, attribute: str) -> str | None:
        return next((a[attribute] for _, a in reversed(self._open) if a.get(attribute)), None)
