"""Faults lose nothing and double nothing: a real stack, killed piece by piece while a client reports usage.

Workers, broker, database, web server and beat are killed at random moments (`FAULTS_SEED` repeats their order,
`FAULTS_SECONDS` lengthens the storm) and started again as a supervisor does; nobody mends anything. Afterwards the
client's own numbers of its uses are compared with what was charged. Each comparison has a control in which it must
find something.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.faults.comparison import differences, wait_until_charged
from tests.faults.house import House, build_in
from tests.faults.sender import Sender, deliveries, make_uses
from tests.stack import Stack, own_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
STORM_SECONDS = float(os.environ.get("FAULTS_SECONDS") or 30)
#: Everything must be charged so soon after all is up again; a start alone takes half a minute where it is busy.
RECOVERY_SECONDS = 150
#: What is killed, and how often of a hundred times.
TARGETS = {"charging1": 25, "charging2": 25, "database": 20, "broker": 20, "web": 5, "beat": 5}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Durable servers of its own, two workers: what `make run` starts."""
    with own_stack(workers=2, durable=True) as started:
        yield started


@pytest.fixture(scope="module")
def house(stack: Stack) -> House:
    """The enterprise whose usage is reported, made in the stack's database."""
    return build_in(stack.environment, "Storm")[0]


class Storm:
    """Kills and revives parts of a stack; a supervisor's work, done in the thread that may start programs."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack, self.kills = stack, dict.fromkeys(TARGETS, 0)
        self._chance = random.Random(seed)
        self._due: dict[str, float] = {}

    def rage(self, seconds: float, *, until: Callable[[], bool], at_most_seconds: float) -> None:
        """Kill at random moments for so long, and on `until` what should be hit was. Several may be down at a time."""
        started_at = time.monotonic()
        next_kill_at = 0.0
        while (raged := time.monotonic() - started_at) < seconds or (raged < at_most_seconds and not until()):
            if time.monotonic() >= next_kill_at:
                self._kill(self._chance.choices([*TARGETS], [*TARGETS.values()])[0])
                next_kill_at = time.monotonic() + self._chance.uniform(0.3, 4)
            self._revive(lambda due_at: due_at <= time.monotonic())
            time.sleep(0.02)

    def calm(self) -> None:
        """Start all that is down."""
        self._revive(lambda _: True)

    def _kill(self, target: str) -> None:
        if target in self._due:
            return
        match target:
            case "database" if self._chance.random() < 0.5:
                self._kill_every_process(self.stack.servers.postgres)
            case "database":
                self.stack.kill_database()
            case "broker":
                self.stack.kill_broker()
            case _:
                self.stack.kill(target)
        self.kills[target] += 1
        self._due[target] = time.monotonic() + self._chance.uniform(0.2, 3)

    @staticmethod
    def _kill_every_process(server) -> None:
        """As when the machine's memory runs out: SIGKILL to the server and its children, none can tidy up."""
        for process in server.processes():
            process.kill()
        server.stop(at_once=True)

    def _revive(self, due) -> None:
        for target in [target for target, due_at in self._due.items() if due(due_at)]:
            match target:
                case "database":
                    self.stack.start_database()
                case "broker":
                    self.stack.start_broker()
                case _:
                    self.stack.revive(target)
            del self._due[target]


def was_hit(sender: Sender) -> bool:
    """Whether a sender has met errors and has lost answers: on a slow machine that takes longer."""
    return bool(sender.errors and sender.lost)


def differences_of(stack: Stack, sender: Sender) -> list[str]:
    """What the comparison finds of all that a sender was told was accepted."""
    with psycopg.connect(stack.environment["DATABASE_URL"]) as connection:
        return differences(connection, sender.house, sender.source, sender.accepted)


def test_killing_workers_broker_and_database_under_load_loses_and_doubles_nothing(
    stack: Stack, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    storm = Storm(stack, SEED)
    senders = [
        Sender(
            stack.url,
            house,
            source,
            deliveries(make_uses(house, source, 40_000, seed=SEED), size=100, seed=SEED, doubles=0.05),
            seed=SEED,
            lost_answers=0.1,
            pause_seconds=0.2,
        )
        for source in ("network-a", "network-b")
    ]
    for sender in senders:
        sender.start()
    storm.rage(STORM_SECONDS, until=lambda: all(map(was_hit, senders)), at_most_seconds=4 * STORM_SECONDS)
    storm.calm()
    up_at = time.monotonic()
    stack.wait_until_ready()
    ready_seconds = time.monotonic() - up_at
    for sender in senders:
        sender.finish()
    wait_until_charged(stack.environment["DATABASE_URL"], within_seconds=RECOVERY_SECONDS)
    recovered_seconds = time.monotonic() - up_at
    with capsys.disabled():
        told = ", ".join(f"{part} {times}" for part, times in storm.kills.items())
        print(
            f"\nFAULTS_SEED={SEED}: killed {told}; {sum(len(s.accepted) for s in senders):,} records accepted in "
            f"{sum(s.tries for s in senders)} tries with {sum(s.errors for s in senders)} errors; "
            f"ready {ready_seconds:.1f} s and all charged {recovered_seconds:.1f} s after the last start"
        )

    assert all(map(was_hit, senders)), "the storm has not reached the clients"
    assert [refusal for sender in senders for refusal in sender.refusals] == []
    assert [differences_of(stack, sender) for sender in senders] == [[], []]
    assert "identities hold" in stack.manage("check_ledger")
    assert [name for name, one in stack.services.items() if not one.runs()] == [], "ended without being killed"
    stack.wait_until_ready()


def test_the_comparison_finds_uses_that_a_client_without_identities_reports_twice(stack: Stack, house: House) -> None:
    uses = make_uses(house, "no-identities", 100, seed=SEED, bad=0)
    sender = Sender(
        stack.url,
        house,
        "no-identities",
        deliveries(uses, size=10, seed=SEED),
        seed=1,
        lost_answers=0.5,
        new_identities=True,
    )
    sender.start()
    sender.join(60)
    assert len(sender.accepted) == 100
    assert sender.lost
    wait_until_charged(stack.environment["DATABASE_URL"], within_seconds=RECOVERY_SECONDS)
    found = differences_of(stack, sender)
    assert sum(" was charged " in words for words in found) >= 10
    assert not any("lost" in words for words in found)


def test_the_comparison_finds_what_disappeared_behind_the_products_back(stack: Stack, house: House) -> None:
    uses = make_uses(house, "to-be-harmed", 30, seed=SEED, bad=0)
    sender = Sender(stack.url, house, "to-be-harmed", deliveries(uses, size=10, seed=SEED), seed=1)
    sender.start()
    sender.join(60)
    wait_until_charged(stack.environment["DATABASE_URL"], within_seconds=RECOVERY_SECONDS)
    assert differences_of(stack, sender) == []
    harm = {
        "use 7 is lost": "DELETE FROM balances_usagerecord u WHERE {mine} AND u.attributes ->> 'use' = '7'",
        "30 records were accepted, 20 are charged, duplicate or suspended": (
            "DELETE FROM balances_usagepart WHERE id = (SELECT min(u.part_id) FROM balances_usagerecord u WHERE {mine})"
        ),
        "1 parts are queued": (
            "UPDATE balances_usagepart SET state = 'queued' "
            "WHERE id = (SELECT min(u.part_id) FROM balances_usagerecord u WHERE {mine})"
        ),
    }
    mine = "u.source_record_id LIKE 'to-be-harmed-%%'"
    with psycopg.connect(stack.servers.state.superuser_url("portal")) as connection:
        for expected, statement in harm.items():
            connection.execute("SET session_replication_role = replica")  # no trigger protects the data
            assert connection.execute(statement.format(mine=mine).replace("%%", "%")).rowcount == 1
            found = differences(connection, house, sender.source, sender.accepted)
            connection.rollback()
            assert expected in found
