"""Trading while usage is charged, by real threads: the last units go once, and each offer ends in one way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, connections

from balances import locks, proof, trading, trading_moves
from balances.errors import Refused
from balances.models import Bucket, Entry, Offer, OfferAct, Trade
from balances.models.ledger import EntryKind
from balances.models.trading import OfferState
from portal.charging import pipeline
from tests.balances.test_ledger import give
from tests.balances.test_trading import offered
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import NUMBERS, START, World

ROUNDS = 6
DUE = START + timedelta(hours=1)


def at_once(*works: Callable[[], object]) -> list[BaseException]:
    """Run in threads that begin together; returns what they did not expect."""
    problems: list[BaseException] = []
    gate = threading.Barrier(len(works))

    def noting(work: Callable[[], object]) -> None:
        try:
            gate.wait(timeout=30)
            work()
        except Refused:
            pass  # somebody else was first
        except BaseException as problem:
            problems.append(problem)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=noting, args=(work,)) for work in works]
    connection.close()  # the pool has eight
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    return problems


def ends_of(offer: Offer) -> list[str]:
    """The acts that ended an offer."""
    kinds = OfferAct.objects.filter(offer=offer).values_list("kind", flat=True)
    return [kind for kind in kinds if kind in ("accepted", "withdrawn", "expired")]


@pytest.mark.django_db(transaction=True)
def test_charging_and_every_end_of_an_offer_meet_on_the_last_units():
    pipeline.forget_everything()
    world = World()
    ends = []
    for turn in range(ROUNDS):
        give(world, 4, "N")
        offer = offered(world, 3, expires_at=DUE)
        record = Record("one", f"r{turn}", "data", NUMBERS["b"], 2, START - timedelta(hours=1))
        world.accept([record])

        def accept(offer: Offer = offer, turn: int = turn) -> None:
            trading.accept(offer=offer, account=world.accounts["S"], key=f"{turn}", actor=ACTOR, at=START)

        assert not at_once(
            accept,
            accept,
            lambda offer=offer: trading.withdraw(offer=offer, actor=ACTOR, at=START),
            lambda: trading.sweep(actor="beat", at=DUE),
            lambda: pipeline.drain(world.enterprise.id, clock=lambda: START),
        )
        assert len(ends_of(offer)) == 1
        ends += ends_of(offer)
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    buckets = {
        b.account.code: b for b in Bucket.objects.filter(kind__in=("allocation", "trade")).select_related("account")
    }
    traded = 3 * ends.count("accepted")
    assert buckets["N"].given_units == traded == sum(Trade.objects.values_list("gave_units", flat=True))
    assert buckets["N"].reserved_units == 0
    assert sum(Bucket.objects.values_list("used_units", flat=True)) == 2 * ROUNDS
    assert all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_an_offer_ends_twice(monkeypatch: pytest.MonkeyPatch):
    """The control: with the lock taken away and both past the look at the state, the test above would see damage."""
    from contextlib import contextmanager

    from django.db import transaction

    world = World()
    give(world, 12, "N")
    offer = offered(world, 2)
    looked = threading.Barrier(2)

    @contextmanager
    def no_lock(enterprise_id: int):
        with transaction.atomic():
            yield

    ended = trading_moves.back

    def together(*arguments):
        looked.wait(timeout=30)
        return ended(*arguments)

    monkeypatch.setattr(locks, "enterprise", no_lock)
    monkeypatch.setattr(trading_moves, "back", together)
    problems = at_once(
        lambda: trading.withdraw(offer=offer, actor=ACTOR, at=START),
        lambda: trading.sweep(actor="beat", at=offer.expires_at),
    )
    backs = Entry.objects.filter(kind=EntryKind.ESCROW_BACK).count()
    assert problems or backs == 2 or len(ends_of(offer)) == 2
    assert Offer.objects.get(id=offer.id).state != OfferState.OPEN
