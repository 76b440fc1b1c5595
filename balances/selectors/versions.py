"""Contract versions side by side: what one changes against another, and from when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from balances.models import Allowance, ContractVersion, Rate
from balances.models.contracts import VersionState
from balances.periods import cycle_of


@dataclass(frozen=True, slots=True)
class AllowanceChange:
    """An allowance before and after; None where it is new or gone."""

    before: Allowance | None
    after: Allowance | None

    @property
    def is_same(self) -> bool:
        """Whether nothing about it changes."""
        return bool(self.before and self.after) and _terms(self.before) == _terms(self.after)


@dataclass(frozen=True, slots=True)
class RateChange:
    """The rate of a service in a zone before and after."""

    before: Rate | None
    after: Rate | None

    @property
    def is_same(self) -> bool:
        """Whether nothing about it changes."""
        return bool(self.before and self.after) and _prices(self.before) == _prices(self.after)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a version changes against the one before it; `before` None: there is none."""

    before: ContractVersion | None
    allowances: list[AllowanceChange]
    rates: list[RateChange]

    @property
    def is_same(self) -> bool:
        """Whether nothing changes."""
        return all(change.is_same for change in [*self.allowances, *self.rates])


def predecessor(version: ContractVersion) -> ContractVersion | None:
    """The published version that holds until `version` takes effect."""
    published = ContractVersion.objects.filter(contract_id=version.contract_id, state=VersionState.PUBLISHED)
    return (
        published.filter(effective_at__lte=version.effective_at)
        .exclude(id=version.id)
        .order_by("-effective_at")
        .first()
    )


def compare(version: ContractVersion, before: ContractVersion | None) -> Comparison:
    """Allowances by service and name, rates by service and zone; six queries."""
    old_allowances, new_allowances = _allowances(before), _allowances(version)
    old_rates, new_rates = _rates(before), _rates(version)
    return Comparison(
        before,
        [
            AllowanceChange(old_allowances.get(key), new_allowances.get(key))
            for key in sorted(old_allowances.keys() | new_allowances.keys())
        ],
        [RateChange(old_rates.get(key), new_rates.get(key)) for key in sorted(old_rates.keys() | new_rates.keys())],
    )


def first_grant_at(version: ContractVersion) -> datetime:
    """When a version's allowances are granted first: with the first cycle that begins when it is in force."""
    zone = ZoneInfo(version.contract.time_zone)
    cycle = cycle_of(version.effective_at, zone, version.contract.cycle_anchor_day)
    begins_with_contract = version.effective_at == version.contract.starts_at
    return version.effective_at if begins_with_contract or cycle.starts_at == version.effective_at else cycle.ends_at


def _allowances(version: ContractVersion | None) -> dict[tuple[int, str, int], Allowance]:
    if version is None:
        return {}
    found: dict[tuple[int, str, int], Allowance] = {}
    for allowance in version.allowances.prefetch_related("zones").order_by("priority", "id"):
        twins = sum(1 for service, name, _ in found if (service, name) == (allowance.service, allowance.name))
        found[allowance.service, allowance.name, twins] = allowance
    return found


def _rates(version: ContractVersion | None) -> dict[tuple[int, int], Rate]:
    if version is None:
        return {}
    return {(rate.service, rate.zone_id): rate for rate in version.rates.select_related("zone")}


def _terms(allowance: Allowance) -> tuple:
    zones = frozenset(zone.id for zone in allowance.zones.all())
    return allowance.granted_units, allowance.rollover_cap_units, allowance.priority, zones


def _prices(rate: Rate) -> tuple[int, int, int, int]:
    return rate.increment_units, rate.minimum_units, rate.overage_price_micros, rate.overage_block_units
