"""The walk of `test_reference.py` with limits put in its way: made, changed, consented to, on every kind of owner."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import Phase
from hypothesis.stateful import initialize, precondition, rule

from balances import proof
from policies import consent, limits
from policies.models import Limit as LimitRow
from policies.proof import CHECKS
from portal.charging import limits as memory
from portal.charging.guarding import Guarding
from portal.charging.watches import Watched
from tests.cast import ACTOR
from tests.charging import reference
from tests.charging.small_world import SERVICES, World
from tests.charging.test_reference import OWNERS, Charging, seeds, walk

ACTIONS = ["notify", "block_new", "stop_now", "stop_now", "consent"]
WINDOWS = ["day", "week", "cycle", "cycle", "sliding_24h", "lifetime"]
#: More would let hardly any usage pass.
LIMITS_MOST = 3


class Limiting(Charging):
    """The same, and what people do about limits."""

    @initialize(seed=seeds)
    def begin_with_a_limit_that_is_soon_used_up(self, seed):
        chance = random.Random(seed)
        self._make(chance, ("account", chance.choice(["R", "N"])), "data", None, chance.randint(5, 60), "stop_now")

    @precondition(lambda self: len(self.model.limits) < LIMITS_MOST)
    @rule(seed=seeds)
    def a_limit_is_made(self, seed):
        chance = random.Random(seed)
        owner, money = chance.choice(OWNERS), chance.random() < 0.3
        service = chance.choice(["data", None]) if money else chance.choice(["data", "data", "voice"])
        zone = chance.choice([None, None, "abroad", "home"])
        amount = chance.choice([0, 9_000, 90_000, 700_000]) if money else chance.randint(0, 150)
        self._make(chance, owner, service, zone, amount, chance.choice(ACTIONS), money=money)

    def _make(self, chance, owner, service, zone, amount, action, *, money=False) -> None:
        self.charge(4000)
        kind, name = owner
        made = limits.make(
            account=self.world.accounts[name] if kind == "account" else None,
            line=self.world.lines[name] if kind == "line" else None,
            service=SERVICES[service] if service else None,
            zone=self.world.zones["home"] if zone == "home" else None,
            is_abroad=zone == "abroad",
            measure="money" if money else "units",
            window=chance.choice(WINDOWS),
            amount=amount,
            percents=[50, 100],
            action=action,
            actor=ACTOR,
            at=self.now,
        )
        twin = reference.Limit(
            made.id, owner, service, zone, money, made.window, amount, action, (50, 100), made.counts_from
        )
        self.model.limits.append(twin)
        self.model.cross(twin, twin.period(self.now))

    def _chosen(self, chance: random.Random) -> tuple[reference.Limit, LimitRow]:
        twin = chance.choice(self.model.limits)
        return twin, limits.standing_row(LimitRow.objects.get(id=twin.name))

    @precondition(lambda self: self.model.limits)
    @rule(seed=seeds)
    def a_limit_is_raised_or_lowered(self, seed):
        self.charge(4000)
        chance = random.Random(seed)
        twin, row = self._chosen(chance)
        amount, action = row.amount * chance.randint(0, 8) // 4, chance.choice(ACTIONS)
        limits.change(limit=row, amount=amount, action=action, actor=ACTOR, at=self.now)
        twin.amount, twin.action = amount, action
        self.model.cross(twin, twin.period(self.now))

    @precondition(lambda self: self.model.limits)
    @rule(seed=seeds)
    def somebody_consents_to_more(self, seed):
        self.charge(4000)
        chance = random.Random(seed)
        twin, row = self._chosen(chance)
        extra = chance.randint(1, 40) * (1_000 if twin.counts_money else 1)
        consent.extend(limit=row, shown=consent.shown_now(row, self.now), amount=extra, actor=ACTOR, at=self.now)
        twin.extras.append((twin.period(self.now), extra))
        self.model.cross(twin, twin.period(self.now))

    def prove(self):
        super().prove()
        assert [f for f in proof.prove(enterprise_id=self.world.enterprise.id, checks=CHECKS) if not f.holds] == []


@pytest.fixture(autouse=True)
def all_room_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the first kind of event that asks, so that all others meet it as a lender at every bound and mark."""
    monkeypatch.setattr(memory, "SHARES", 1)


@pytest.mark.django_db
@pytest.mark.timeout(0 if "REFERENCE_EXAMPLES" in os.environ else 240)
def test_whatever_happens_limits_hold_as_the_model_says():
    walk(World(), machine=Limiting)


@pytest.mark.django_db
def test_what_was_used_of_a_loan_and_is_not_said_is_found(monkeypatch: pytest.MonkeyPatch):
    """The control of lending."""

    def forget(limits: memory.Limits, watched: Watched) -> None:
        watched.unit_left, watched.money_left = watched.unit_lent, watched.money_lent
        right(limits, watched)

    right = memory.Limits.settle
    monkeypatch.setattr(memory.Limits, "settle", forget)
    with pytest.raises(Exception):  # noqa: B017 - a difference, or the database's own refusal
        walk(World(), machine=Limiting, examples=10, phases=(Phase.generate,))


@pytest.mark.django_db
def test_a_limit_that_counts_what_it_refused_is_found(monkeypatch: pytest.MonkeyPatch):
    """The control."""
    right = Guarding.count
    monkeypatch.setattr(
        Guarding, "count", lambda self, watched, event, _, amount: right(self, watched, event, event.units, amount)
    )
    with pytest.raises(Exception):  # noqa: B017 - a difference, or the database's own refusal
        walk(World(), machine=Limiting, examples=10, phases=(Phase.generate,))
