"""A stateful property: whatever is allocated, used, moved, closed and repeated, the database says what the model says.

By default a short walk that fits into every run; REFERENCE_EXAMPLES and REFERENCE_STEPS make it as long as wanted.
Each example runs in a transaction that is rolled back.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from datetime import datetime, timedelta

import hypothesis.strategies as st
import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from structlog.testing import capture_logs

from balances import contingency, contracts, cycles, draw_caps, hierarchy, inventory, ledger, proof, reservations
from balances.errors import Refused
from balances.models import Bucket, DrawCap
from balances.units import LARGEST_UNITS
from portal.charging import pipeline
from portal.charging.state import EnterpriseState
from tests.cast import ACTOR
from tests.charging.reference import Owner, Record, Refusal
from tests.charging.small_world import BOUNDARIES, LINES, NUMBERS, SECOND_VERSION, SERVICES, START, World, differences

EXAMPLES = int(os.environ.get("REFERENCE_EXAMPLES", "10"))
STEPS = int(os.environ.get("REFERENCE_STEPS", "15"))

ACCOUNTS = ["R", "N", "N1", "N2", "S", "S1"]
MOVABLE = ACCOUNTS[1:]
OWNERS: list[Owner] = [("account", code) for code in ACCOUNTS]
OWNERS += [("line", name) for name in LINES]
CUTS = [*BOUNDARIES[:6], SECOND_VERSION]

NEAR = [timedelta(0), timedelta(seconds=1), timedelta(seconds=-1), timedelta(microseconds=1)]
NETWORKS = ["", "", "", "262", "26201", "20801", "20801", "20810", "310"]
#: Chosen by hypothesis, unfolded by `random`: whole deliveries of believable records instead of a few odd ones.
seeds = st.integers(0, 2**32)


class Charging(RuleBasedStateMachine):
    """The database and the model, driven side by side."""

    world: World
    #: How many caps to begin with: few, because they keep buckets from being used up, which is where faults show.
    caps_at_first = (0, 0, 0, 1)

    def __init__(self):
        super().__init__()
        self.example = transaction.atomic()
        self.example.__enter__()
        pipeline.forget_everything()
        self.model = self.world.reference()
        self.now = START
        self.sent: list[Record] = []
        self.waiting: list[Record] = []
        self.names = 0
        self.sessions: list[str] = []

    def teardown(self):
        try:
            self.charge(4000)
            self.prove()
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)

    @initialize(seed=seeds)
    def begin_somewhere_in_spring_with_units_and_marks_spread_over_the_tree(self, seed):
        chance = random.Random(seed)
        self.now += timedelta(days=9) * chance.randint(0, 3)
        for _ in range(chance.randint(0, 5)):
            self._allocate(chance)
        for _ in range(chance.randint(0, 4)):
            self._set_mark(chance)
        for _ in range(chance.choice(self.caps_at_first)):
            self._set_cap(chance)
        for _ in range(chance.randint(0, 2)):
            self._move(chance.choice(MOVABLE), chance.choice(ACCOUNTS))
        self._send([self._usage("one", chance) for _ in range(chance.randint(1, 8))])

    # --- usage -------------------------------------------------------------------------------------------------------

    def _usage(self, source: str, chance: random.Random) -> Record:
        """A record that can be charged, as a rule."""
        self.names += 1
        line = chance.choice("aaabbcccd") if chance.random() < 0.96 else "nobody"
        used_at = self._time(chance)
        length = self._length(chance)
        if length and used_at + length > self.now and chance.random() < 0.95:
            length = max(self.now - used_at, timedelta(0))
        return Record(
            source=source,
            id=f"cdr-{self.names}",
            service=chance.choice(["data"] * 12 + ["voice"] * 6 + ["messaging", "video_conferencing"]),
            number=NUMBERS.get(line, "4917099999999"),
            units=self._units(chance),
            used_at=used_at,
            ended_at=None if length is None else used_at + length,
            network=chance.choice(NETWORKS),
        )

    def _time(self, chance: random.Random) -> datetime:
        kind = chance.random()
        if kind < 0.2:  # at a boundary
            return chance.choice([cut for cut in CUTS if cut < self.now] or CUTS) + chance.choice(NEAR)
        if kind < 0.24:
            return self.now + timedelta(minutes=chance.choice([4, 6]))
        most_hours = 72 if kind < 0.7 else 55 * 24
        return self.now - timedelta(seconds=chance.randint(0, most_hours * 3600))

    def _length(self, chance: random.Random) -> timedelta | None:
        kind = chance.random()
        if kind < 0.5:
            return None
        if kind < 0.53:
            return timedelta(seconds=-1)
        return timedelta(seconds=chance.randint(0, 7200 if kind < 0.8 else 40 * 24 * 3600))

    def _units(self, chance: random.Random) -> int:
        kind = chance.random()
        if kind < 0.1:
            return chance.choice([0, 0, 0, -1, LARGEST_UNITS + 1])
        return chance.randint(1, 30) if kind < 0.85 else chance.randint(31, 160)

    def _send(self, records: list[Record]) -> None:
        self.world.accept(records, self.now)
        self.sent += records
        self.waiting += records

    @rule(seed=seeds, source=st.sampled_from(["one", "two"]), count=st.integers(1, 9))
    def usage_arrives(self, seed, source, count):
        chance = random.Random(seed)
        self._send([self._usage(source, chance) for _ in range(count)])

    @rule(seed=seeds, most=st.sampled_from([1, 5, 4000]))
    def usage_arrives_in_several_deliveries_and_is_charged(self, seed, most):
        chance = random.Random(seed)
        for _ in range(chance.randint(1, 3)):
            source = chance.choice(["one", "two"])
            self._send([self._usage(source, chance) for _ in range(chance.randint(1, 5))])
        self.charge(most)

    @rule(seed=seeds)
    def usage_arrives_late_after_the_turn_of_the_cycle(self, seed):
        """The month is closed while usage of it is still on its way, and usage of the next one has begun."""
        chance = random.Random(seed)
        cut = next(boundary for boundary in BOUNDARIES if boundary > self.now)
        if cut >= BOUNDARIES[6]:
            return
        self.charge(4000)
        self.now = cut + timedelta(hours=chance.randint(1, 90))
        self.cycles_turn()
        for _ in range(2):
            late = [self._usage("one", chance) for _ in range(4)]
            self._send([replace(r, used_at=cut - timedelta(hours=n + 2), ended_at=None) for n, r in enumerate(late)])
            self._send([self._usage("two", chance) for _ in range(3)])
        self.charge(chance.choice([1, 4000]))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), changed=st.sampled_from([0, 0, 3]), other_source=st.booleans())
    def usage_arrives_again(self, data, changed, other_source):
        first = data.draw(st.sampled_from(self.sent))
        source = {"one": "two", "two": "one"}[first.source] if other_source else first.source
        self._send(
            [Record(source, first.id, first.service, first.number, first.units + changed, first.used_at,
                    first.ended_at, first.network)]
        )  # fmt: skip

    @rule(most=st.sampled_from([1, 3, 4000]))
    def charge(self, most):
        with capture_logs() as told:
            while pipeline.charge_group(self.world.enterprise.id, at=self.now, most_records=most):
                pass
        # A group that the database refuses is charged again from a fresh memory, which would hide what was wrong.
        assert [entry for entry in told if entry["log_level"] == "error"] == []
        for record in self.waiting:
            self.model.take(record, self.now)
        self.waiting = []
        assert not differences(self.world, self.model)

    @rule()
    def another_worker_takes_over(self):
        pipeline.forget_everything()

    # --- time --------------------------------------------------------------------------------------------------------

    @rule(step=st.sampled_from([timedelta(hours=5), timedelta(days=3), timedelta(days=20)]))
    def time_passes(self, step):
        if self.now + step < BOUNDARIES[6]:
            self.charge(4000)
            self.now += step

    @rule()
    def cycles_turn(self):
        self.charge(4000)
        cycles.close_cycles(enterprise_id=self.world.enterprise.id, at=self.now, actor=ACTOR)
        self.model.close_cycles(self.now)
        assert not differences(self.world, self.model)

    # --- balances ----------------------------------------------------------------------------------------------------

    def both(self, real, wanted) -> bool:
        """Do an act on both sides; they refuse it both or do it both."""
        self.charge(4000)
        try:
            wanted()
        except Refusal:
            with pytest.raises(Refused):
                real()
            return False
        real()
        assert not differences(self.world, self.model)
        return True

    def _bucket(self, chance: random.Random, *, kinds=("grant", "rollover", "allocation")) -> tuple[str, int] | None:
        keys = {key: number for number, key in self.world.bucket_keys().items() if key.split(":")[0] in kinds}
        open_keys = [key for key in sorted(keys) if not self.model.buckets[key].is_closed]
        if not keys:
            return None
        key = chance.choice(open_keys if open_keys and chance.random() < 0.9 else sorted(keys))
        return key, keys[key]

    def _allocate(self, chance: random.Random) -> None:
        self.charge(4000)
        if (chosen := self._bucket(chance)) is None:
            return
        owner, units = chance.choice(OWNERS), chance.randint(1, 45)
        kind, name = owner
        target = (
            {"account_id": self.world.accounts[name].id}
            if kind == "account"
            else {"line_id": self.world.lines[name].id}
        )
        self.both(
            lambda: ledger.allocate(bucket_id=chosen[1], units=units, actor=ACTOR, at=self.now, **target),
            lambda: self.model.allocate(chosen[0], owner, units, self.now),
        )

    @rule(seed=seeds)
    def units_are_allocated(self, seed):
        chance = random.Random(seed)
        for _ in range(chance.randint(1, 3)):
            self._allocate(chance)

    @rule(seed=seeds, units=st.integers(1, 40))
    def units_are_taken_back(self, seed, units):
        self.charge(4000)
        if chosen := self._bucket(random.Random(seed), kinds=("allocation",)):
            self.both(
                lambda: ledger.take_back(bucket_id=chosen[1], units=units, actor=ACTOR, at=self.now),
                lambda: self.model.take_back(chosen[0], units, self.now),
            )

    @rule(seed=seeds, units=st.integers(1, 30), rule=st.sampled_from(["by_hand", "on_exhaustion"]))
    def units_are_set_aside(self, seed, units, rule):
        self.charge(4000)
        if chosen := self._bucket(random.Random(seed)):
            doing = {"actor": ACTOR, "at": self.now}
            self.both(
                lambda: contingency.set_aside(bucket_id=chosen[1], units=units, rule=rule, **doing),
                lambda: self.model.set_aside(chosen[0], rule, units, self.now),
            )

    @rule(seed=seeds)
    def what_was_set_aside_is_released(self, seed):
        self.charge(4000)
        if chosen := self._bucket(random.Random(seed), kinds=("contingency",)):
            self.both(
                lambda: contingency.release(bucket_id=chosen[1], actor=ACTOR, at=self.now),
                lambda: self.model.release(chosen[0], self.now),
            )

    @rule(seed=seeds, units=st.integers(1, 60))
    def units_are_reserved(self, seed, units):
        self.charge(4000)
        if (chosen := self._bucket(random.Random(seed))) is None:
            return
        self.names += 1
        name = f"session-{self.names}"
        expires_at = self.now + timedelta(hours=1)
        if self.both(
            lambda: reservations.reserve(
                bucket_id=chosen[1], key=name, units=units, expires_at=expires_at, actor=ACTOR, at=self.now
            ),
            lambda: self.model.reserve(chosen[0], name, units, self.now),
        ):
            self.sessions.append(name)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), used=st.integers(0, 40))
    def a_session_ends(self, data, used):
        name = data.draw(st.sampled_from(self.sessions))
        if self.both(
            lambda: reservations.settle(key=name, used_units=used, actor=ACTOR, at=self.now),
            lambda: self.model.settle(name, used),
        ):
            self.sessions.remove(name)

    # --- who belongs where -------------------------------------------------------------------------------------------

    @rule(code=st.sampled_from(MOVABLE), to=st.sampled_from(ACCOUNTS))
    def an_account_moves(self, code, to):
        self._move(code, to)

    def _move(self, code: str, to: str) -> None:
        def move():
            if code in self.model.chain_at(to, self.now):
                raise Refusal
            places = self.model.parents[code]
            if places[-1][1] == to:
                return
            if places[-1][0] == self.now:
                places.pop()
            places.append((self.now, to))

        accounts = self.world.accounts
        # A place below itself at this very instant, before another move: refused for the time, not for the tree.
        self.time_passes(timedelta(hours=5))
        self.both(
            lambda: hierarchy.move_account(account=accounts[code], new_parent=accounts[to], actor=ACTOR, at=self.now),
            move,
        )

    @rule(name=st.sampled_from(list(LINES)), to=st.sampled_from(["R", "N", "N2", "S1"]), ago=st.integers(0, 20))
    def a_line_is_assigned(self, name, to, ago):
        from_at = self.now - timedelta(days=ago)

        def assign():
            if (current := self.model.account_at(name, from_at)) is None:
                raise Refusal
            if current != to:
                places = [place for place in self.model.assignments[name] if place[0] != from_at]
                self.model.assignments[name] = sorted([*places, (from_at, to)])

        self.both(
            lambda: inventory.assign_line(
                line=self.world.lines[name], account=self.world.accounts[to], from_at=from_at, actor=ACTOR, at=self.now
            ),
            assign,
        )

    @rule(code=st.sampled_from(["N", "N2", "S1"]), never=st.booleans())
    def drawing_above_is_set(self, code, never):
        self.charge(4000)
        hierarchy.set_draw_above(
            account=self.world.accounts[code], draw_above="never" if never else "always", actor=ACTOR, at=self.now
        )
        (self.model.never_above.add if never else self.model.never_above.discard)(code)

    @rule(seed=seeds)
    def a_cap_on_drawing_above_is_set(self, seed):
        self._set_cap(random.Random(seed))

    def _set_cap(self, chance: random.Random) -> None:
        self.charge(4000)
        kind, name = chance.choice([owner for owner in OWNERS if owner != ("account", "R")])
        service, units = chance.choice(["data", "data", "voice"]), chance.choice([0, 20, 60, 60, 120])
        draw_caps.set_cap(
            account=self.world.accounts[name] if kind == "account" else None,
            line=self.world.lines[name] if kind == "line" else None,
            service=SERVICES[service],
            units=units,
            actor=ACTOR,
            at=self.now,
        )
        self.model.caps[(kind, name), service] = units

    @precondition(lambda self: self.model.caps)
    @rule(data=st.data())
    def a_cap_is_removed(self, data):
        self.charge(4000)
        (kind, name), service = data.draw(st.sampled_from(sorted(self.model.caps)))
        owner = {"account": self.world.accounts[name]} if kind == "account" else {"line": self.world.lines[name]}
        cap = DrawCap.objects.get(service=SERVICES[service], retired_at=None, **owner)
        draw_caps.remove_cap(cap=cap, actor=ACTOR, at=self.now)
        del self.model.caps[(kind, name), service]

    @rule(seed=seeds)
    def a_mark_is_set(self, seed):
        self._set_mark(random.Random(seed))

    def _set_mark(self, chance: random.Random) -> None:
        self.charge(4000)
        kind, name = chance.choice(OWNERS)
        percent = chance.choice([None, 50, 100])
        threshold = contracts.set_threshold(
            account=self.world.accounts[name] if kind == "account" else None,
            line=self.world.lines[name] if kind == "line" else None,
            service=SERVICES[chance.choice(["data", "voice"])],
            percent=percent,
            units=chance.randint(1, 120) if percent is None else None,
            actor=ACTOR,
            at=self.now,
        )
        if all(mark.name != threshold.id for mark in self.model.thresholds):
            self.model.thresholds.append(self.world.mark(threshold))

    # --- always ------------------------------------------------------------------------------------------------------

    def prove(self):
        assert [finding for finding in proof.prove(enterprise_id=self.world.enterprise.id) if not finding.holds] == []
        totals = proof.accounted(enterprise_id=self.world.enterprise.id)
        assert totals["accepted"] == len(self.sent)
        assert {name: totals[name] for name in ("charged", "duplicate", "suspended")} == {
            name: self.model.outcomes[name] for name in ("charged", "duplicate", "suspended")
        }
        assert not Bucket.objects.filter(remaining_units__lt=0).exists()


def walk(world: World, *, machine=Charging, examples: int = EXAMPLES, phases=tuple(Phase)) -> None:
    machine = type(machine.__name__, (machine,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="REFERENCE_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
            phases=phases,
            database=None,
        ),
    )


@pytest.mark.django_db
@pytest.mark.timeout(0 if "REFERENCE_EXAMPLES" in os.environ else 120)
def test_whatever_happens_the_database_says_what_the_model_says():
    walk(World())


@pytest.mark.django_db
@pytest.mark.timeout(0 if "REFERENCE_EXAMPLES" in os.environ else 120)
def test_the_same_holds_where_the_contract_ends_amid_a_cycle():
    walk(World(contract_end=BOUNDARIES[3] + timedelta(days=11, hours=3)))


def _never_look_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EnterpriseState, "_forget_balances", lambda _: None)


def _draw_from_the_root_down(patch: pytest.MonkeyPatch) -> None:
    right = EnterpriseState.plan_of

    def plan_of(self, *place):
        plan = right(self, *place)
        plan.heads = list(reversed(plan.heads))
        return plan

    patch.setattr(EnterpriseState, "plan_of", plan_of)


def _forget_caps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EnterpriseState, "_load_gates", lambda *_: None)
    patch.setattr(Charging, "caps_at_first", (4,))


@pytest.mark.django_db
@pytest.mark.parametrize("fault", [_never_look_again, _draw_from_the_root_down, _forget_caps])
def test_a_fault_put_in_on_purpose_is_found(monkeypatch: pytest.MonkeyPatch, fault):
    """The control: a walk that finds nothing means something only if it can find."""
    fault(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017 - a difference, or the database's own refusal
        walk(World(), examples=15, phases=(Phase.generate,))
