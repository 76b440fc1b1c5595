"""Rules that ask only what time it is, while charging: no event escapes one because none applied a while before.

What should be refused follows from the local time of each event alone, worked out here once more.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from balances import contracts
from balances.models import ChargeLine
from balances.units import Service
from policies import publishing
from policies.resolution import Along
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging.small_world import START, World
from tests.charging.test_limits import granted, limit
from tests.charging.test_pipeline import DAY, HOUR, charge, used
from tests.charging.test_policies import policy, rule

BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")
#: Berlin goes over to summer time amid these days.
FIRST, NOW = datetime(2026, 3, 26, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)
CHANGED = datetime(2026, 3, 30, 10, 17, tzinfo=UTC)
NIGHT, WEEKEND, TOKYOS = (
    rule("time within 02:30-04:15"),
    rule("weekday in (sat, sun) and not time within 06:00-22:00"),
    rule("date within 2026-03-27..2026-03-31 and time within 09:00-09:20 at Asia/Tokyo"),
)


def minute_of(at: datetime) -> int:
    return at.hour * 60 + at.minute


def refused_by_the_clock(at: datetime) -> bool:
    """What the rules say of an instant: three of them, and from `CHANGED` on other hours of the night."""
    berlin, tokyo = at.astimezone(BERLIN), at.astimezone(TOKYO)
    starts, ends = (150, 255) if at < CHANGED else (750, 780)
    return (
        starts <= minute_of(berlin) < ends
        or (berlin.weekday() >= 5 and not 360 <= minute_of(berlin) < 1320)
        or (27 <= berlin.day <= 31 and berlin.month == 3 and 540 <= minute_of(tokyo) < 560)
    )


def live_through_days(world: World, seed: int) -> tuple[int, int]:
    """Charge a week's usage of lines below the policy, mostly in order, some of it late; (events, wrongly decided)."""
    chance = random.Random(seed)
    limit(world, "N", 10**9, "stop_now", at=FIRST, window="day")
    held = policy(world, NIGHT, WEEKEND, TOKYOS, account="R", at=FIRST)
    draft = publishing.save_draft(policy=held.policy, rules=[
        {"name": f"Rule {number}", **one}
        for number, one in enumerate([rule("time within 12:30-13:00"), WEEKEND, TOKYOS], start=1)
    ], actor=ACTOR, at=FIRST)  # fmt: skip
    publishing.publish(version=draft, reason="test", effective_at=CHANGED, actor=ACTOR, at=FIRST)
    at, moments = FIRST, []
    while at < NOW - HOUR:
        late = timedelta(seconds=chance.choice([0, 0, 0, chance.randrange(90_000)]))
        moments.append(max(at - late, FIRST))
        at += timedelta(seconds=chance.randrange(30, 2_400))
    records = [used(f"h{number}", chance.choice("aab"), 1, moment) for number, moment in enumerate(moments)]
    for start in range(0, len(records), 100):
        charge(world, *records[start : start + 100], at=NOW)
    found = {name: is_refused > 0 for name, is_refused in _refusals().items()}
    wrong = [n for n, moment in enumerate(moments) if found[f"h{n}"] != refused_by_the_clock(moment)]
    assert 0 < sum(found.values()) < len(moments)
    return len(moments), len(wrong)


def _refusals() -> dict[str, int]:
    rows = ChargeLine.objects.select_related("usage").values_list("usage__source_record_id", "refused_units")
    return dict(rows)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_event_in_a_rules_hours_is_refused_and_no_other_though_most_ask_no_rule(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
):
    asked = _counted(monkeypatch)
    events, wrong = live_through_days(world, seed)
    assert wrong == 0
    assert len(asked) < events, "no event was spared: nothing of what this is about has been tried"


def test_a_quiet_time_that_is_an_hour_too_long_would_be_seen(world: World, monkeypatch: pytest.MonkeyPatch):
    """The control."""
    right = Along.quiet_around

    def too_long(self: Along, at: datetime) -> tuple[datetime, datetime] | None:
        found = right(self, at)
        return None if found is None else (found[0], found[1] + HOUR)

    monkeypatch.setattr(Along, "quiet_around", too_long)
    assert live_through_days(world, 1)[1] > 0


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The instants that rules are asked about, from now on."""
    asked: list[datetime] = []
    right = Along.free_guards

    def noted(self: Along, context):
        asked.append(context.at)
        return right(self, context)

    monkeypatch.setattr(Along, "free_guards", noted)
    return asked


@pytest.mark.django_db
def test_what_is_quiet_by_one_contracts_clock_is_not_by_the_next_ones():
    """Contracts in turn may keep different clocks: noon in Berlin is no quiet time of New York's morning."""
    pipeline.forget_everything()
    changes_at = START - DAY
    world = World(contract_end=changes_at)
    _next_contract(world, changes_at, "America/New_York")
    policy(world, rule("time within 10:00-11:00"), at=START - 3 * DAY)
    before, after = changes_at - HOUR, changes_at + 2 * HOUR + HOUR / 2  # 12:00 in Berlin; 10:30 in New York
    charge(world, used("old", "a", 1, before), used("new", "a", 1, after))
    assert [granted(name) for name in ("old", "new")] == [(1, 0), (0, 1)]


def _next_contract(world: World, starts_at: datetime, time_zone: str) -> None:
    doing = {"actor": ACTOR, "at": START}
    contract = contracts.create_contract(
        enterprise=world.enterprise, number="C-2", starts_at=starts_at, time_zone=time_zone, currency="EUR",
        cycle_anchor_day=1, **doing,
    )  # fmt: skip
    draft = contracts.draft_version(contract=contract, effective_at=starts_at, **doing)
    for zone in world.zones.values():
        contracts.set_rate(
            version=draft, service=Service.DATA, zone=zone, increment_units=1, minimum_units=0,
            overage_price_micros=1, overage_block_units=1, **doing,
        )  # fmt: skip
    contracts.publish_version(version=draft, **doing)
