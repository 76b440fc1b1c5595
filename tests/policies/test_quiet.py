"""While no rule by itself applies, none is asked: the time in which that is so, against asking at every minute."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from policies.conditions import Surroundings, read_text
from policies.decision import Action, Context
from policies.resolution import Along, RuleBook, StandingRule
from policies.rules import Rule

BERLIN = ZoneInfo("Europe/Berlin")
AROUND = Surroundings({"home": 1, "eu": 2}, frozenset({1}), {})
ALWAYS = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
BEFORE_SUMMER = datetime(2026, 3, 28, 12, tzinfo=UTC)


def along(*conditions: str, ends: datetime = ALWAYS[1]) -> Along:
    """What applies to data at home below account 7."""
    rules = [
        StandingRule(
            100 + number, 1, 1, number, 7,
            Rule(name="R", when=read_text(text), beyond=None, action=Action.STOP_NOW), ALWAYS[0], ends,
        )
        for number, text in enumerate(conditions, start=1)
    ]  # fmt: skip
    found = RuleBook(rules, AROUND).along((7,), frozenset(), 1, 1)
    assert found is not None
    return found


def applies(rules: Along, at: datetime) -> bool:
    return bool(rules.free_guards(Context(service=1, zone_id=1, units=1, at=at.astimezone(BERLIN))))


@pytest.mark.parametrize("seed", range(5))
def test_no_rule_applies_in_a_quiet_time_and_one_does_where_it_ends(seed: int):
    chance = random.Random(seed)
    ends = BEFORE_SUMMER + timedelta(minutes=chance.randrange(3_000))
    rules = along("time within 02:30-03:15", "weekday in (sat, sun) and not time within 04:00-22:00", ends=ends)
    rules.looked = 0
    at = BEFORE_SUMMER + timedelta(minutes=chance.randrange(2_880))
    while applies(rules, at):
        at += timedelta(minutes=7)
    starts, until = rules.quiet_around(at.astimezone(BERLIN))
    assert starts <= at < until
    minutes = int((until - starts) / timedelta(minutes=1))
    assert not any(applies(rules, starts + timedelta(minutes=minute)) for minute in range(minutes))


def test_a_rule_that_asks_more_than_the_time_is_asked_each_time():
    rules = along("time within 02:00-03:00", "other_party starts +4930")
    assert rules.quiet_around(datetime(2026, 3, 1, 12, tzinfo=BERLIN)) is None


def test_what_the_kind_of_event_has_settled_is_asked_no_more():
    rules = along("service is data and time within 02:00-03:00")
    starts, ends = rules.quiet_around(datetime(2026, 3, 1, 12, tzinfo=BERLIN))
    assert (starts, ends) == (datetime(2026, 3, 1, 2, tzinfo=UTC), datetime(2026, 3, 1, 23, tzinfo=UTC))
