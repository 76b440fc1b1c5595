"""One contract after the other within a calendar month: each draws on its own buckets and has its own end."""

from __future__ import annotations

import pytest

from balances import contracts
from balances.units import Service
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging.small_world import START, World
from tests.charging.test_pipeline import DAY, HOME, charge, charged, draws, proven, used


@pytest.mark.django_db
def test_contracts_that_follow_each_other_within_a_month_do_not_draw_on_each_other():
    pipeline.forget_everything()
    changes_at = START - DAY
    world = World(contract_end=changes_at)
    contract = contracts.create_contract(
        enterprise=world.enterprise,
        number="C-2",
        starts_at=changes_at,
        time_zone="Europe/Berlin",
        currency="EUR",
        cycle_anchor_day=1,
        actor=ACTOR,
        at=START,
    )
    draft = contracts.draft_version(contract=contract, effective_at=changes_at, actor=ACTOR, at=START)
    contracts.add_allowance(
        version=draft, name="New data", service=Service.DATA, granted_units=10, priority=1, actor=ACTOR, at=START
    )
    for zone in world.zones.values():
        contracts.set_rate(
            version=draft,
            service=Service.DATA,
            zone=zone,
            increment_units=1,
            minimum_units=0,
            overage_price_micros=1,
            overage_block_units=1,
            actor=ACTOR,
            at=START,
        )
    contracts.publish_version(version=draft, actor=ACTOR, at=START)
    charge(world, used("old", "a", 12, START - 2 * DAY), used("new", "a", 12))
    assert draws(world, "old") == [[(HOME, 12)]]
    assert draws(world, "new") == [[("grant:New data:1", 10)]]
    assert charged("old")[0].reasons == "allowance late"
    assert charged("new")[0].overage_units == 2
    assert proven(world)
