"""A stateful property: whatever is allocated, used, moved, closed and repeated, the database says what the model says.

By default a short walk that fits into every run; REFERENCE_EXAMPLES and REFERENCE_STEPS make it as long as wanted.
Each example runs in a transaction that is rolled back.
"""

from __future__ import annotations

import os
from datetime import timedelta

import hypothesis.strategies as st
import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from balances import contracts, cycles, hierarchy, inventory, ledger, proof
from balances.errors import Refused
from balances.models import Bucket
from balances.units import LARGEST_UNITS
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging.reference import Owner, Record, Refusal
from tests.charging.small_world import BOUNDARIES, LINES, NUMBERS, SECOND_VERSION, SERVICES, START, World, differences

EXAMPLES = int(os.environ.get("REFERENCE_EXAMPLES", "12"))
STEPS = int(os.environ.get("REFERENCE_STEPS", "25"))

OWNERS: list[Owner] = [("account", code) for code in ("R", "N", "N1", "N2", "S", "S1")]
OWNERS += [("line", name) for name in LINES]
CUTS = [*BOUNDARIES[:6], SECOND_VERSION]

#: Distances from the clock or from a boundary.
near = st.sampled_from([timedelta(0), timedelta(seconds=1), timedelta(seconds=-1), timedelta(microseconds=1)])
back = st.one_of(
    st.integers(0, 72).map(lambda hours: timedelta(hours=hours)),
    st.integers(0, 60).map(lambda days: timedelta(days=days)),
    st.just(timedelta(minutes=-4)),
    st.just(timedelta(minutes=-6)),
)
lengths = st.one_of(
    st.none(),
    st.just(timedelta(0)),
    st.just(timedelta(seconds=-1)),
    st.integers(1, 7200).map(lambda seconds: timedelta(seconds=seconds)),
    st.integers(1, 40).map(lambda days: timedelta(days=days)),
)
amounts = st.one_of(
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(31, 160),
    st.sampled_from([0, 1, -1, LARGEST_UNITS + 1]),
)


class Charging(RuleBasedStateMachine):
    """The database and the model, driven side by side."""

    world: World

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

    @initialize(steps=st.integers(0, 3))
    def begin_somewhere_in_spring(self, steps):
        self.now += timedelta(days=9) * steps

    # --- usage -------------------------------------------------------------------------------------------------------

    def _new(self, source, service, line, units, used_at, length, network) -> Record:
        self.names += 1
        return Record(
            source=source,
            id=f"cdr-{self.names}",
            service=service,
            number=NUMBERS.get(line, "4917099999999"),
            units=units,
            used_at=used_at,
            ended_at=None if length is None else used_at + length,
            network=network,
        )

    def _send(self, records: list[Record]) -> None:
        self.world.accept(records, self.now)
        self.sent += records
        self.waiting += records

    @rule(data=st.data(), source=st.sampled_from(["one", "two"]), count=st.integers(1, 6))
    def usage_arrives(self, data, source, count):
        records = []
        for _ in range(count):
            at_cut = data.draw(st.booleans()) and data.draw(st.booleans())
            used_at = data.draw(st.sampled_from(CUTS)) + data.draw(near) if at_cut else self.now - data.draw(back)
            records.append(
                self._new(
                    source,
                    data.draw(st.sampled_from(["data"] * 6 + ["voice"] * 3 + ["messaging", "video_conferencing"])),
                    data.draw(st.sampled_from([*LINES, "a", "c", "nobody"])),
                    data.draw(amounts),
                    used_at,
                    data.draw(lengths),
                    data.draw(st.sampled_from(["", "", "262", "26201", "20801", "20810", "310"])),
                )
            )
        self._send(records)

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
        while pipeline.charge_group(self.world.enterprise.id, at=self.now, most_records=most):
            pass
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

    def _bucket(self, data, *, kinds=("grant", "rollover", "allocation")) -> tuple[str, int] | None:
        keys = {key: number for number, key in self.world.bucket_keys().items() if key.split(":")[0] in kinds}
        open_keys = [key for key in sorted(keys) if not self.model.buckets[key].is_closed]
        if not (open_keys or keys):
            return None
        key = data.draw(st.sampled_from(open_keys or sorted(keys)))
        return key, keys[key]

    @rule(data=st.data(), owner=st.sampled_from(OWNERS), units=st.integers(1, 60))
    def units_are_allocated(self, data, owner, units):
        self.charge(4000)
        if (chosen := self._bucket(data)) is None:
            return
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

    @rule(data=st.data(), units=st.integers(1, 40))
    def units_are_taken_back(self, data, units):
        self.charge(4000)
        if chosen := self._bucket(data, kinds=("allocation",)):
            self.both(
                lambda: ledger.take_back(bucket_id=chosen[1], units=units, actor=ACTOR, at=self.now),
                lambda: self.model.take_back(chosen[0], units, self.now),
            )

    @rule(data=st.data(), units=st.integers(1, 60))
    def units_are_reserved(self, data, units):
        self.charge(4000)
        if (chosen := self._bucket(data)) is None:
            return
        self.names += 1
        name = f"session-{self.names}"
        expires_at = self.now + timedelta(hours=1)
        if self.both(
            lambda: ledger.reserve(
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
            lambda: ledger.settle(key=name, used_units=used, actor=ACTOR, at=self.now),
            lambda: self.model.settle(name, used),
        ):
            self.sessions.remove(name)

    # --- who belongs where -------------------------------------------------------------------------------------------

    @rule(code=st.sampled_from(["N", "N1", "N2", "S", "S1"]), to=st.sampled_from(["R", "N", "N1", "N2", "S", "S1"]))
    def an_account_moves(self, code, to):
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

    @rule(
        owner=st.sampled_from(OWNERS),
        service=st.sampled_from(["data", "voice"]),
        percent=st.sampled_from([None, 50, 100]),
        units=st.integers(1, 120),
    )
    def a_mark_is_set(self, owner, service, percent, units):
        self.charge(4000)
        kind, name = owner
        threshold = contracts.set_threshold(
            account=self.world.accounts[name] if kind == "account" else None,
            line=self.world.lines[name] if kind == "line" else None,
            service=SERVICES[service],
            percent=percent,
            units=units if percent is None else None,
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


def walk(world: World) -> None:
    machine = type("Charging", (Charging,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="REFERENCE_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
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
