"""Lists of numbers and how numbers begin, each with the time in which it holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Entry:
    """A number, or how numbers begin, in digits with country code; from inclusive, until exclusive, None: open."""

    digits: str
    is_prefix: bool = False
    starts: datetime | None = None
    ends: datetime | None = None


class NumberSet:
    """Numbers and prefixes. Asking costs one look-up a length of prefix that occurs."""

    __slots__ = ("_lengths", "_numbers", "_prefixes")

    def __init__(self, entries: Iterable[Entry]):
        self._numbers: dict[str, tuple[_Span, ...]] = {}
        self._prefixes: dict[str, tuple[_Span, ...]] = {}
        for entry in entries:
            kept = self._prefixes if entry.is_prefix else self._numbers
            digits = entry.digits.removeprefix("+")
            kept[digits] = (*kept.get(digits, ()), (entry.starts or _BEGINNING, entry.ends or _END))
        self._lengths = tuple(sorted({len(prefix) for prefix in self._prefixes}))

    def holds(self, digits: str, at: datetime) -> bool:
        """Whether a number is in the list at that time."""
        return any(starts <= at < ends for starts, ends in self._spans(digits))

    def edges(self, digits: str) -> set[datetime]:
        """Instants at which a number may come into the list or leave it."""
        return {edge for span in self._spans(digits) for edge in span if edge not in (_BEGINNING, _END)}

    def _spans(self, digits: str) -> Iterator[_Span]:
        yield from self._numbers.get(digits, ())
        for length in self._lengths:
            yield from self._prefixes.get(digits[:length], ()) if length <= len(digits) else ()
