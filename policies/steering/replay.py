"""Who paid, decided again: what stored charge lines say beside what rules say now. A pure core over events.

Owns: the shape of a stored event, and the comparison of its charge lines with the legs that were decided again. Pure:
no Django, no clock. Deciding is charging's own code (`portal.charging.steering_replaying`); what a draft would move is
added up by `policies.steering.moves`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

COMPANY, PERSON = 1, 2
#: Differences that are named; more of the same help nobody.
NAMED_MOST = 100
#: Codes of a charge line that the rules of who pays have put there.
_CODES = ("steer:", "steer_default:", "unknown:", "budget_used")
#: Codes of what a limit or a policy left to the person of a part that rules had given to the company.
_LEFT = ("limit_steer_personal:", "rule_steer_personal:")


class StoredLine(NamedTuple):
    """A charge line, as far as who pays is concerned. What was asked is `units` + `refused_units`."""

    payer: int
    starts_at: datetime
    units: int
    refused_units: int
    overage_units: int
    amount_micros: int
    rule_id: int | None
    part: int | None
    reasons: str
    rate_id: int
    version_id: int
    cycle_start: datetime

    @property
    def asked_units(self) -> int:
        """Units, granted or not."""
        return self.units + self.refused_units

    @property
    def is_left_by_limit(self) -> bool:
        """Whether rules gave it to the company, and a limit or a policy left it to the person."""
        return self.payer == PERSON and self.rule_id is None and any(code in self.reasons for code in _LEFT)

    @property
    def codes(self) -> tuple[str, ...]:
        """What rules of who pays gave as reasons."""
        return tuple(code for code in self.reasons.split() if code.startswith(_CODES))


class StoredRecord(NamedTuple):
    """What one payer has of an event, with its charge lines."""

    usage_id: int
    payer: int
    units: int
    used_at: datetime
    ended_at: datetime | None
    visited_network: str
    other_party: str
    imei: str
    message: str | None  # the network's, as JSON
    person_id: int | None
    lines: list[StoredLine]

    @property
    def attributes(self) -> dict[str, Any] | None:
        """What else the network's message said."""
        return json.loads(self.message, parse_int=_number) if self.message else None


def _number(digits: str) -> int | float:
    """A number without a point, as it was sent: whole ones have 64 bits at most; PostgreSQL writes 1e300 in full."""
    whole = int(digits)
    return whole if -(2**63) <= whole < 2**64 else float(digits)


@dataclass(slots=True)
class StoredEvent:
    """A usage event as it was charged: a record of each payer. `sent`: as the network sent it, where it is kept."""

    part_id: int
    position: int
    source_id: int
    line_id: int
    path_id: int
    service: int
    zone_id: int
    sequence: int
    charged_at: datetime
    records: list[StoredRecord] = field(default_factory=list)
    sent: Any = None

    @property
    def used_at(self) -> datetime:
        """When the use that was charged began."""
        return min(record.used_at for record in self.records)

    @property
    def lines(self) -> list[StoredLine]:
        """The charge lines of all payers."""
        return [line for record in self.records for line in record.lines]

    @property
    def company(self) -> StoredRecord | None:
        """The company's record."""
        return next((record for record in self.records if record.payer == COMPANY), None)


class Expected(NamedTuple):
    """A leg that was decided again, before limits. A rule's `rule_id` and `part` are None where no rule decided."""

    payer: int
    starts_at: datetime
    units: int
    rule_id: int | None
    part: int | None
    codes: tuple[str, ...] = ()


class Difference(NamedTuple):
    """An event that was charged otherwise."""

    usage_id: int
    what: str


@dataclass(slots=True)
class Report:
    """What became of replaying what was live: zero differences are expected."""

    events: int = 0
    lines: int = 0
    personal_lines: int = 0
    differing_events: int = 0
    differing_reasons: int = 0
    named: list[Difference] = field(default_factory=list)

    def compare(self, event: StoredEvent, expected: Sequence[Expected]) -> None:
        """Count an event, and whether it differs."""
        stored = event.lines
        self.events += 1
        self.lines += len(stored)
        self.personal_lines += sum([line.payer == PERSON for line in stored])
        if what := difference(stored, expected):
            self.differ(event, what)
        elif not _same_codes(stored, expected):
            self.differing_reasons += 1

    def differ(self, event: StoredEvent, what: str) -> None:
        """Note an event that differs."""
        self.differing_events += 1
        if len(self.named) < NAMED_MOST:
            self.named.append(Difference(event.records[0].usage_id, what))


def granted_of(stored: Sequence[StoredLine], leg: Expected, until: datetime) -> int:
    """How much of a leg, which is of a piece `until` then, was granted when it was charged; all of it where no line is
    like it."""
    found = [line for line in stored if _place(line) == _place(leg)]
    if found:
        return sum([line.units for line in found])
    is_left = any(
        line.is_left_by_limit and (line.starts_at == leg.starts_at or leg.starts_at < line.starts_at < until)
        for line in stored
    )
    return 0 if is_left else leg.units


def difference(stored: Sequence[StoredLine], expected: Sequence[Expected]) -> str:
    """What differs in payer, rule, part, start or units; "" where nothing does.

    What a limit left to the person is a part that rules gave to the company: it has to make up for what its lines lack,
    although it may begin later than they do, and be cut where the person's terms turn.
    """
    begun = sorted({leg.starts_at for leg in expected})
    lacking: Counter[datetime] = Counter()
    charged: dict[tuple, int] = {}
    for line in stored:
        if line.is_left_by_limit:
            before = bisect_right(begun, line.starts_at)
            lacking[begun[before - 1] if before else line.starts_at] -= line.asked_units
        else:
            place = _place(line)
            charged[place] = charged.get(place, 0) + line.asked_units
    for leg in expected:
        place = _place(leg)
        units = charged.pop(place, None)
        if leg.payer == COMPANY and (units is not None or lacking[leg.starts_at]):
            lacking[leg.starts_at] += leg.units - (units or 0)
        elif units != leg.units:
            return f"decided {_named(place)}: {leg.units}; charged {'nothing' if units is None else units}"
    if charged:
        place, units = next(iter(charged.items()))
        return f"charged {_named(place)}: {units}; decided nothing"
    for starts_at, units in lacking.items():
        if units:
            return f"the company's units from {starts_at} differ by {units}"
    return ""


def _place(one: StoredLine | Expected) -> tuple[int, datetime, int | None, int | None]:
    return one.payer, one.starts_at, one.rule_id, one.part


def _named(place: tuple[int, datetime, int | None, int | None]) -> str:
    payer, starts_at, rule_id, part = place
    return f"{'the company' if payer == COMPANY else 'the person'} from {starts_at}, rule {rule_id}, part {part}"


def _same_codes(stored: Sequence[StoredLine], expected: Sequence[Expected]) -> bool:
    said = {_place(leg): leg.codes for leg in expected}
    return all(line.is_left_by_limit or said[_place(line)] == line.codes for line in stored)
