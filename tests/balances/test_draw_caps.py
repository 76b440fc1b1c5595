"""Caps on drawing from above: how far each tier lets usage go, what was drawn before it, and who may set what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances import draw_caps, proof
from balances.draw_caps import CapRefused, Tier, reach
from balances.errors import Refused
from balances.models import AuditEvent, ChargeLine, DrawCap, DrawUse, UsageRecord
from portal.charging import pipeline
from portal.charging.reasons import words
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import NUMBERS, SERVICES, START, World

DATA = SERVICES["data"]
DOING = {"actor": ACTOR, "at": START}


@pytest.fixture
def world(db: None) -> World:
    pipeline.forget_everything()
    return World()


def cap(world: World, name: str, units: int, service: int = DATA) -> DrawCap:
    owner = {"line": world.lines[name]} if name in world.lines else {"account": world.accounts[name]}
    return draw_caps.set_cap(**owner, service=service, units=units, **DOING)


def use(world: World, line: str, units: int) -> ChargeLine:
    name = f"{line}-{units}-{UsageRecord.objects.count()}"
    world.accept([Record("one", name, "data", NUMBERS[line], units, START - timedelta(hours=1))])
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    return ChargeLine.objects.get(usage_id=UsageRecord.objects.get(source_record_id=name).id)


def proven(world: World) -> bool:
    return all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))


pytestmark = pytest.mark.django_db


def test_a_cap_ends_drawing_above_and_the_charge_says_so(world: World):
    cap(world, "N1", 25)
    assert (use(world, "a", 20).overage_units, use(world, "a", 20).overage_units) == (0, 15)
    stopped = use(world, "a", 1)
    assert (stopped.overage_units, stopped.reasons) == (1, f"overage capped:{world.accounts['N1'].id}")
    assert words(stopped.reasons)[1].startswith(f"Account {world.accounts['N1'].id} has drawn as much")
    assert use(world, "b", 20).overage_units == 0  # b hangs from N, above the cap
    assert DrawUse.objects.get().units == 25
    assert proven(world)


def test_the_tightest_cap_on_the_way_up_wins(world: World):
    cap(world, "N", 30)
    cap(world, "N2", 50)
    cap(world, "a", 10)
    assert use(world, "a", 40).reasons == "partly capped_line"
    assert use(world, "b", 40).overage_units == 20
    assert {row.units for row in DrawUse.objects.all()} == {10, 30}
    assert proven(world)


def test_what_was_drawn_before_a_cap_counts(world: World):
    use(world, "a", 20)
    cap(world, "N", 25)
    cap(world, "a", 10)  # less than it has drawn already
    assert use(world, "b", 10).overage_units == 5
    assert use(world, "a", 3).overage_units == 3
    assert proven(world)


def test_another_cap_goes_on_counting_and_none_lets_draw_again(world: World):
    cap(world, "N", 5)
    assert use(world, "a", 10).overage_units == 5
    cap(world, "N", 8)
    assert use(world, "a", 10).overage_units == 7
    draw_caps.remove_cap(cap=DrawCap.objects.get(retired_at=None), **DOING)
    assert use(world, "a", 10).overage_units == 0
    assert not DrawUse.objects.exists()
    cap(world, "N", 20)
    assert use(world, "a", 10).overage_units == 8  # 8 and 10 were drawn
    assert [row.units for row in DrawCap.objects.order_by("id")] == [5, 8, 20]
    assert AuditEvent.objects.filter(action__startswith="draw_cap.").count() == 4
    assert proven(world)


def test_the_same_cap_again_is_the_one_that_stands(world: World):
    assert cap(world, "N", 5) == cap(world, "N", 5)


def test_own_units_and_those_of_accounts_below_pass_no_gate(world: World):
    from tests.charging.test_pipeline import allocate

    allocate(world, "grant:Data:1", "N2", 15)
    cap(world, "N", 0)
    cap(world, "N2", 0)
    assert use(world, "a", 20).overage_units == 5
    assert {row.units for row in DrawUse.objects.all()} == {0}
    assert proven(world)


def test_a_count_that_is_wrong_is_found(world: World):
    cap(world, "N", 5)
    use(world, "a", 10)
    assert proven(world)
    DrawUse.objects.update(units=4)
    assert not proven(world)


def test_what_cannot_be_is_refused(world: World):
    for name, units in (("R", 5), ("N", -1)):
        with pytest.raises(Refused):
            cap(world, name, units)
    with pytest.raises(Refused):
        cap(world, "N", 5, service=9)
    with pytest.raises(CapRefused):
        draw_caps.set_cap(service=DATA, units=5, **DOING)
    standing = cap(world, "N", 5)
    draw_caps.remove_cap(cap=standing, **DOING)
    with pytest.raises(CapRefused):
        draw_caps.remove_cap(cap=standing, **DOING)


@pytest.mark.parametrize(
    ("tiers", "given", "stopped_by"),
    [
        ([Tier("line", 3), Tier("N", 5), Tier("R", 100)], (3, 5, 100), None),
        ([Tier("line", 3), Tier("N", 5, 20), Tier("R", 100)], (3, 5, 20), 1),
        ([Tier("line", 3, 4), Tier("N", 5, 20), Tier("R", 100)], (3, 4, 0), 0),
        ([Tier("line", 3, 9), Tier("N", 5, 20), Tier("R", 100)], (3, 5, 4), 0),
        ([Tier("line", 3), Tier("N", 5, may_draw_above=False), Tier("R", 100)], (3, 5, 0), 1),
        ([Tier("line", 3), Tier("N", 5, may_draw_above=False), Tier("R", 0)], (3, 5, 0), None),
        ([Tier("N", 5, 20), Tier("R", 20)], (5, 20), None),
        ([Tier("N", 5, -3), Tier("R", 20)], (5, 0), 0),
    ],
)
def test_how_far_usage_goes_and_which_tier_stops_it(tiers, given, stopped_by):
    found = reach(tiers)
    assert (found.given_units, found.stopped_by) == (given, stopped_by)


@given(st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(0, 40), st.booleans()), min_size=1, max_size=6))
def test_no_tier_gives_more_than_it_has_or_a_cap_below_it_lets(tiers):
    made = [Tier(str(place), *tier) for place, tier in enumerate(tiers)]
    found = reach(made)
    for place, tier in enumerate(made):
        assert 0 <= found.given_units[place] <= tier.available_units
        if tier.room_units is not None:
            assert sum(found.given_units[place + 1 :]) <= tier.room_units
    if found.stopped_by is None:
        assert found.units == sum(tier.available_units for tier in made)
