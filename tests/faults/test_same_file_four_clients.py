"""The same usage twice, in two orders, from four clients at once, comes to what one orderly delivery comes to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from tests.faults import snapshot
from tests.faults.comparison import differences, wait_until_charged
from tests.faults.house import House, build_in
from tests.faults.sender import Sender, deliveries, make_uses
from tests.stack import Stack, own_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

USES = 2_000
SEED = 20_260_315
SOURCE = "billing-file"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Two workers, as `make run` has them."""
    with own_stack(workers=2) as started:
        yield started


def in_order_of_time(house: House, now: datetime) -> list[dict]:
    """The file's usage, by the numbers of a twin."""
    return sorted(make_uses(house, SOURCE, USES, seed=SEED, now=now), key=lambda use: use["started_at"])


def send(stack: Stack, house: House, parts: list[list[dict]]) -> list[Sender]:
    """Each part from a client of its own, all at once; returns when all is charged."""
    senders = [
        Sender(stack.url, house, SOURCE, deliveries(uses, size=size, seed=SEED), seed=number)
        for number, (uses, size) in enumerate(zip(parts, [90, 70, 110, 50], strict=False))
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(120)
        assert not sender.is_alive()
    wait_until_charged(stack.environment["DATABASE_URL"], within_seconds=60)
    return senders


def test_the_same_usage_in_two_orders_from_four_clients_comes_to_the_same(stack: Stack) -> None:
    orderly, stormy = build_in(stack.environment, "Orderly", "Stormy")
    now = datetime.now(UTC)
    send(stack, orderly, [in_order_of_time(orderly, now)])
    uses = in_order_of_time(stormy, now)
    shuffled = random.Random(SEED).sample(uses, USES)
    half = USES // 2
    send(stack, stormy, [uses[:half], uses[half:], shuffled[half:], shuffled[:half]])

    with psycopg.connect(stack.environment["DATABASE_URL"]) as connection:
        one, other = snapshot.take(connection, orderly), snapshot.take(connection, stormy)
        assert snapshot.unlike(one, other) == {}
        assert all(one.values()), "an empty topic compares nothing"
        assert any(overage for _, _, overage, _ in one["overage"]), "no allowance has run out"
        assert differences(connection, stormy, SOURCE, uses) == []
        (doubles,) = connection.execute(
            "SELECT sum(duplicate_count) FROM balances_usagepart WHERE enterprise_id = %s", [stormy.enterprise_id]
        ).fetchone()
        assert doubles == USES
    assert "identities hold" in stack.manage("check_ledger")

    # The control: one use more, and the snapshots differ.
    (another,) = make_uses(stormy, f"{SOURCE}-more", 1, seed=SEED, now=now, bad=0)
    send(stack, stormy, [[another]])
    with psycopg.connect(stack.environment["DATABASE_URL"]) as connection:
        assert {"buckets", "counters", "records"} <= snapshot.unlike(one, snapshot.take(connection, stormy)).keys()
