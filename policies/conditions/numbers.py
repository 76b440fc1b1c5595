"""Lists of numbers and how numbers begin, each with the time in which it holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

_Span = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A number, or how numbers begin, in digits with country code; from inclusive, until exclusive, None: open."""

    digits: str
    is_prefix: bool = False
    starts: datetime | None = None
    ends: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether it holds at that time."""
        return (self.starts is None or self.starts <= at) and (self.ends is None or at < self.ends)


class NumberSet:
    """Numbers and prefixes. Asking costs one look-up a length of prefix that occurs."""

    __slots__ = ("_lengths", "_numbers", "_prefixes", "is_timeless")

    def __init__(self, entries: Iterable[Entry]):
        self._numbers: dict[str, tuple[_Span, ...]] = {}
        self._prefixes: dict[str, tuple[_Span, ...]] = {}
        for entry in entries:
            kept = self._prefixes if entry.is_prefix else self._numbers
            digits = entry.digits.removeprefix("+")
            kept[digits] = (*kept.get(digits, ()), (entry.starts, entry.ends))
        self._lengths = tuple(sorted({len(prefix) for prefix in self._prefixes}))
        #: Whether every number is in it for ever.
        self.is_timeless = not self.all_edges()

    def holds(self, digits: str, at: datetime) -> bool:
        """Whether a number is in the list at that time."""
        spans = self._numbers.get(digits)
        if spans and _covers(spans, at):
            return True
        for length in self._lengths:
            spans = self._prefixes.get(digits[:length])
            if spans and _covers(spans, at):
                return True
        return False

    def edges(self, digits: str) -> set[datetime]:
        """Instants at which a number may come into the list or leave it."""
        found = list(self._numbers.get(digits, ()))
        for length in self._lengths:
            found += self._prefixes.get(digits[:length], ())
        return {edge for span in found for edge in span if edge is not None}

    def all_edges(self) -> set[datetime]:
        """Instants at which any number may come into the list or leave it."""
        kept = (*self._numbers.values(), *self._prefixes.values())
        return {edge for spans in kept for span in spans for edge in span if edge is not None}


def _covers(spans: tuple[_Span, ...], at: datetime) -> bool:
    for starts, ends in spans:  # noqa: SIM110  # a loop is faster than any() with a generator
        if (starts is None or starts <= at) and (ends is None or at < ends):
            return True
    return False
