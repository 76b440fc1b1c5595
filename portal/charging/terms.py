"""A contract as charging sees it: its cycles, cut into stretches in which version, rates and cycle stay the same.

Owns: where sessions are split, and what a unit costs on either side. Reads contracts; writes nothing. What a cycle
holds in memory (bucket heads, meters, gates, plans) is filled by `portal.charging.state`.

Instants are canonical UTC texts (`portal.charging.records`): they compare as text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from balances import cycles
from balances.models import Contract, ContractVersion, Rate
from balances.models.contracts import VersionState
from balances.periods import Period, cycle_of, day_of, next_cycle
from portal.charging.heads import BucketHead, Gate, Meter
from portal.charging.records import canonical_time, parse_canonical

if TYPE_CHECKING:
    from portal.charging.state import Plan

#: Usage older than this is never charged without a decision, whatever a contract says: bounds the partitions.
OLDEST_USAGE = timedelta(days=800)


class Cycle:
    """One billing cycle of a contract, ended by the contract's end at the latest: its bucket heads, meters and the
    plans made of them. Where one contract follows another within a cycle, each has a `Cycle`; they share meters."""

    __slots__ = ("contract_id", "ends", "gates", "heads_by_owner", "loaded", "meters", "plans", "starts", "starts_at")

    def __init__(self, contract_id: int, starts_at: datetime, ends_at: datetime):
        self.contract_id, self.starts_at = contract_id, starts_at
        self.starts, self.ends = canonical_time(starts_at), canonical_time(ends_at)
        self.forget()

    def forget(self) -> None:
        """Drop everything that depends on balances; it is loaded again when next needed."""
        self.loaded = False
        self.heads_by_owner: dict[tuple[int, int], list[BucketHead]] = {}
        self.meters: dict[tuple[int, int, int], Meter] = {}
        self.gates: dict[tuple[int, int, int], Gate] = {}
        self.plans: dict[tuple[int, int, int], Plan] = {}


@dataclass(frozen=True, slots=True)
class RateTerms:
    """A contract's rounding and overage price for a service and zone."""

    id: int
    increment_units: int
    minimum_units: int
    price_micros: int
    block_units: int


@dataclass(slots=True)
class Stretch:
    """A time in which cycle and contract version stay the same; sessions are split where one ends."""

    starts: str
    ends: str
    cycle: Cycle
    version_id: int
    rates: dict[tuple[int, int], RateTerms]
    zone: ZoneInfo
    oldest_chargeable: timedelta
    _days: list[str] = field(default_factory=list)

    def day_of(self, used_at: str) -> tuple[str, str]:
        """Start and end of the civil day, in the contract's time zone, that holds an instant of this stretch."""
        days = self._days
        if not days:
            day = day_of(parse_canonical(self.starts), self.zone)
            days.append(canonical_time(day.starts_at))
            while days[-1] < self.ends:
                days.append(canonical_time(day.ends_at))
                day = day_of(day.ends_at, self.zone)
        place = bisect_right(days, used_at)
        return days[place - 1], days[place]


class Terms:
    """A contract with its published versions, cut into stretches on demand."""

    def __init__(self, contract: Contract):
        self.contract = contract
        published = ContractVersion.objects.filter(contract=contract, state=VersionState.PUBLISHED)
        self.versions = list(published.order_by("effective_at"))
        rates: dict[int, dict[tuple[int, int], RateTerms]] = defaultdict(dict)
        for rate in Rate.objects.filter(version__in=self.versions):
            rates[rate.version_id][rate.service, rate.zone_id] = RateTerms(
                rate.id,
                rate.increment_units,
                rate.minimum_units,
                rate.overage_price_micros,
                rate.overage_block_units,
            )
        self.rates = rates

    def cycle_at(self, instant: datetime) -> Period:
        """The cycle that holds an instant."""
        return cycle_of(instant, ZoneInfo(self.contract.time_zone), self.contract.cycle_anchor_day)

    def stretches(self, cycle_for, horizon: datetime) -> list[Stretch]:
        """Stretches from the contract's start to the horizon: cut at cycle ends and where versions take effect."""
        contract, zone = self.contract, ZoneInfo(self.contract.time_zone)
        found = []
        period = cycle_of(contract.starts_at, zone, contract.cycle_anchor_day)
        while period.starts_at < horizon and (contract.ends_at is None or period.starts_at < contract.ends_at):
            starts_at = max(period.starts_at, contract.starts_at)
            ends_at = min(period.ends_at, contract.ends_at) if contract.ends_at else period.ends_at
            cycle = cycle_for(contract.id, period.starts_at, ends_at)
            cuts = [v.effective_at for v in self.versions if starts_at < v.effective_at < ends_at]
            for first, last in zip([starts_at, *cuts], [*cuts, ends_at], strict=True):
                version = cycles.version_at(self.versions, first)
                if version is not None:
                    found.append(
                        Stretch(
                            canonical_time(first), canonical_time(last), cycle, version.id, self.rates[version.id],
                            zone, min(timedelta(days=contract.late_usage_days), OLDEST_USAGE),
                        )
                    )  # fmt: skip
            period = next_cycle(period, zone, contract.cycle_anchor_day)
        return found
