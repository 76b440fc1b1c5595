"""Tariffs for people as the operator's staff reads them: which there are, what holds today and what comes.

Owns: reading. Tariffs belong to an operator, not to an enterprise: only its own staff reaches them here; people are
shown theirs with their account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, QuerySet

from balances.models import (
    Contract,
    Operator,
    PersonalAllowance,
    PersonalRate,
    PersonalTariff,
    PersonalTariffVersion,
    Zone,
)
from balances.scope import Scope

#: Where clocks stand that nobody has said anything about.
USUAL_ZONE = "Europe/Berlin"
#: Versions to come that are shown beside today's.
COMING_MOST = 3


def tariffs(scope: Scope) -> QuerySet[PersonalTariff]:
    """The tariffs of the operators whose staff the principal is of, with how many people have them."""
    mine = PersonalTariff.objects.filter(operator__in=scope.operator_ids).select_related("operator")
    return mine.annotate(
        open_accounts=Count("accounts", filter=Q(accounts__closed_at__isnull=True)),
        accepted_accounts=Count(
            "accounts", filter=Q(accounts__closed_at__isnull=True, accounts__accepted_at__isnull=False)
        ),
    )


def tariff(scope: Scope, tariff_id: int) -> PersonalTariff:
    """One of them; raises PersonalTariff.DoesNotExist."""
    return tariffs(scope).get(id=tariff_id)


def clocks_of(operator: Operator) -> ZoneInfo:
    """The time zone that most contracts of an operator are in."""
    zones = Contract.objects.filter(enterprise__operator=operator).values_list("time_zone", flat=True)
    most = Counter(zones).most_common(1)
    return ZoneInfo(most[0][0] if most else USUAL_ZONE)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a version, or one that is only typed yet, says; rates by service and zone (None: everywhere else)."""

    version: PersonalTariffVersion | None
    rates: dict[tuple[int, int | None], PersonalRate]
    allowances: dict[str, PersonalAllowance]


def terms_of(versions: Sequence[PersonalTariffVersion]) -> list[Terms]:
    """What each version says; two queries."""
    ids = [version.id for version in versions]
    found = {version.id: Terms(version, {}, {}) for version in versions}
    for rate in PersonalRate.objects.filter(version__in=ids).select_related("zone"):
        found[rate.version_id].rates[rate.service, rate.zone_id] = rate
    for allowance in PersonalAllowance.objects.filter(version__in=ids).order_by("id"):
        found[allowance.version_id].allowances[allowance.name] = allowance
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Timeline:
    """The versions of a tariff at an instant: what holds, what comes (soonest first), what is past (latest first)."""

    holds: PersonalTariffVersion | None
    coming: list[PersonalTariffVersion]
    past: list[PersonalTariffVersion]

    @property
    def shown(self) -> list[PersonalTariffVersion]:
        """Today's, and those to come beside it."""
        return [version for version in (self.holds, *self.coming[:COMING_MOST]) if version is not None]

    @property
    def newest_first(self) -> list[PersonalTariffVersion]:
        """All of them, the one that begins last first."""
        return [version for version in (*reversed(self.coming), self.holds, *self.past) if version is not None]

    @property
    def latest(self) -> PersonalTariffVersion | None:
        """The one that begins last: what another one is made after."""
        return self.coming[-1] if self.coming else self.holds


def timeline(tariff: PersonalTariff, at: datetime) -> Timeline:
    """The versions of a tariff as they stand at `at`."""
    versions = list(PersonalTariffVersion.objects.filter(tariff=tariff).order_by("effective_at"))
    begun = [version for version in versions if version.effective_at <= at]
    coming = [version for version in versions if version.effective_at > at]
    return Timeline(begun[-1] if begun else None, coming, begun[-2::-1])


@dataclass(frozen=True, slots=True)
class RateCell:
    """A price in one version; None: none of its own."""

    rate: PersonalRate | None
    falls_back: bool
    is_changed: bool


@dataclass(frozen=True, slots=True)
class RateLine:
    """The price of a service in a zone (None: everywhere else), version by version."""

    service: int
    zone: Zone | None
    cells: list[RateCell]


@dataclass(frozen=True, slots=True)
class AllowanceCell:
    """An allowance in one version; None: it has none of that name."""

    allowance: PersonalAllowance | None
    zones: list[Zone]
    is_changed: bool


@dataclass(frozen=True, slots=True)
class AllowanceLine:
    """An allowance, version by version."""

    name: str
    cells: list[AllowanceCell]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Versions side by side; what differs from the one to its left is marked."""

    rates: list[RateLine]
    allowances: list[AllowanceLine]

    @property
    def has_changes(self) -> bool:
        return any(cell.is_changed for line in (*self.rates, *self.allowances) for cell in line.cells)


def side_by_side(columns: Sequence[Terms], zones: Sequence[Zone]) -> Sheet:
    """Prices and allowances of versions beside each other, in the order given."""
    by_id = {zone.id: zone for zone in zones}
    order = {zone.id: place for place, zone in enumerate(zones, start=1)}
    priced = {place for terms in columns for place in terms.rates}
    rates = [
        RateLine(service, by_id[zone_id] if zone_id else None, _rate_cells(columns, service, zone_id))
        for service, zone_id in sorted(priced, key=lambda place: (place[0], order.get(place[1] or 0, 0)))
    ]
    names = dict.fromkeys(name for terms in columns for name in terms.allowances)
    return Sheet(rates, [AllowanceLine(name, _allowance_cells(columns, name, by_id)) for name in names])


def _rate_cells(columns: Sequence[Terms], service: int, zone_id: int | None) -> list[RateCell]:
    cells: list[RateCell] = []
    for place, terms in enumerate(columns):
        rate = terms.rates.get((service, zone_id))
        said = (rate.price_micros, rate.block_units) if rate else None
        before = cells[-1].rate if cells else None
        was = (before.price_micros, before.block_units) if before else None
        falls_back = rate is None and zone_id is not None and (service, None) in terms.rates
        cells.append(RateCell(rate, falls_back, is_changed=place > 0 and said != was))
    return cells


def _allowance_cells(columns: Sequence[Terms], name: str, zones: dict[int, Zone]) -> list[AllowanceCell]:
    cells: list[AllowanceCell] = []
    for place, terms in enumerate(columns):
        row = terms.allowances.get(name)
        before = cells[-1].allowance if cells else None
        usable = [zones[zone_id] for zone_id in (row.zone_ids if row else ()) if zone_id in zones]
        cells.append(AllowanceCell(row, usable, is_changed=place > 0 and _said(row) != _said(before)))
    return cells


def _said(row: PersonalAllowance | None) -> tuple[int, int, tuple[int, ...]] | None:
    return (row.service, row.units, tuple(sorted(row.zone_ids))) if row else None
