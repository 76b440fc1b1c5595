"""A page kept up to date and a page loaded anew do not differ."""

from __future__ import annotations

import pytest
from django.test import Client

from balances.selectors import pages
from balances.units import GIB, MIB
from portal.access import scope_of
from portal.live.state import State, account_state, line_state
from tests.cast import Cast
from tests.live.page import LiveParts, live_parts, text_of
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


def applied(parts: LiveParts, state: State) -> LiveParts:
    """What the script makes of a page when this state arrives."""
    return LiveParts(
        figures={name: state["figures"][name] for name in parts.figures},
        attributes={
            name: {**mine, **{key: str(value) for key, value in state["attributes"][name].items()}}
            for name, mine in parts.attributes.items()
        },
        fragments={name: text_of(state["fragments"][name]) for name in parts.fragments},
        rows={name: [row["id"] for row in state["rows"][name]] for name in parts.rows},
    )


def without_time(parts: LiveParts) -> LiveParts:
    """Without what moves with the clock by itself: where "now" is on a chart."""
    moving = ("chart_left", "chart_area", "chart_projection", "chart_now")
    parts.attributes = {name: a for name, a in parts.attributes.items() if not name.endswith(moving)}
    return parts


@pytest.mark.parametrize("kind", ["account", "line"])
def test_applying_the_state_to_an_old_page_gives_the_fresh_page(cast: Cast, kind: str):
    line = cast.aurora.lines["emil phone"]
    warm = [used(line, "data", GIB), used(line, "data", GIB, visited_network="310"), used(line, "voice", 60)]
    charge(cast.aurora, *warm)
    address = f"/accounts/{cast.aurora.root.id}/" if kind == "account" else f"/lines/{line.id}/"
    client = Client()
    client.force_login(cast.alice)
    old = live_parts(client.get(address).content.decode())

    charge(cast.aurora, used(line, "data", 30 * GIB), used(line, "data", 7 * MIB, visited_network="310"))
    scope = scope_of(cast.alice)
    if kind == "account":
        state = account_state(pages.account_page(scope, cast.aurora.root.id))
    else:
        state = line_state(pages.line_page(scope, line.id))
    fresh = live_parts(client.get(address).content.decode())

    assert old != fresh
    assert old.figures
    assert old.rows["latest"]
    assert without_time(applied(old, state)) == without_time(fresh)


def test_a_service_that_appears_changes_the_structure(cast: Cast):
    scope = scope_of(cast.carla)
    north = cast.aurora.accounts["NORTH"].id
    line = cast.aurora.lines["emil phone"]
    charge(cast.aurora, used(line, "data", GIB))
    before = account_state(pages.account_page(scope, north))
    charge(cast.aurora, used(line, "data", GIB))
    same = account_state(pages.account_page(scope, north))
    charge(cast.aurora, used(line, "voice", 60))
    after = account_state(pages.account_page(scope, north))
    assert before["structure"] == same["structure"] != after["structure"]
    assert before["sequence"] < same["sequence"] < after["sequence"]
