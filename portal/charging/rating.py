"""What a record costs before anyone's balance is looked at: rounding, and splitting by time.

Owns: how a record's units become charged units on stretches of the contract. Pure apart from its inputs' types; never
draws, never counts. Worked example: docs/charging.md.
"""

from __future__ import annotations

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
    weights, starts = [], []
    for stretch in stretches:
        starts.append(max(used_at, stretch.starts))
        end = ended_at if stretch is stretches[-1] else min(ended_at, stretch.ends)
        duration = parse_canonical(end) - parse_canonical(starts[-1])
        weights.append(duration // RESOLUTION)
    shares = split_in_proportion(charged_units, weights)
    parts = list(zip(stretches, starts, shares, strict=True))
    return [part for part in parts if part[2]] or parts[:1]
