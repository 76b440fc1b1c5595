"""Any number of workers: one, or four that come and go while they charge, give the same result.

An enterprise is never charged by two at once: whoever holds it takes the time before each group, so the times of
its charge sequences would run backwards if two were at it together.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from tests.faults import snapshot
from tests.faults.comparison import wait_until_charged
from tests.faults.house import House, build_in
from tests.faults.sender import Sender, deliveries, make_uses
from tests.stack import Stack, own_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

USES = 2_400
SEED = 77
SOURCE = "network"
SEQUENCES = """
    SELECT charge_sequence, min(charged_at), max(charged_at) FROM balances_usagerecord
    WHERE enterprise_id = %s GROUP BY 1 ORDER BY 1
"""
ALL_SEQUENCES = """
    SELECT charge_sequence FROM balances_entry WHERE enterprise_id = %(enterprise)s
    UNION SELECT charge_sequence FROM balances_usagerecord WHERE enterprise_id = %(enterprise)s ORDER BY 1
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One worker to begin with, and small groups: many charges, and many moments at which to come or go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARGING_GROUP_RECORDS", "100")
        with own_stack(workers=1) as started:
            yield started


def sender_of(stack: Stack, house: House, *, now: datetime, pause_seconds: float) -> Sender:
    uses = make_uses(house, SOURCE, USES, seed=SEED, now=now)
    return Sender(
        stack.url, house, SOURCE, deliveries(uses, size=40, seed=SEED), seed=SEED, pause_seconds=pause_seconds
    )


def test_one_worker_and_four_that_come_and_go_charge_the_same(stack: Stack) -> None:
    alone, many = build_in(stack.environment, "Alone", "Many")
    database_url, now = stack.environment["DATABASE_URL"], datetime.now(UTC)
    sender = sender_of(stack, alone, now=now, pause_seconds=0)
    sender.start()
    sender.join(120)
    wait_until_charged(database_url, within_seconds=60)

    sender = sender_of(stack, many, now=now, pause_seconds=0.2)
    workers = ["charging1", *(stack.add_worker() for _ in range(3))]
    chance = random.Random(SEED)
    sender.start()
    while sender.is_alive():
        leaving = chance.choice(workers)
        if chance.random() < 0.5:
            stack.kill(leaving)
        else:
            stack.services[leaving].child.terminate()  # an orderly end: it finishes what it is at
            stack.services[leaving].child.wait(30)
        time.sleep(chance.uniform(0.5, 2))
        stack.revive(leaving)
    assert len(sender.accepted) == USES
    wait_until_charged(database_url, within_seconds=60)

    with psycopg.connect(database_url) as connection:
        assert snapshot.unlike(snapshot.take(connection, alone), snapshot.take(connection, many)) == {}
        for house in (alone, many):
            assert one_at_a_time(connection.execute(SEQUENCES, [house.enterprise_id]).fetchall())
            numbers = [row[0] for row in connection.execute(ALL_SEQUENCES, {"enterprise": house.enterprise_id})]
            (last,) = connection.execute(
                "SELECT charge_sequence FROM balances_chargingstate WHERE enterprise_id = %s", [house.enterprise_id]
            ).fetchone()
            assert numbers == list(range(1, last + 1)), "a charge sequence without effect, or one used by nobody"
    assert "identities hold" in stack.manage("check_ledger")


def one_at_a_time(sequences: list[tuple]) -> bool:
    """Whether each charge has one time, and the times rise with the sequence."""
    assert len(sequences) > 10, "too few charges to tell"
    return all(first == last for _, first, last in sequences) and all(
        earlier[1] < later[1] for earlier, later in itertools.pairwise(sequences)
    )


def test_two_chargers_at_once_would_be_seen() -> None:
    times = list(range(20))
    assert one_at_a_time([(number, at, at) for number, at in enumerate(times)])
    times[7], times[8] = times[8], times[7]
    assert not one_at_a_time([(number, at, at) for number, at in enumerate(times)])
    assert not one_at_a_time([(number, at, at + (number == 3)) for number, at in enumerate(range(20))])
