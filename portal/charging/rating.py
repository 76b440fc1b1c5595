"""What a record costs before anyone's balance is looked at: rounding, and splitting by time.

Owns: how a record's units become charged units on stretches of the contract. Pure apart from its inputs' types; never
draws, never counts. Worked example: docs/charging.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from balances.units import split_in_proportion
from portal.charging.records import parse_canonical
from portal.charging.terms import Stretch

#: Sessions are weighed by whole milliseconds.
RESOLUTION = timedelta(milliseconds=1)


def split_by_time(
    charged_units: int, used_at: str, ended_at: str, stretches: list[Stretch]
) -> list[tuple[Stretch, str, int]]:
    """A session's charged units over the stretches it touches: (stretch, start of the part, units).

    Rounded once for the whole record, then shared in proportion to time (largest remainder), so that the parts sum to
    the whole and a second stretch never costs a second rounding. What lies beyond the last stretch stays with it;
    stretches without a share are left out, but a record without units keeps its first.
    """
    spans = spans_of(used_at, ended_at, stretches)
    shares = share_by_time(charged_units, spans)
    parts = [(stretch, starts, share) for stretch, (starts, _), share in zip(stretches, spans, shares, strict=True)]
    return [part for part in parts if part[2]] or parts[:1]


def spans_of(used_at: str, ended_at: str, stretches: list[Stretch]) -> list[tuple[str, str]]:
    """From when until when a session lies in each of the stretches that it touches; the last one has the rest."""
    last = stretches[-1]
    return [
        (max(used_at, stretch.starts), ended_at if stretch is last else min(ended_at, stretch.ends))
        for stretch in stretches
    ]


def share_by_time(charged_units: int, spans: Sequence[tuple[str, str]]) -> list[int]:
    """Units in proportion to time, by whole milliseconds; they sum to the whole (largest remainder)."""
    return split_in_proportion(
        charged_units, [(parse_canonical(ends) - parse_canonical(starts)) // RESOLUTION for starts, ends in spans]
    )
