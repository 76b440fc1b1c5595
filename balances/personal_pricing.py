"""What a tariff asks of a person: which version, allowances and price hold, and how many units the money pays for.

Owns: the arithmetic that charging and settling share, so that usage costs the same whenever it is charged. Pure:
imports no Django, reads no clock. Instants are datetimes or canonical texts, of one kind, so that they compare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from balances.units import price_micros

Instant = TypeVar("Instant", bound=Any)


@dataclass(frozen=True, slots=True)
class Price:
    """So many micros for a block of units; a part of a block costs its part, rounded half up to whole micros."""

    id: int
    price_micros: int
    block_units: int

    def of(self, units: int) -> int:
        """What so many units cost."""
        return price_micros(units, self.price_micros, self.block_units)

    def most(self, micros: int) -> int | None:
        """The largest number of units that cost no more than so much money; None: any number costs nothing."""
        if self.price_micros == 0:
            return None
        # price(n) <= m  <=>  (2np + b) // 2b <= m  <=>  2np + b < 2b(m + 1)
        return max((self.block_units * (2 * micros + 1) - 1) // (2 * self.price_micros), 0)


@dataclass(frozen=True, slots=True)
class Included:
    """An allowance of a version: so many units each month."""

    id: int
    service: int
    zone_ids: frozenset[int]
    units: int

    def covers(self, service: int, zone_id: int) -> bool:
        """Whether usage of a service in a zone is drawn from it; no zones: everywhere."""
        return service == self.service and (not self.zone_ids or zone_id in self.zone_ids)


@dataclass(frozen=True, slots=True)
class Version(Generic[Instant]):
    """Prices and allowances from an instant on."""

    id: int
    begins: Instant
    prices: Mapping[tuple[int, int | None], Price]
    included: tuple[Included, ...]

    def price(self, service: int, zone_id: int) -> Price | None:
        """The zone's own price, else that of zones without one."""
        return self.prices.get((service, zone_id)) or self.prices.get((service, None))

    def covering(self, service: int, zone_id: int) -> list[Included]:
        """Its allowances for usage of a service in a zone, in the order in which they are drawn."""
        return [included for included in self.included if included.covers(service, zone_id)]


@dataclass(frozen=True, slots=True)
class Tariff(Generic[Instant]):
    """The versions of a tariff, in the order in which they begin."""

    id: int
    versions: tuple[Version[Instant], ...]

    def at(self, instant: Instant) -> Version[Instant] | None:
        """The version whose prices hold at an instant; None before the first begins."""
        return next((version for version in reversed(self.versions) if version.begins <= instant), None)

    def of_month(self, starts: Instant, ends: Instant, accepted: Instant) -> Version[Instant] | None:
        """The version whose allowances an account has in a month: a month keeps what it began with.

        It began when the account was accepted, in the month in which that was; where no version held then, with the
        first that begins in the month.
        """
        began = accepted if starts < accepted < ends else starts
        if (version := self.at(began)) is not None:
            return version
        return self.versions[0] if self.versions and self.versions[0].begins < ends else None


class Paid(NamedTuple):
    """How much of some usage an account pays: drawn from each allowance in turn, then for money; the rest is open."""

    draws: tuple[int, ...]
    priced_units: int
    micros: int
    rest: int


def pay(units: int, free: Sequence[int], price: Price | None, money: int) -> Paid:
    """Let allowances with so many `free` units, and then `money`, pay for usage: as many whole units as they can."""
    draws = []
    for available in free:
        drawn = min(units, available)
        draws.append(drawn)
        units -= drawn
    if price is None or not units:
        return Paid(tuple(draws), 0, 0, units)
    most = price.most(money)
    priced = units if most is None else min(units, most)
    return Paid(tuple(draws), priced, price.of(priced), units - priced)


def most_units(units: int, micros: int, value: Callable[[int], int]) -> int:
    """The largest number up to `units` whose value is no more than `micros`, where more units are never worth less."""
    if micros < 0:
        return 0
    if value(units) <= micros:
        return units
    least, most = 0, units - 1
    while least < most:
        middle = (least + most + 1) // 2
        if value(middle) <= micros:
            least = middle
        else:
            most = middle - 1
    return least
