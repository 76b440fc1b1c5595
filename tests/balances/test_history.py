"""Balances of the past are what they were, at every moment, and each entry says who was on the other side."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from balances import allocation, cycles, reservations
from balances.allocation_plan import Wish
from balances.models import Bucket, Entry
from balances.scope import Grant, Scope, Verb
from balances.selectors import history
from portal.charging import pipeline
from tests.balances.test_allocation import number, receiver
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World

pytestmark = pytest.mark.django_db


def quantities() -> dict[int, tuple[int, ...]]:
    names = [f"{name}_units" for name in history.QUANTITIES]
    return {row[0]: row[1:] for row in Bucket.objects.values_list("id", *names)}


def everything(world: World) -> Scope:
    return Scope((Grant(world.enterprise.id, frozenset(Verb)),))


def live_through(world: World):
    """All kinds of change, an hour apart; yields each moment with what the buckets held right after it."""
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=START, actor=ACTOR)
    source = number(world)

    def use(units: int, at: datetime) -> None:
        world.accept([Record("one", f"u{at}", "data", NUMBERS["a"], units, START)])
        pipeline.drain(world.enterprise.id, clock=lambda: at)

    def give(units: int, at: datetime) -> None:
        wishes = [Wish(1, receiver(world, "N"), units=units)]
        allocation.apply(bucket_id=source, wishes=wishes, actor=ACTOR, at=at)

    def reserve(units: int, at: datetime) -> None:
        expires_at = at + timedelta(days=1)
        reservations.reserve(bucket_id=source, key="s", units=units, expires_at=expires_at, actor=ACTOR, at=at)

    def settle(units: int, at: datetime) -> None:
        reservations.settle(key="s", used_units=units, actor=ACTOR, at=at)

    def close(units: int, at: datetime) -> None:
        cycles.close_cycles(enterprise_id=world.enterprise.id, at=at, actor=ACTOR)

    acts = [
        (give, 30, START),
        (use, 12, START),
        (reserve, 20, START),
        (settle, 5, START),
        (give, 15, START),
        (close, 0, BOUNDARIES[2]),
        (use, 110, BOUNDARIES[2]),  # late: brings back what expired and what was carried over
    ]
    for hours, (act, units, since) in enumerate(acts, start=1):
        moment = since + timedelta(hours=hours)
        act(units, moment)
        yield moment, quantities()


def test_every_moment_is_reckoned_from_the_entries_as_it_was():
    world = World()
    lived = list(live_through(world))
    for moment, held in lived:
        then = history.at_moment(Bucket.objects.filter(id__in=held), moment)
        reckoned = {row.id: tuple(getattr(row, f"{name}_units") for name in history.QUANTITIES) for row in then}
        assert reckoned == held, moment
    assert len({str(held) for _, held in lived}) == len(lived)  # each moment was another one


def test_a_bucket_that_closed_later_was_open_then():
    world = World()
    *_, (closed_at, _) = live_through(world)
    bucket = Bucket.objects.get(id=number(world))
    assert bucket.closed_at is not None
    assert history.at_moment([bucket], START)[0].closed_at is None
    assert closed_at > START


def test_an_entry_names_the_other_side_as_far_as_it_is_in_reach():
    world = World()
    list(live_through(world))
    source = Bucket.objects.get(id=number(world))
    entries = list(history.entries_of(everything(world), source, with_usage=False))
    peers = [each.peer for each in history.told(everything(world), entries) if each.entry.transfer]
    assert peers == ["Account N"] * 2
    north = Bucket.objects.get(key=f"allocation:{source.id}:account:{world.accounts['N'].id}")
    only_north = Grant(world.enterprise.id, frozenset(Verb), frozenset({world.accounts["N"].id}))
    seen = Scope((only_north,))
    entries = list(history.entries_of(seen, north))
    assert {each.peer for each in history.told(seen, entries) if each.entry.transfer} == {""}
    assert not list(history.entries_of(seen, source))


def test_what_remains_counts_from_entry_to_entry():
    world = World()
    list(live_through(world))
    for bucket in Bucket.objects.all():
        entries = list(history.entries_of(everything(world), bucket))[::-1]
        remaining = 0
        for each in history.told(everything(world), entries):
            remaining += each.change_units
            assert each.entry.remaining_after == remaining
    assert Entry.objects.count() > 15
