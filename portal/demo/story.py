"""What is settled about one enterprise of the demo before a row is written: plan, terms, calendar, past.

Pure and reproducible from five values, so that a killed build goes on as it was meant, and a second process
can make the same records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from balances.periods import Period, cycle_of, next_cycle
from balances.units import Service
from portal.demo.history import History, Sums
from portal.demo.plan import AccountPlan, EnterprisePlan, enterprise_plan
from portal.demo.terms import TERMS, TIME_ZONE, Terms, granted_units

#: Records that a delivery of the past aims at, and days that it spans at most.
DELIVERY_RECORDS = 8_000
DELIVERY_MOST_DAYS = 7
RECORDS_PER_LINE_AND_DAY = 0.78

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Story:
    """One enterprise: `key` names it, `lines` is the size of the largest, the past has `days` and ends
    `now`.
    """

    key: str
    lines: int
    days: int
    seed: int
    now: datetime

    @cached_property
    def plan(self) -> EnterprisePlan:
        """Tree, people and lines."""
        return enterprise_plan(self.key, lines=self.lines, seed=self.seed)

    @cached_property
    def history(self) -> History:
        """The records of the past."""
        return History(self.plan, seed=self.seed, now=self.now)

    @cached_property
    def sums(self) -> Sums:
        """What the current cycle adds up to so far."""
        return self.history.sums(*self._current_stretch)

    @cached_property
    def squeezed(self) -> AccountPlan:
        """The cost centre that is given too little."""
        return self.plan.busiest_cost_centre()

    @property
    def terms(self) -> Terms:
        """How the contract is sized."""
        return TERMS[self.key]

    @property
    def anchor_day(self) -> int:
        """The cycle's anchor: some days ahead of today, so that there is always a cycle nearing its end."""
        return min(28, (self.now.astimezone(TIME_ZONE) + timedelta(days=self.terms.days_left)).day)

    @property
    def history_from(self) -> datetime:
        """When the recorded past begins."""
        return self.now - timedelta(days=self.days)

    @property
    def began_at(self) -> datetime:
        """When enterprise and contract began: with the cycle that holds the first record."""
        return self._cycle_of(self.history_from).starts_at

    def _cycle_of(self, instant: datetime) -> Period:
        return cycle_of(instant, TIME_ZONE, self.anchor_day)

    @property
    def _current_stretch(self) -> Span:
        return max(self._cycle_of(self.now).starts_at, self.history_from), self.now

    def granted_units(self) -> dict[Service, int]:
        """The allowances of a cycle."""
        since, _ = self._current_stretch
        elapsed_share = (self.now - since) / (self._cycle_of(self.now).ends_at - since)
        return granted_units(self.terms, self.sums, elapsed_share)

    def data_used(self, account: AccountPlan) -> int:
        """Octets of the current cycle on an account and below, as far as the allowance may cover them."""
        return sum(self.sums.data_by_account[code] for code in self.plan.below(account.code))

    def cycles(self) -> Iterator[Period]:
        """The contract's cycles up to the current one."""
        cycle = self._cycle_of(self.history_from)
        while cycle.starts_at < self.now:
            yield cycle
            cycle = next_cycle(cycle, TIME_ZONE, self.anchor_day)

    def deliveries(self, cycle: Period, reached: datetime) -> Iterator[Span]:
        """The stretches of a cycle that come in one delivery each, from `reached` on.

        Few large deliveries are charged faster than many small ones.
        """
        days = int(DELIVERY_RECORDS / (len(self.plan.lines) * RECORDS_PER_LINE_AND_DAY))
        step = timedelta(days=max(1, min(DELIVERY_MOST_DAYS, days)))
        starts_at = max(cycle.starts_at, self.history_from, reached)
        while starts_at < min(cycle.ends_at, self.now):
            ends_at = min(starts_at + step, cycle.ends_at, self.now)
            yield starts_at, ends_at
            starts_at = ends_at

    def spans(self, reached: datetime) -> Iterator[Span]:
        """The stretches of all deliveries from `reached` on."""
        for cycle in self.cycles():
            yield from self.deliveries(cycle, reached)
