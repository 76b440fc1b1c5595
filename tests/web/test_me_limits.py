"""What can stop my line, as I read it: my own limits with figures, those that others share without, and rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from balances import inventory, tags
from balances.units import MIB, Service
from policies import limits, publishing
from policies.models import Limit
from tests.cast import ACTOR, Cast
from tests.web.test_me import words
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db

STOPS = {"name": "No roaming", "when": "roaming is yes", "beyond": None, "action": "stop_now"}
TELLS = {"name": "Night", "when": "time within 22:00-06:00", "beyond": None, "action": "notify"}


def doing() -> dict[str, Any]:
    return {"actor": ACTOR, "at": datetime.now(UTC) - timedelta(minutes=5)}


def limit(amount: int = 100 * MIB, action: str = "stop_now", **place: Any) -> Limit:
    terms: dict[str, Any] = {"service": Service.DATA, "measure": "units", "window": "cycle"}
    return limits.make(amount=amount, action=action, **terms, **place, **doing())


def page(cast: Cast) -> str:
    return words(cast.emil, "me-lines").partition("My business trips")[0]


def use(cast: Cast, line: str, mebibytes: int) -> None:
    charge(cast.aurora, used(cast.aurora.lines[line], "data", mebibytes * MIB))


def test_an_own_limit_says_what_is_left_and_what_happens(cast: Cast):
    limit(line=cast.aurora.lines["emil phone"])
    use(cast, "emil phone", 60)
    said = page(cast)
    assert "60 MiB of 100 MiB · 60 % · 40 MiB left until" in said
    assert "beyond it it stops at once" in said
    assert "Limits that you share" not in said


@pytest.mark.parametrize("of", ["account", "root", "tag"])
def test_a_shared_limit_is_listed_without_what_others_use(cast: Cast, of: str):
    house = cast.aurora
    tags.set_tags(line=house.lines["emil phone"], tags=["board"], **doing())
    tags.set_tags(line=house.lines["service van"], tags=["board"], **doing())
    place: dict[str, Any] = {
        "account": {"account": house.accounts["NORTH"]}, "root": {"account": house.root},
        "tag": {"enterprise_id": house.enterprise.id, "tag": "board"},
    }[of]  # fmt: skip
    limit(**place)
    use(cast, "service van", 93)
    said = page(cast)
    assert "Limits that you share" in said
    assert "100 MiB each billing cycle" in said
    assert {"account": "all of North together", "root": "all of Aurora AG together", "tag": "with the tag “board”"}[
        of
    ] in said  # fmt: skip
    assert "93" not in said
    # Five lines share the root's: that it is near its end tells of none of them. Fewer share the others.
    assert f"Data, each billing cycle {'nearly used up' if of == 'root' else 'there is room'}" in said


def test_what_is_used_up_is_told_of_few_lines_too_and_what_it_restricts(cast: Cast):
    limit(account=cast.aurora.accounts["N-FIELD"], name="Field data")
    use(cast, "emil tablet", 80)
    use(cast, "emil phone", 40)
    said = page(cast)
    assert "Data: blocked" in said
    assert "Field data, all of Field sales together. It ends" in said
    assert "Field data used up" in said


def test_an_exemption_is_told_and_limits_that_stop_nothing_or_are_elsewhere_are_not(cast: Cast):
    house = cast.aurora
    held = limit(account=house.root, name="All of us")
    limit(account=house.accounts["SOUTH"], name="South only")
    limit(account=house.accounts["NORTH"], action="notify", name="Told only")
    limits.exempt(
        limit=held, line=house.lines["emil phone"], until=datetime.now(UTC) + timedelta(days=2), reason="Fair",
        **doing(),
    )  # fmt: skip
    said = page(cast)
    assert "it does not stop you until" in said
    assert "South only" not in said
    assert "Told only" not in said


def test_rules_that_can_stop_it_are_said_with_their_place(cast: Cast):
    rules = [STOPS, TELLS]
    draft = publishing.create(account=cast.aurora.accounts["NORTH"], name="Travel", rules=rules, **doing())
    publishing.publish(version=draft, reason="agreed", **doing())
    said = page(cast)
    assert "Rules that can stop it" in said
    assert "No roaming" in said
    assert "Rule of North" in said
    assert "Night" not in said


def test_a_line_that_was_mine_says_nothing_of_limits_any_more(cast: Cast):
    limit(account=cast.aurora.root, name="All of us")
    inventory.change_person(line=cast.aurora.lines["emil tablet"], person=None, **doing())
    inventory.change_person(line=cast.aurora.lines["emil phone"], person=None, **doing())
    assert "All of us" not in words(cast.emil, "me-lines")
