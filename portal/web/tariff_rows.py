"""Prices and allowances of a personal tariff as they are typed: one row a service and zone, one an allowance.

Owns: reading rows of a form, and putting stored terms back into them. What may be, `balances.personal_tariffs` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.http import QueryDict

from balances import personal_tariffs
from balances.errors import Refused
from balances.models import PersonalAllowance, PersonalRate, Zone
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.selectors.personal_tariffs import Terms
from balances.units import SERVICE_NAMES, Service
from portal import figures
from portal.web import quantities

SERVICES = [(str(int(service)), figures.SERVICE_WORDS[service]) for service in Service]
#: What a price is for, until somebody says otherwise.
USUAL_BLOCKS: dict[int, str] = {
    Service.DATA: "1 MiB",
    Service.VOICE: "1 min",
    Service.MESSAGING: "1 message",
    Service.VIDEO_CONFERENCING: "1 min",
}


@dataclass(slots=True)
class PriceRow:
    """The price of a service in a zone (None: everywhere without a price of its own), as typed."""

    service: int
    zone: Zone | None
    price: str = ""
    block: str = ""

    @property
    def key(self) -> str:
        """What the inputs of this row are called."""
        return f"rate-{self.service}-{self.zone.id if self.zone else 0}"

    @property
    def where(self) -> str:
        """The zone in words."""
        return self.zone.name if self.zone else "Everywhere else"


@dataclass(slots=True)
class IncludedRow:
    """An allowance as typed."""

    number: int
    name: str = ""
    service: str = str(int(Service.DATA))
    amount: str = ""
    zones: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows that could be read."""

    rates: list[RateRow]
    allowances: list[AllowanceRow]

    def as_terms(self) -> Terms:
        """The same as if it was stored, to be shown beside what is."""
        rates = {
            (row.service, row.zone.id if row.zone else None): PersonalRate(
                service=row.service, zone=row.zone, price_micros=row.price_micros, block_units=row.block_units
            )
            for row in self.rates
        }
        allowances = {
            row.name: PersonalAllowance(
                name=row.name, service=row.service, units=row.units, zone_ids=[zone.id for zone in row.zones]
            )
            for row in self.allowances
        }
        return Terms(None, rates, allowances)


@dataclass(slots=True)
class Typed:
    """All rows of a form."""

    zones: Sequence[Zone]
    prices: list[PriceRow]
    included: list[IncludedRow] = field(default_factory=list)

    def with_room(self) -> Typed:
        """The same with an empty row to type another allowance into."""
        return Typed(self.zones, self.prices, [*self.included, IncludedRow(len(self.included))])

    def checked(self) -> Checked:
        """The rows as the domain wants them; rows without a price are none. Raises Refused, naming the row."""
        rates = []
        for row in self.prices:
            if not row.price.strip():
                continue
            with _named(f"{figures.SERVICE_WORDS[row.service]}, {row.where}"):
                block = quantities.read(row.block or USUAL_BLOCKS[row.service], row.service)
                rates.append(RateRow(row.service, quantities.read_price(row.price), block, row.zone))
        by_id = {str(zone.id): zone for zone in self.zones}
        allowances = []
        for number, typed in enumerate(self.included, start=1):
            with _named(f"Allowance {number}"):
                if typed.service not in dict(SERVICES):
                    raise Refused("choose its service.")
                service = int(typed.service)
                usable = tuple(zone for key, zone in by_id.items() if key in typed.zones)
                units = quantities.read(typed.amount, service)
                allowances.append(AllowanceRow(typed.name.strip(), service, units, usable))
        return Checked(rates, allowances)


@contextmanager
def _named(row: str) -> Iterator[None]:
    """Say of a refusal at which row it is."""
    try:
        yield
    except Refused as refusal:
        raise Refused(f"{row}: {refusal.message}") from None


def of_terms(terms: Terms | None, zones: Sequence[Zone]) -> Typed:
    """Stored terms as rows to be changed; without any, as usual and without prices."""
    typed = Typed(zones, _empty_prices(zones))
    if terms is None:
        return typed
    for row in typed.prices:
        rate = terms.rates.get((row.service, row.zone.id if row.zone else None))
        if rate is not None:
            row.price = quantities.write_price(rate.price_micros)
            row.block = quantities.write(rate.block_units, row.service)
    for number, one in enumerate(terms.allowances.values()):
        amount = quantities.write(one.units, one.service)
        usable = frozenset(str(zone_id) for zone_id in one.zone_ids)
        typed.included.append(IncludedRow(number, one.name, str(one.service), amount, usable))
    return typed


def read(posted: QueryDict, zones: Sequence[Zone]) -> Typed:
    """The rows as they were sent; allowances that are empty or taken out are left out."""
    typed = Typed(zones, _empty_prices(zones))
    for row in typed.prices:
        row.price = posted.get(f"{row.key}-price", "")[:40]
        row.block = posted.get(f"{row.key}-block", row.block)[:40]
    for number in range(personal_tariffs.ROWS_MOST + 1):
        prefix = f"a{number}-"
        name, amount = (posted.get(prefix + each, "").strip()[:80] for each in ("name", "amount"))
        if not (name or amount) or posted.get(f"{prefix}remove"):
            continue
        service, usable = posted.get(f"{prefix}service", ""), frozenset(posted.getlist(f"{prefix}zones"))
        typed.included.append(IncludedRow(len(typed.included), name, service, amount, usable))
    return typed


def _empty_prices(zones: Sequence[Zone]) -> list[PriceRow]:
    return [
        PriceRow(service, zone, block=USUAL_BLOCKS[service]) for service in SERVICE_NAMES for zone in (None, *zones)
    ]
