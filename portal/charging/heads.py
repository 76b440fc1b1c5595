"""Balances in memory: a bucket's free units, and an owner's usage against the marks on it.

Owns: drawing on a bucket, bringing units of a closed bucket back for late usage, advancing a meter. Pure: no database,
no clock; `portal.charging.state` loads what stands here, `portal.charging.charger` posts what became of it.

There is one `BucketHead` a bucket in an enterprise's memory, however many cycles speak of it: a carried-over bucket is
drawn in its own cycle and given back from by late usage of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from balances.models.ledger import EntryKind

#: Corrections to be posted: (bucket id, entry kind) -> units, with the sign they are posted with.
Corrections = dict[tuple[int, int], int]


class BucketHead:
    """A bucket's free units in memory, and what has been drawn since they were loaded."""

    __slots__ = (
        "closed", "cycle_start", "drawn", "expired", "held", "id", "owner", "remaining", "service", "successor",
        "zone_ids",
    )  # fmt: skip

    def __init__(
        self, bucket_id: int, service: int, zone_ids, remaining: int, expired: int, held: int, *,
        is_closed: bool, owner: tuple[int, int], cycle_start,
    ):  # fmt: skip
        self.id, self.service, self.zone_ids = bucket_id, service, frozenset(zone_ids)
        self.remaining, self.expired = remaining, expired
        self.held = held  # granted and received
        self.closed, self.owner, self.cycle_start = is_closed, owner, cycle_start
        self.drawn = 0  # consumed since the last posting
        self.successor: BucketHead | None = None

    def covers(self, zone_id: int) -> bool:
        """Whether units may be used in a zone."""
        return not self.zone_ids or zone_id in self.zone_ids

    def bring_back(self, wanted: int, corrections: Corrections) -> Iterator[tuple[BucketHead, int]]:
        """Bring units of this closed bucket back for late usage: first what expired, then what was carried over and is
        still there, on through the cycles up to the open one (SCENARIOS 21).

        Yields each bucket that had received units and has now lost them again, with how many.
        """
        from_expired = min(wanted, self.expired)
        if from_expired:
            self.expired -= from_expired
            self.remaining += from_expired
            corrections[self.id, EntryKind.EXPIRE] -= from_expired
        successor, missing = self.successor, wanted - from_expired
        if missing and successor is not None:
            if successor.closed and successor.remaining < missing:
                yield from successor.bring_back(missing - successor.remaining, corrections)
            from_successor = min(missing, successor.remaining)
            if from_successor:
                successor.remaining -= from_successor
                successor.held -= from_successor
                self.remaining += from_successor
                corrections[successor.id, EntryKind.ROLLOVER_IN] -= from_successor
                corrections[self.id, EntryKind.ROLLOVER_OUT] -= from_successor
                yield successor, from_successor

    def recoverable(self) -> int:
        """What `bring_back` could bring back at most."""
        if not self.closed:
            return 0
        successor = self.successor
        return self.expired + (successor.remaining + successor.recoverable() if successor is not None else 0)


def drawable(heads: list[BucketHead]) -> int:
    """What a draw on these buckets would get at most, without drawing."""
    return sum([head.remaining + head.recoverable() if head.closed else head.remaining for head in heads])


class Gate:
    """A cap on drawing above an owner: what it leaves in a cycle, and what passed it since it was loaded."""

    __slots__ = ("cycle_start", "drawn", "owner", "room")

    def __init__(self, owner: tuple[int, int, int], cycle_start, room: int):
        self.owner, self.cycle_start = owner, cycle_start  # (owner kind, owner id, service)
        self.room = room  # below zero where a cap was lowered below what had been drawn
        self.drawn = 0


#: Buckets of each owner on the way up, and the gate between it and those above.
Tiers = list[tuple[list[BucketHead], Gate | None]]


def drawable_through(heads: list[BucketHead], tiers: Tiers | None) -> int:
    """What a draw on these buckets would get at most where caps stand on the way (`tiers`); None: there are none."""
    if tiers is None:
        return drawable(heads)
    total, room = 0, None
    for there, gate in tiers:
        units = drawable(there)
        if room is not None:
            units = max(min(units, room), 0)
            room -= units
        total += units
        if gate is not None:
            room = gate.room if room is None else min(room, gate.room)
    return total


@dataclass(frozen=True, slots=True)
class Mark:
    """A threshold that has not been reached in a cycle: percent of the allowance, or units."""

    threshold_id: int
    percent: int | None
    units: int | None

    def level(self, base: int | None) -> int | None:
        """The mark in units; None where there is no allowance to take a percentage of.

        Reached at exactly the percentage; of an allowance of zero with the first unit used.
        """
        if self.units is not None:
            return self.units
        return None if base is None else max(-(-base * (self.percent or 0) // 100), 1)


class Meter:
    """An owner's usage of a service in a cycle, against the marks that it has not reached yet.

    `base` is what the owner was granted and has received in the cycle; None where it never had a bucket.
    """

    __slots__ = ("_levels", "_marks", "account_id", "base", "line_id", "next_level", "used")

    def __init__(self, account_id: int | None, line_id: int | None, used: int, base: int | None, marks: list[Mark]):
        self.account_id, self.line_id, self.used, self.base = account_id, line_id, used, base
        self._marks = {mark.threshold_id: mark for mark in marks}
        self._arm()

    def _arm(self) -> None:
        #: (level in units, threshold id), highest first: the next is popped from the end.
        self._levels: list[tuple[int, int]] = []
        for mark in self._marks.values():
            if (level := mark.level(self.base)) is not None:
                self._levels.append((level, mark.threshold_id))
        self._levels.sort(reverse=True)
        self.next_level: int | None = self._levels[-1][0] if self._levels else None

    def lower_base(self, units: int) -> None:
        """The owner has lost units that it had received: percentages are of less from now on."""
        self.base = (self.base or 0) - units
        self._arm()

    def reached(self) -> Iterator[tuple[int, int, int | None]]:
        """Take away the marks that usage has reached: (level in units, threshold id, base of a percentage)."""
        while self.next_level is not None and self.used >= self.next_level:
            level, threshold_id = self._levels.pop()
            self.next_level = self._levels[-1][0] if self._levels else None
            mark = self._marks.pop(threshold_id)
            yield level, threshold_id, self.base if mark.percent is not None else None
