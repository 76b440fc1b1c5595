"""What a draft of who pays would move between company and people: added up, and told as far as the wall lets.

Owns: sums by account and person of what would leave the company, which the company's own usage says in full; and sums
of what would come to it, which only personal usage says: those are told for the whole replay, rounded, and of many
people together of whom none has most of it, or not at all; nor where rules name a line, a device or whom somebody
called, or may, by a profile or the network's message, which would put somebody among decoys. Nothing tells "none" from
"too few". Pure: no Django, no clock. Memory grows with lines, never with usage.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from balances.units import SERVICE_NAMES, price_micros

#: What is told of personal usage is of so many records, people and days at least.
RECORDS_LEAST, PEOPLE_LEAST, DAYS_LEAST = 5, 5, 28
#: Events that are listed at most, those that cost the company most; accounts and people.
LISTED_MOST, PLACES_MOST = 200, 500


class Freed(NamedTuple):
    """What the company has less of an event: overage that it saves, units that stay in allowances."""

    saved_micros: int
    returned_units: int


class Leaving(NamedTuple):
    """An event of the company of which some or all would be the person's."""

    usage_id: int
    used_at: datetime
    line_id: int
    account_id: int
    person_id: int | None
    service: int
    units: int
    of_units: int
    freed: Freed
    tariff_micros: int | None  # by the tariff of the person's account, without allowances; None: there is no price


class Rated(NamedTuple):
    """What the company had of an event. The price is the contract's."""

    granted_units: int
    overage_units: int
    amount_micros: int
    price_micros: int
    block_units: int


def freed(rated: Rated, asked_units: int, left_units: int) -> Freed:
    """What is freed where of `asked_units` only `left_units` stay the company's: what was refused goes first, then what
    was overage, then what allowances covered."""
    if left_units >= asked_units:
        return Freed(0, 0)
    stays = min(rated.granted_units, left_units)
    covered = rated.granted_units - rated.overage_units
    overage = max(stays - covered, 0)
    if overage >= rated.overage_units:
        saved = 0
    elif overage:
        saved = max(rated.amount_micros - price_micros(overage, rated.price_micros, rated.block_units), 0)
    else:
        saved = rated.amount_micros
    return Freed(saved, covered - min(covered, stays))


@dataclass(slots=True)
class _Crowd:
    """How much of a sum is whose. What nobody is known to have used makes no crowd: lines can be had without people."""

    records: Counter[int] = field(default_factory=Counter)
    units: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, person_id: int | None, service: int, units: int) -> None:
        """Add an event of somebody's."""
        if person_id is not None:
            self.records[person_id] += 1
            self.units[service][person_id] += units

    def is_many(self, days: int) -> bool:
        """Whether they are many, and none of them has more than half."""
        if self.records.total() < RECORDS_LEAST or len(self.records) < PEOPLE_LEAST or days < DAYS_LEAST:
            return False
        return not any(2 * max(shares.values()) > shares.total() for shares in (self.records, *self.units.values()))


@dataclass(slots=True)
class Sum:
    """Events that would leave the company, added up."""

    events: int = 0
    units: dict[int, int] = field(default_factory=dict)
    returned: dict[int, int] = field(default_factory=dict)
    saved_micros: int = 0
    crowd: _Crowd = field(default_factory=_Crowd)

    def add(self, one: Leaving) -> None:
        """Add an event."""
        self.events += 1
        self.crowd.add(one.person_id, one.service, one.units)
        self.units[one.service] = self.units.get(one.service, 0) + one.units
        self.returned[one.service] = self.returned.get(one.service, 0) + one.freed.returned_units
        self.saved_micros += one.freed.saved_micros

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "events": self.events,
            "units": _named(self.units),
            "returned_units": _named(self.returned),
            "saved_micros": self.saved_micros,
        }

    def is_many(self, days: int) -> bool:
        """Whether it may be told although it says whom people called."""
        return self.crowd.is_many(days)

    def as_rounded(self, days: int) -> dict[str, Any]:
        """As JSON, of many people only."""
        if not self.is_many(days):
            return {"events": None, "units": None, "returned_units": None, "saved_micros": None}
        return {
            "events": fives(self.events),
            "units": {name: two_digits(units) for name, units in _named(self.units).items()},
            "returned_units": {name: two_digits(units) for name, units in _named(self.returned).items()},
            "saved_micros": two_digits(self.saved_micros),
        }


@dataclass(slots=True)
class _Coming:
    """Personal usage of one service that would be the company's."""

    records: int = 0
    units: int = 0
    value_micros: int = 0
    crowd: _Crowd = field(default_factory=_Crowd)


@dataclass(slots=True)
class Moves:
    """The sum of a replay."""

    events: int = 0  # of the company
    leaving: Sum = field(default_factory=Sum)
    by_account: dict[int, Sum] = field(default_factory=dict)
    by_person: dict[tuple[int, int | None], Sum] = field(default_factory=dict)
    _coming: dict[int, _Coming] = field(default_factory=dict)
    _listed: list[tuple[int, int, int, Leaving]] = field(default_factory=list)
    _tariff_crowd: _Crowd = field(default_factory=_Crowd)
    _tariff_micros: int = 0
    _tariff_events: int = 0
    _unpriced_events: int = 0

    def leave(self, one: Leaving) -> None:
        """Note an event of the company that would be, at least in part, the person's."""
        self.leaving.add(one)
        self.by_account.setdefault(one.account_id, Sum()).add(one)
        self.by_person.setdefault((one.line_id, one.person_id), Sum()).add(one)
        if one.tariff_micros is None:
            self._unpriced_events += 1
        else:
            self._tariff_events += 1
            self._tariff_micros += one.tariff_micros
            self._tariff_crowd.add(one.person_id, one.service, one.units)
        entry = (one.freed.saved_micros, one.units, one.usage_id, one)
        if len(self._listed) < LISTED_MOST:
            heapq.heappush(self._listed, entry)
        else:
            heapq.heappushpop(self._listed, entry)

    def come(self, *, service: int, person_id: int, units: int, value_micros: int) -> None:
        """Note usage that a person was granted, of which so many units would be the company's."""
        coming = self._coming.setdefault(service, _Coming())
        coming.records += 1
        coming.units += units
        coming.value_micros += value_micros
        coming.crowd.add(person_id, service, units)

    def as_data(self, *, days: int, asks_numbers: bool = False, names_one: bool = False) -> dict[str, Any]:
        """As JSON, behind the wall. `days`: over how many days; `asks_numbers`: rules ask whom somebody called,
        or may; `names_one`: they name lines or devices, or may."""
        is_withheld = asks_numbers or names_one
        told = self._of_many(days) if asks_numbers else self._one_by_one()
        return {
            "events": self.events,
            **told,
            "tariff": self._tariff_data(days, counts_events=not asks_numbers),
            "coming": [self._coming_data(service, 0 if is_withheld else days) for service in SERVICE_NAMES],
            "coming_is_withheld": is_withheld,
        }

    def _one_by_one(self) -> dict[str, Any]:
        """What would leave the company, by account, person and event."""
        people = sorted(self.by_person.items(), key=lambda item: (-item[1].saved_micros, -item[1].events, item[0][0]))
        listed = [entry[-1] for entry in sorted(self._listed, key=lambda entry: entry[:3], reverse=True)]
        return {
            "leaving": self.leaving.as_data(),
            "accounts": [{"account": key, **one.as_data()} for key, one in self._accounts()[:PLACES_MOST]],
            "people": [
                {"line": line, "person": person, **one.as_data()} for (line, person), one in people[:PLACES_MOST]
            ],
            "people_count": len(self.by_person),
            "listed": [_event(one) for one in listed],
        }

    def _of_many(self, days: int) -> dict[str, Any]:
        """What would leave the company in sums of many people: nobody learns from a draft whom somebody called."""
        accounts = self._accounts()
        told = [(key, one) for key, one in accounts if one.is_many(days)]
        if len(accounts) == len(told) + 1:
            told = told[:-1]  # else the one that is withheld would be the sum without the others
        return {
            "leaving": self.leaving.as_rounded(days),
            "accounts": [{"account": key, **one.as_rounded(days)} for key, one in told[:PLACES_MOST]],
            "people": None,
            "people_count": None,
            "listed": None,
        }

    def _accounts(self) -> list[tuple[int, Sum]]:
        return sorted(self.by_account.items(), key=lambda item: (-item[1].saved_micros, -item[1].events, item[0]))

    def _tariff_data(self, days: int, *, counts_events: bool) -> dict[str, Any]:
        is_many = self._tariff_crowd.is_many(days)
        return {
            "events": self._tariff_events if counts_events else None,
            "unpriced_events": self._unpriced_events if counts_events else None,
            "micros": two_digits(self._tariff_micros) if is_many else None,
        }

    def _coming_data(self, service: int, days: int) -> dict[str, Any]:
        """What would come to the company of a service; None where too little is moved to be told, or nothing is."""
        coming = self._coming.get(service, _Coming())
        many = coming.crowd.is_many(days)
        return {
            "service": SERVICE_NAMES[service],
            "records": fives(coming.records) if many else None,
            "units": two_digits(coming.units) if many else None,
            "value_micros": two_digits(coming.value_micros) if many else None,
        }


def fives(count: int) -> int:
    """A count, rounded to the nearest five."""
    return (count + 2) // 5 * 5


def two_digits(amount: int) -> int:
    """An amount, rounded half up to two significant digits."""
    step = 10 ** max(len(str(amount)) - 2, 0)
    return (amount + step // 2) // step * step


def _named(units: Mapping[int, int]) -> dict[str, int]:
    return {SERVICE_NAMES[service]: count for service, count in sorted(units.items())}


def _event(one: Leaving) -> dict[str, Any]:
    return {
        "usage": one.usage_id,
        "used_at": one.used_at.isoformat(),
        "line": one.line_id,
        "account": one.account_id,
        "service": SERVICE_NAMES[one.service],
        "units": one.units,
        "of_units": one.of_units,
        "saved_micros": one.freed.saved_micros,
    }
