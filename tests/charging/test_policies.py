"""Published policies while charging, by example, on the small world: what they stop, when, and why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from balances import tags
from policies import limits, publishing
from policies.models import LimitUse, Restriction, RestrictionState
from tests.cast import ACTOR
from tests.charging.small_world import START, World
from tests.charging.test_limits import granted, limit, sound
from tests.charging.test_pipeline import charge, charged, used

HOUR = timedelta(hours=1)
BEFORE = START - timedelta(days=1)


def policy(world: World, *rules: dict, account: str = "N", at=BEFORE, name: str = "P"):
    """A policy of the account, published; its rules are named by their place."""
    named = [{"name": f"Rule {number}", **rule} for number, rule in enumerate(rules, start=1)]
    draft = publishing.create(account=world.accounts[account], name=name, rules=named, actor=ACTOR, at=at)
    return publishing.publish(version=draft, reason="test", actor=ACTOR, at=at)


def rule(when="always", action="stop_now", beyond=None, **more) -> dict:
    return {"when": when, "action": action, "beyond": beyond, **more}


def test_a_rule_by_itself_stops_what_it_matches_below_its_account_and_is_named(world: World):
    held = policy(world, rule("roaming is yes", "stop_now"))
    charge(world, used("1", "a", 7, network="20801"), used("2", "a", 7), used("3", "c", 7, network="20801"))
    assert [granted(name)[1] for name in "123"] == [14, 0, 0]
    assert charged("1")[0].reasons.split() == ["refused", "rounded:7", f"rule_stop_now:{held.id * 100 + 1}"]
    assert sound(world)


def test_windows_follow_the_clock_of_the_contract_to_the_second(world: World):
    policy(world, rule("time within 10:00-11:00"))  # 09:00 to 10:00 UTC in March
    day = START.replace(hour=0)
    second = timedelta(seconds=1)
    moments = [day + HOUR * 9 - second, day + HOUR * 9, day + HOUR * 10 - second, day + HOUR * 10]
    charge(world, *[used(str(number), "a", 1, moment) for number, moment in enumerate(moments)])
    assert [granted(str(number)) for number in range(4)] == [(1, 0), (0, 1), (0, 1), (1, 0)]


def test_a_rule_says_what_happens_beyond_limits_that_only_tell(world: World):
    held = limit(world, amount=30, action="notify", at=BEFORE)
    policy(world, rule(action="stop_now", beyond={"service": "data", "window": "cycle"}))
    charge(world, used("1", "a", 20), used("2", "b", 20))
    assert granted("2") == (10, 10)
    use = LimitUse.objects.get(limit=held)
    assert (use.used, use.refused) == (30, 10)
    assert Restriction.objects.get().action == "blocked"
    assert sound(world)


def test_a_rule_does_not_speak_of_other_limits(world: World):
    limit(world, amount=30, action="notify", at=BEFORE)
    policy(world, rule(beyond={"window": "day"}), rule(beyond={"owner": "line"}))
    charge(world, used("1", "a", 40))
    assert granted("1") == (40, 0)


def test_a_rule_for_some_hours_tells_the_network_nothing_that_would_outlast_them(world: World):
    limit(world, amount=5, action="notify", at=BEFORE)
    policy(world, rule("time within 00:00-23:00", beyond="any"))
    charge(world, used("1", "a", 20))
    assert granted("1") == (5, 15)
    assert not Restriction.objects.exists()


def test_an_exception_lets_pass_what_it_matches_and_says_so(world: World):
    held = policy(world, rule("service is data"), rule("tag is board", "notify", exception=True))
    tags.set_tags(line=world.lines["a"], tags=["board"], actor=ACTOR, at=BEFORE)
    charge(world, used("1", "a", 5), used("2", "b", 5))
    assert [granted(name) for name in "12"] == [(5, 0), (0, 5)]
    assert charged("1")[0].reasons.split()[-1] == f"exception:{held.id * 100 + 2}"


def test_an_exception_from_below_does_not_reach_what_holds_above(world: World):
    policy(world, rule("service is data"), account="R")
    policy(world, rule("always", "notify", exception=True), account="N")
    charge(world, used("1", "a", 5))
    assert granted("1") == (0, 5)


def test_the_stricter_of_two_levels_wins_whichever_stands_above(world: World):
    limit(world, amount=10, action="notify", at=BEFORE)
    policy(world, rule(action="throttle", beyond="any"), account="R")
    low = policy(world, rule(action="stop_now", beyond="any"), account="N", name="Low")
    charge(world, used("1", "a", 20))
    assert granted("1") == (10, 10)
    reasons = charged("1")[0].reasons.split()
    assert reasons[1] == f"rule_stop_now:{low.id * 100 + 1}"
    assert reasons[2].startswith("rule_throttle:")


@pytest.mark.parametrize("action", ["notify", "overage"])
def test_what_only_tells_leaves_no_reason(world: World, action):
    limit(world, amount=10, action="notify", at=BEFORE)
    policy(world, rule(action=action, beyond="any"))
    charge(world, used("1", "a", 20))
    assert (granted("1"), charged("1")[0].reasons) == ((20, 0), "allowance")


def test_a_version_holds_by_the_time_of_use_whenever_it_is_charged(world: World):
    first = policy(world, rule("service is data"), at=START)
    charge(world, used("1", "a", 5, START - HOUR), at=START + HOUR)
    later = START + HOUR * 2
    publishing.retire(policy=first.policy, reason="test", actor=ACTOR, at=later)
    charge(world, used("2", "a", 5, START + HOUR), used("3", "a", 5, later), at=later + HOUR)
    assert [granted(name) for name in "123"] == [(5, 0), (0, 5), (5, 0)]


def test_a_rule_that_wants_approval_only_restricts_once_it_is_given(world: World):
    limit(world, amount=10, action="notify", at=BEFORE)
    policy(world, rule(action="stop_now", beyond="any", approval=True))
    charge(world, used("1", "a", 20))
    assert granted("1") == (20, 0)
    waiting = Restriction.objects.get()
    assert waiting.state == RestrictionState.PENDING
    limits.approve(restriction=waiting, actor=ACTOR, at=START)
    charge(world, used("2", "a", 5))
    assert granted("2") == (0, 5)
