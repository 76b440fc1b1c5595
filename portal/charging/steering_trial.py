"""Who would pay for a made-up event, or for a real one under other rules: charged by the real charger, nothing is kept.

Owns: a rolled-back look ahead for the form that asks, with what each rule in reach says to the event. Takes no lock, so
what it says holds for this moment only. `is_walled`: it knows nothing that people do for themselves, so that whatever
is asked tells nothing of it (docs/byod.md, The wall); what is shown of the rest to whom is its caller's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from balances.models import ChargingState, Line
from balances.units import price_micros, round_up
from policies.conditions import Traced
from policies.models import BudgetMeasure, SteeringVersion
from policies.steering.book import SteeringBook
from policies.steering.outcomes import StandingVersion
from policies.steering.rules import CORPORATE, Missing
from portal.charging import reasons as wording
from portal.charging.budgets import Budgets
from portal.charging.charger import Charger
from portal.charging.group import CannotCharge, Part, Seen
from portal.charging.personal import PersonalBook, PersonalLeg
from portal.charging.records import END, Usage, parse_canonical
from portal.charging.state import EnterpriseState


@dataclass(frozen=True, slots=True)
class ForeseenLeg:
    """What one payer would have of one piece of the event.

    `amount_micros`: of the company, overage at the contract's rate; of a person, by the tariff of the account.
    `value_micros`: what the units cost at the contract's rate without an allowance.
    """

    starts_at: datetime
    ends_at: datetime | None
    is_personal: bool
    units: int
    refused_units: int
    covered_units: int
    amount_micros: int
    value_micros: int
    rule_id: int | None  # version's id * 1000 + place; None: nobody said anything
    part: int | None
    codes: str

    @property
    def words(self) -> list[str]:
        """The reasons as sentences."""
        return wording.words(self.codes)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule says to the event at its beginning; `decides`: it is the first that matches."""

    version: StandingVersion
    number: int
    name: str
    is_fixed: bool
    holds: bool | None
    comparisons: tuple[Traced, ...]
    decides: bool


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The legs in order of time, or why the record would wait in suspense."""

    legs: tuple[ForeseenLeg, ...] = ()
    asked: tuple[Asked, ...] = ()
    reason: str = ""
    detail: str = ""

    @property
    def is_charged(self) -> bool:
        """Whether the record would be charged."""
        return not self.reason


def foresee(
    *, line: Line, usage: Usage, at: datetime, instead: SteeringVersion | None = None, own_id: str = "",
    is_walled: bool = False,
) -> Foreseen:  # fmt: skip
    """Who would pay `usage` (a normalised record of the line) if it came at `at`.

    `instead`: a draft in place of its account's published rules. `own_id`: an identity that counts as free.
    `is_walled`: as if people could pay anything and had used nothing; a draft's budgets count as theirs, too, where a
    published rule has the same one for them.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        charging = ChargingState.objects.get(enterprise_id=line.enterprise_id)
        state = EnterpriseState(line.enterprise_id)
        state.refresh(
            cursor, charging.configuration_version, charging.charge_sequence, at + settings.USAGE_FUTURE_TOLERANCE
        )
        published = state.steering.book if state.steering is not None else None
        if instead is not None:
            state.steer_by(instead)
        if is_walled and state.steering is not None:
            state.steering.budgets = _CompanysBudgets(line.enterprise_id, published, state.steering.book)
            state.personal = _Anybody(line.enterprise_id)
        trial = _Trial(cursor, line.enterprise_id, state, at)
        trial.own_id, trial.seen = own_id or usage.source_record_id, []
        asked = trial.asked(usage)
        trial.charge_part(Part(0, 0, [usage]), poisoned=frozenset(), skipped=frozenset())
        transaction.set_rollback(True)
    if trial.suspended:
        return Foreseen(asked=asked, reason=trial.suspended[0].reason, detail=trial.suspended[0].detail)
    return Foreseen(tuple(_legs(trial.seen, usage.ended_at)), asked)


class _Trial(Charger):
    """A charger to whom one identity is free."""

    own_id: str = ""

    def _identities(self, part: Part) -> dict[str, tuple[int, int]]:
        known = super()._identities(part)
        known.pop(self.own_id, None)
        return known

    def asked(self, usage: Usage) -> tuple[Asked, ...]:
        """What the rules in reach say; nothing where none is asked: of an emergency, or of what cannot be charged."""
        state, service = self.state, usage.service
        if state.steering is None or usage.fault or state.steering.is_emergency(service, usage):
            return ()
        state.load_lines(self.cursor, {(usage.number_kind, usage.number)})
        try:
            line_id, account_id = self.locate(usage)
            stretch = self.find_stretch(usage.used_at)
        except CannotCharge:
            return ()
        zone_id = state.zone_of(usage.visited_network)
        rate = stretch.rates.get((service, zone_id))
        if rate is None:
            return ()
        units = round_up(usage.units, rate.increment_units, rate.minimum_units)  # rules are asked of what is charged
        chain = state.chain_of(self.cursor, account_id, usage.used_at)
        found, decided = [], False
        for version, number, rule, holds, comparisons in state.steering.asked(
            self.cursor, chain, usage, line_id, service, zone_id, units, stretch
        ):
            decides = holds is True and not decided
            found.append(Asked(version, number, rule.name, rule.is_fixed, holds, tuple(comparisons), decides))
            decided = decided or decides
        return tuple(found)


class _Anybody(PersonalBook):
    """Personal accounts that pay whatever comes, and of which nothing cuts a session: they tell nothing of any."""

    def ready(self, cursor, person_ids: Collection[int]) -> None:
        """Nothing of anybody is asked for."""

    def charge(
        self, cursor, *, person_id: int | None, service: int, zone_id: int, units: int, starts: str,
        missing: Missing, value: Callable[[int], int],
    ) -> PersonalLeg:  # fmt: skip
        """All of it is granted."""
        return PersonalLeg(units=units)

    def turns_between(self, person_id: int | None, starts: str, ends: str, known: str = END) -> list[str]:
        """None."""
        return []


class _CompanysBudgets(Budgets):
    """Budgets that have taken up what they have where only the company ever had a part of them, and else nothing."""

    def __init__(self, enterprise_id: int, *books: SteeringBook | None):
        super().__init__(enterprise_id)
        self._peoples = {
            (budget.steering_id, budget.name)
            for book in books
            if book is not None
            for version in book.versions
            for number, rule in ((0, None), *enumerate(version.terms.rules, start=1))
            for outcome in (version.outcome_of(number, rule),)
            for place, budget in outcome.budgets.items()
            if outcome.parts[place - 1].payer != CORPORATE or budget.measure == BudgetMeasure.SHARED
        }

    def _of(self, cursor, period) -> dict[int, int]:
        if (period.steering_id, period.name) in self._peoples:
            return self._used.setdefault(period, {})
        return super()._of(cursor, period)


def _legs(seen: list[Seen], ended_at: str) -> list[ForeseenLeg]:
    """The legs in order of time, each until the next one of another time begins."""
    seen = sorted(seen, key=lambda one: one.starts)
    legs = []
    for one in seen:
        ends = next((other.starts for other in seen if other.starts > one.starts), ended_at)
        rule, part = (None if cell == "\\N" else int(cell) for cell in one.rule.split("\t"))
        legs.append(
            ForeseenLeg(
                parse_canonical(one.starts), parse_canonical(ends) if ends else None, one.is_personal, one.units,
                one.refused_units, one.covered_units, one.amount_micros,
                price_micros(one.units, one.rate.price_micros, one.rate.block_units), rule, part, one.reasons,
            )
        )  # fmt: skip
    return legs
