"""A plain model of docs/personal.md: what people pay, unit by unit and row by row, with nothing remembered or shared.

Independent of the product: own months, own prices (fractions, rounded half up), own search for what money pays for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

#: Service, zone: micros, block. What units are worth to the company.
RATES = {
    ("data", "home"): (1_000, 3),
    ("data", "world"): (90_000, 7),
    ("voice", "home"): (60_000, 60),
    ("messaging", "home"): (70_000, 1),
}


def cost(units: int, price: int, block: int) -> int:
    """The price of units, rounded half up to whole micros."""
    return floor(Fraction(units * price, block) + Fraction(1, 2))


def most(units: int, price: int, block: int, micros: int) -> int:
    """How many of the units cost no more than that."""
    fitting = 0
    while fitting < units and cost(fitting + 1, price, block) <= micros:
        fitting += 1
    return fitting


@dataclass
class Version:
    """Prices by service and zone (None: any other), allowances (name, service, zones or none, units)."""

    begins: datetime
    prices: dict[tuple[str, str | None], tuple[int, int]]
    allowances: list[tuple[str, str, tuple[str, ...], int]]

    def price(self, service: str, zone: str) -> tuple[int, int] | None:
        return self.prices.get((service, zone), self.prices.get((service, None)))


@dataclass
class Account:
    """A person's account; `used`: (begin of the version, allowance, year and month) -> units."""

    person: str
    zone: ZoneInfo
    credit: int
    accepted: datetime | None = None
    closed: datetime | None = None
    balance: int = 0
    used: dict[tuple[datetime, str, str], int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class Open:
    """What nobody paid of a leg."""

    person: str | None
    used_at: datetime
    service: str
    zone: str
    units: int
    value: int
    reason: str
    state: str
    amount: int | None = None


@dataclass
class Leg:
    """What became of a leg: granted and refused units, drawn ones among the granted, micros."""

    units: int
    refused: int
    drawn: int
    micros: int


@dataclass
class PersonalModel:
    """One tariff, the accounts of its people, and what is open."""

    bound: int | None
    versions: list[Version] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)

    def version_at(self, at: datetime) -> Version | None:
        return max((v for v in self.versions if v.begins <= at), key=lambda v: v.begins, default=None)

    def buckets(self, account: Account, at: datetime, service: str, zone: str) -> Iterator[tuple[tuple, int]]:
        """Where units may be drawn, and how many are free there."""
        assert account.accepted is not None
        local = at.astimezone(account.zone)
        begins = datetime(local.year, local.month, 1, tzinfo=account.zone).astimezone(UTC)
        is_first = account.accepted.astimezone(account.zone).strftime("%Y-%m") == local.strftime("%Y-%m")
        version = self.version_at(account.accepted if is_first else begins)
        first = min(self.versions, key=lambda version: version.begins)
        if version is None and first.begins.astimezone(account.zone).strftime("%Y-%m") == local.strftime("%Y-%m"):
            version = first
        for name, of, zones, units in version.allowances if version else []:
            if of == service and (not zones or zone in zones):
                key = (version.begins, name, local.strftime("%Y-%m"))
                yield key, units - account.used[key]

    def charge(self, person: str | None, at: datetime, service: str, zone: str, units: int) -> Leg:
        """A leg of a person, in order of arrival."""
        leg, rest, reason = Leg(0, 0, 0, 0), units, "personal_nobody" if person is None else "personal_missing"
        mine = [a for a in self.accounts if a.person == person and a.accepted and a.accepted <= at]
        if any(account.closed for account in mine):
            reason = "personal_closed"
        for account in mine:
            if account.closed is None or at < account.closed:
                for key, free in list(self.buckets(account, at, service, zone)):
                    drawn = min(rest, free)
                    account.used[key] += drawn
                    leg.drawn += drawn
                    rest -= drawn
                version = self.version_at(at)
                price = version.price(service, zone) if version else None
                reason = "personal_empty" if price else "personal_no_rate"
                if price:
                    paid = most(rest, *price, account.balance + account.credit)
                    leg.micros = cost(paid, *price)
                    account.balance -= leg.micros
                    rest -= paid
        lent = 0
        if person is not None and self.bound is not None:
            lent = most(rest, *RATES[service, zone], self.bound - self.on_credit(person))
        for part, state in ((lent, "open"), (rest - lent, "refused")):
            if part:
                value = cost(part, *RATES[service, zone])
                self.open.append(Open(person, at, service, zone, part, value, reason, state))
        leg.refused = rest - lent
        leg.units = units - leg.refused
        return leg

    def on_credit(self, person: str) -> int:
        return sum(row.value for row in self.open if row.person == person and row.state == "open")

    def settle(self, account: Account) -> None:
        """Oldest first, whole rows, till one does not fit."""
        if account.accepted is None or account.closed is not None:
            return
        for row in sorted(self.open, key=lambda row: row.used_at):
            if row.person != account.person or row.state != "open":
                continue
            version = self.version_at(row.used_at)
            price = version.price(row.service, row.zone) if version else None
            draws, rest = [], row.units
            for key, free in self.buckets(account, row.used_at, row.service, row.zone):
                draws.append((key, min(rest, free)))
                rest -= min(rest, free)
            if rest and price is None:
                continue
            amount = cost(rest, *price) if rest and price else 0
            if amount > account.balance + account.credit:
                return
            for key, drawn in draws:
                account.used[key] += drawn
            account.balance -= amount
            row.state, row.amount = "charged", amount
