"""Replay: over what was charged under rules it finds what the pipeline did; over a draft, whom it would have cut."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from balances import tags
from policies import consent, limits, publishing, replaying
from policies.models import Policy, PolicyVersion, Restriction
from policies.replay import Stretch
from portal.charging import charger
from portal.charging import limits as memory
from tests.cast import ACTOR
from tests.charging.small_world import START, World
from tests.charging.test_limits import granted, limit
from tests.charging.test_pipeline import charge, used
from tests.charging.test_policies import BEFORE, HOUR, policy, rule

SINCE, UNTIL = START - timedelta(days=90), START + timedelta(days=1)


def replayed(world: World, draft=None, since=SINCE):
    place = {"enterprise_id": world.enterprise.id, "since": since, "until": UNTIL}
    if draft is None:
        return replaying.run_what_was_live(**place)
    return replaying.run(replaying.plan_for(enterprise_id=world.enterprise.id, draft=draft, at=START), **place)


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
    assert (report.differing_events, report.differing_reasons) == (0, 0)
    assert sum(report.refused_units.values()) == sum(report.live_refused_units.values()) == live > 50
    assert report.saved_micros == report.live_saved_micros


class Life:
    """Three days of an enterprise whose people change their minds, hour by hour, while usage comes."""

    def __init__(self, world: World, seed: int):
        self.world, self.chance, self.now = world, random.Random(seed), BEFORE - timedelta(days=1)
        self.doing = {"actor": ACTOR}
        self.names = 0
        self.others_ids: Iterator[int] = iter(())
        self.limits = [
            self._limit("R", 300, "notify", window="day"),
            self._limit("N", 90, "block_new", window="sliding_24h"),
            self._limit("a", 45, "stop_now"),
            self._limit("#board", 70, "consent", window="week"),
            self._limit("S", 40, "stop_now", window="day", needs_approval=True),
            self._limit("N2", 20_000, "consent", measure="money", window="week", service=None),
        ]
        self.exemptions: list = []
        policy(self.world, *self._rules(), account="R", at=self.now)

    def _limit(self, owner: str, amount: int, action: str, **terms):
        return limit(self.world, owner, amount, action, at=self.now, **terms)

    def _rules(self) -> list[dict]:
        """Another mind about hours and roaming each time."""
        hour = self.chance.randrange(0, 20)
        return [
            rule(f"time within {hour:02}:00-{hour + 4:02}:00", "stop_now", {"window": "day"}),
            rule(f"roaming is yes and time within {hour:02}:00-{hour + 3:02}:00"),
            rule("tag is board", "notify", exception=True),
        ]

    def live(self, hours: int) -> None:
        for _ in range(hours):
            self.now += timedelta(minutes=self.chance.randrange(20, 90))
            self.chance.choice([self.tag, self.change, self.consent, self.exempt, self.publish, self.approve])()
            self._another_worker()
            charge(self.world, *[self._used() for _ in range(self.chance.randrange(0, 9))], at=self.now)

    def _another_worker(self) -> None:
        """Two workers in turns, each with usage ids of its own: higher ones are not later ones."""
        charger._usage_ids, self.others_ids = self.others_ids, charger._usage_ids

    def _used(self):
        self.names += 1
        ago = timedelta(seconds=self.chance.randrange(0, self.chance.choice([1_000, 1_000, 200_000])))
        network = self.chance.choice(["", "262", "20801", "310"])
        line = self.chance.choice("aabbc")
        return used(f"l{self.names}", line, self.chance.randrange(0, 14), self.now - ago, network=network)

    def tag(self) -> None:
        borne = self.chance.choice([[], ["board"], ["board", "field"]])
        tags.set_tags(line=self.world.lines[self.chance.choice("abc")], tags=borne, at=self.now, **self.doing)

    def change(self) -> None:
        place = self.chance.randrange(len(self.limits))
        held = self.limits[place]
        if self.chance.random() < 0.15:
            limits.retire(limit=held, at=self.now, **self.doing)
            self.limits[place] = self._limit(self.chance.choice(["R", "N", "b"]), 60, "stop_now")
            return
        amount = held.amount * self.chance.randrange(2, 8) // 4
        action = self.chance.choice(["notify", "block_new", "stop_now", "consent"])
        self.limits[place] = limits.change(limit=held, amount=amount, action=action, at=self.now, **self.doing)

    def consent(self) -> None:
        held, money = self.chance.choice(self.limits), 1
        money = 900 if held.measure == "money" else 1
        shown = consent.shown_now(held, self.now)
        more = self.chance.randrange(1, 30) * money
        given = consent.extend(limit=held, shown=shown, amount=more, at=self.now, **self.doing)
        if self.chance.random() < 0.4:
            charge(self.world, self._used(), at=self.now)
            consent.revoke(consent=given, at=self.now, **self.doing)

    def exempt(self) -> None:
        held, until = self.chance.choice(self.limits), self.now + timedelta(hours=self.chance.randrange(1, 30))
        line = self.world.lines[self.chance.choice("abc")]
        self.exemptions.append(
            limits.exempt(limit=held, line=line, until=until, reason="board", at=self.now, **self.doing)
        )
        if self.chance.random() < 0.5:
            ended = self.exemptions.pop(self.chance.randrange(len(self.exemptions)))
            limits.end_exemption(exemption=ended, at=self.now, **self.doing)

    def publish(self) -> None:
        held = Policy.objects.get()
        draft = publishing.save_draft(policy=held, rules=[
            {"name": f"Rule {number}", **one} for number, one in enumerate(self._rules(), start=1)
        ], at=self.now, **self.doing)  # fmt: skip
        publishing.publish(version=draft, reason="test", at=self.now, **self.doing)

    def approve(self) -> None:
        if waiting := Restriction.objects.filter(state="pending").order_by("id").first():
            limits.approve(restriction=waiting, at=self.now, **self.doing)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_live_is_decided_again_as_it_was_though_everything_was_changed_meanwhile(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(memory, "SHARES", seed)  # lent are all of the room, half of it, a third
    life = Life(world, seed)
    life.live(60)
    assert PolicyVersion.objects.exclude(state="draft").count() > 3
    report = replayed(world)
    assert (report.differing_events, report.differing_reasons) == (0, 0)
    assert report.refused_units == report.live_refused_units
    assert report.saved_micros == report.live_saved_micros
    assert report.live_refused_events > 20
    # From amid a day, a week and a cycle on: what was used before is counted.
    later = replayed(world, since=BEFORE + 5 * HOUR)
    assert (later.differing_events, later.differing_reasons) == (0, 0)
    assert 0 < later.events < report.events


def test_with_what_stands_now_it_would_be_seen_that_then_was_otherwise(world: World):
    """The control: the same history, replayed with the limits, tags and consents of its end."""
    life = Life(world, 1)
    life.live(60)
    plan = replaying.plan_for(enterprise_id=world.enterprise.id, draft=None, at=life.now)
    assert replaying.run(plan, enterprise_id=world.enterprise.id, since=SINCE, until=UNTIL).differing_events > 5


def test_the_stream_is_in_the_order_of_stretches(world: World):
    charge(world, used("1", "a", 20, network="262"))
    [[row]] = replaying.batches(enterprise_id=world.enterprise.id, since=SINCE, until=UNTIL)
    stretch = Stretch(*row)
    assert (stretch.line_id, stretch.units, stretch.visited_network) == (world.lines["a"].id, 20, "262")
    assert (stretch.reasons, stretch.attributes) == ("allowance", None)
