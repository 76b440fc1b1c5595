"""What goes into a group of charging and what comes out of it: parts and their counts, suspended records, crossings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from portal.charging.records import Usage

if TYPE_CHECKING:
    from portal.charging.terms import RateTerms

#: Outcome of a record, as the outcomes of a part hold it.
CHARGED, DUPLICATE, SUSPENDED = "c", "d", "s"


class CannotCharge(Exception):
    """The record cannot be charged now; goes to suspense."""

    def __init__(self, reason: str, detail: str):
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class Part:
    """A claimed part: its row, and its records."""

    id: int
    source_id: int
    usages: list[Usage]


@dataclass(slots=True)
class Counts:
    """What became of the records of a group or of several."""

    charged: int = 0
    duplicate: int = 0
    suspended: int = 0
    parts: int = 0

    def add(self, other: Counts) -> None:
        """Add another group's counts."""
        self.charged += other.charged
        self.duplicate += other.duplicate
        self.suspended += other.suspended
        self.parts += other.parts

    @property
    def records(self) -> int:
        """All records that got an outcome."""
        return self.charged + self.duplicate + self.suspended


class Suspended(NamedTuple):
    """A record on its way to suspense."""

    part_id: int
    position: int
    source_id: int
    source_record_id: str
    record: dict
    reason: str
    detail: str
    content_hash: int
    takes_identity: bool  # the id was free, or its suspended holder is recycled by this very record


class Crossed(NamedTuple):
    """A threshold that was reached by a record."""

    threshold_id: int
    account_id: int | None
    line_id: int | None
    service: int
    period_start: str
    level_units: int
    used_units: int
    base_units: int | None
    usage_id: int
    crossed_at: str


class Seen(NamedTuple):
    """What became of one leg of a stretch, for a look ahead: granted, refused, covered by allowances, its price."""

    is_personal: bool
    starts: str
    units: int
    refused_units: int
    covered_units: int
    amount_micros: int
    rate: RateTerms  # the contract's
    rule: str  # columns of rule and part
    reasons: str
