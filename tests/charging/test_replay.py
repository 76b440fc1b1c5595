"""Replay: over what was charged under rules it finds what the pipeline did; over a draft, whom it would have cut."""

from __future__ import annotations

import random
from datetime import timedelta

from policies import publishing, replaying
from policies.replay import Stretch
from tests.cast import ACTOR
from tests.charging.small_world import START, World
from tests.charging.test_limits import granted, limit
from tests.charging.test_pipeline import charge, used
from tests.charging.test_policies import BEFORE, HOUR, policy, rule

SINCE, UNTIL = START - timedelta(days=90), START + timedelta(days=1)


def replayed(world: World, draft=None):
    plan = replaying.plan_for(enterprise_id=world.enterprise.id, draft=draft, at=START)
    return replaying.run(plan, enterprise_id=world.enterprise.id, since=SINCE, until=UNTIL)


def test_a_draft_is_asked_whom_it_would_have_cut_when_first_and_what_that_saves(world: World):
    charge(world, used("1", "a", 20, START - 3 * HOUR), used("2", "a", 7, START - 2 * HOUR, network="20801"))
    charge(world, used("3", "c", 14, START - HOUR, network="310"))
    draft = publishing.create(
        account=world.accounts["R"], name="P", actor=ACTOR, at=START,
        rules=[{"name": "Home only", "when": "roaming is yes", "action": "stop_now"}],
    )  # fmt: skip
    report = replayed(world, draft)
    assert (report.events, report.refused_events, report.live_refused_events) == (3, 2, 0)
    cut = report.cuts[world.lines["c"].id]
    assert (cut.first_at, cut.events, cut.units) == (START - HOUR, 1, {1: 20})
    assert cut.saved_micros == report.saved_micros > 0
    assert cut.by == f"rule:{draft.id * 100 + 1}"
    shown = replaying.summary(report)
    assert [row["line"] for row in shown["lines"]] == [world.lines["c"].id, world.lines["a"].id]
    assert replayed(world).refused_events == 0


def test_what_was_live_gives_what_the_pipeline_gave(world: World):
    """Limits of each window and measure, rules by time and zone, at three levels, over random usage."""
    limit(world, "R", 90, "notify", at=BEFORE, window="day")
    limit(world, "N", 60, "block_new", at=BEFORE, window="sliding_24h")
    limit(world, "a", 45, "stop_now", at=BEFORE)
    limit(world, "N2", 9_000, "consent", at=BEFORE, measure="money", window="week", service=None)
    policy(
        world,
        rule("time within 08:00-12:00", "stop_now", {"window": "day"}),
        rule("roaming is yes and time within 20:00-24:00"),
        rule("zone is eu", "notify", exception=True),
        account="R",
    )
    seed = random.Random(7)
    records = [
        used(
            str(number), seed.choice("abc"), seed.randrange(0, 12), BEFORE + timedelta(minutes=seed.randrange(1400)),
            network=seed.choice(["", "262", "20801", "310"]),
        )
        for number in range(150)
    ]  # fmt: skip
    for start in range(0, 150, 25):
        charge(world, *records[start : start + 25])
    report = replayed(world)
    live = sum(granted(str(number))[1] for number in range(150))
    assert report.differing_events == 0
    assert sum(report.refused_units.values()) == sum(report.live_refused_units.values()) == live > 50
    assert report.saved_micros == report.live_saved_micros


def test_the_stream_is_in_the_order_of_stretches(world: World):
    charge(world, used("1", "a", 20, network="262"))
    [[row]] = replaying.batches(enterprise_id=world.enterprise.id, since=SINCE, until=UNTIL)
    stretch = Stretch(*row)
    assert (stretch.line_id, stretch.units, stretch.visited_network) == (world.lines["a"].id, 20, "262")
