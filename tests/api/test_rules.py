"""Rules of a past moment are those that charging went by then: after each change, consent, exemption and end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from balances import draw_caps
from balances.scope import Grant, Scope, Verb
from policies import consent, limits, past, publishing
from policies.models import Limit
from tests.api.client import Api, read, refusal
from tests.cast import ACTOR, NOW, Cast

HOUR = timedelta(hours=1)
#: When the acts begin: all of them have passed by the time of the cast.
BEGIN = NOW - 24 * HOUR
RULES = [{"name": "Nothing abroad", "when": "roaming is yes", "beyond": None, "action": "stop_now"}]


def whole(cast: Cast) -> Scope:
    return Scope((Grant(cast.aurora.enterprise.id, frozenset({Verb.VIEW})),))


def at(hours: int) -> dict:
    return {"actor": ACTOR, "at": BEGIN + hours * HOUR}


@pytest.fixture
def lived(cast: Cast) -> Limit:
    """An hour an act; the limit of the first."""
    aurora, north = cast.aurora, cast.aurora.accounts["NORTH"]
    first = limits.make(
        account=north, service=1, measure="units", window="cycle", amount=100, action="consent", **at(1)
    )
    shown = consent.shown_now(first, BEGIN + 2 * HOUR)
    given = consent.consent(limit=first, shown=shown, amount=50, channel="api", text_shown="50 more", **at(2))
    exempted = limits.exempt(
        limit=first, line=aurora.lines["emil phone"], until=BEGIN + 9 * HOUR, reason="Fair", **at(3)
    )
    consent.revoke(consent=given, **at(4))
    limits.end_exemption(exemption=exempted, **at(5))
    changed = limits.change(limit=first, amount=300, **at(6))
    draw_caps.set_cap(account=north, service=1, units=7, **at(6))
    draw_caps.set_cap(account=north, service=1, units=8, **at(7))
    made = publishing.create(account=aurora.root, name="Abroad", rules=RULES, note="", **at(6))
    publishing.publish(version=made, reason="Because", **at(7))
    limits.retire(limit=changed, **at(8))
    publishing.retire(policy=made.policy, reason="Enough", **at(9))
    return first


@pytest.mark.parametrize(
    ("hours", "bounds", "exempted", "caps", "rules"),
    [
        (0, [], [], [], []),
        (1, [100], [0], [], []),
        (2, [150], [0], [], []),
        (3, [150], [1], [], []),
        (4, [100], [1], [], []),
        (5, [100], [0], [], []),
        (6, [300], [0], [7], []),
        (7, [300], [0], [8], ["Abroad"]),
        (8, [], [], [8], ["Abroad"]),
        (9, [], [], [8], []),
    ],
)
def test_each_moment_has_the_rules_of_its_time(
    cast: Cast, lived: Limit, hours: int, bounds: list, exempted: list, caps: list, rules: list
) -> None:
    held = past.rules_of(whole(cast), cast.aurora.accounts["NORTH"], BEGIN + hours * HOUR)
    assert [then.bound for then in held.limits] == bounds
    assert [len(then.exemptions) for then in held.limits] == exempted
    assert [cap.units for cap in held.caps] == caps
    assert [version.policy.name for version in held.versions] == rules


def test_a_moment_between_two_acts_has_what_held_before_the_later_one(cast: Cast, lived: Limit) -> None:
    held = past.rules_of(whole(cast), cast.aurora.accounts["NORTH"], BEGIN + 6 * HOUR - timedelta(microseconds=1))
    assert [(then.limit.id, then.bound) for then in held.limits] == [(lived.id, 100)]
    assert past.rules_of(whole(cast), cast.aurora.accounts["SOUTH"], BEGIN + 5 * HOUR).limits == []


def test_the_screen_shows_the_rules_of_the_moment_that_is_asked_for(cast: Cast) -> None:
    client, now = Client(), datetime.now(UTC)
    client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    north = cast.aurora.accounts["NORTH"]
    terms = {"service": 1, "measure": "units", "window": "cycle", "amount": 3 * 1024**3, "action": "stop_now"}
    held = limits.make(account=north, name="Once there", actor=ACTOR, at=now - 3 * HOUR, **terms)
    limits.retire(limit=held, actor=ACTOR, at=now - HOUR)
    address = f"/accounts/{north.id}/rules/"
    assert "No limit held" in client.get(address).content.decode()
    then = (now - 2 * HOUR).astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%dT%H:%M")
    page = client.get(address, {"as_of": then}).content.decode()
    assert "Once there" in page
    assert "These are the rules of that moment" in page
    assert "This moment has not come yet" in client.get(address, {"as_of": "2199-01-01T00:00"}).content.decode()


def test_rules_of_a_moment_are_read_over_rest_within_reach(cast: Cast, lived: Limit, alice: Api, carla: Api) -> None:
    north, root = cast.aurora.accounts["NORTH"].id, cast.aurora.root.id
    then = (BEGIN + 7 * HOUR).isoformat()
    read_then = read(alice.get("/rules", account=north, as_of=then))
    (limit,) = read_then["limits"]
    assert (limit["limit"]["first"], limit["limit"]["amount"], limit["bound"]) == (lived.id, 300, 300)
    assert [cap["units"] for cap in read_then["draw_caps"]] == [8]
    assert [rule["name"] for rule in read_then["policies"][0]["rules"]] == ["Nothing abroad"]
    assert read(carla.get("/rules", account=north, as_of=then))["policies"] == []  # the root's are above Carla
    refusal(carla.get("/rules", account=root), 400)
    refusal(alice.get("/rules", account=north, as_of="2199-01-01T00:00:00Z"), 400)
