"""A notice on its way to a manager: the bell rises on an open page, the notice is opened and taken care of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from balances import contracts
from balances.units import GIB
from portal.models import Delivery
from tests.cast import ACTOR, Cast, build
from tests.databases import empty_tables
from tests.journeys.conftest import Complaints
from tests.journeys.test_portal import assert_accessible, signed_in
from tests.stack import Stack, live_stack
from tests.web.usage import charge, used

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """Emil's phone has a threshold of 1 GiB."""
    with django_db_blocker.unblock():
        made = build()
        line = made.aurora.lines["emil phone"]
        contracts.set_threshold(line=line, service=1, units=GIB, actor=ACTOR, at=datetime.now(UTC))
        yield made
        empty_tables()


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


def test_the_bell_rises_without_a_reload_and_two_clicks_take_care_of_it(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
) -> None:
    page = signed_in(browser, stack, cast.carla, complaints)
    bell = page.locator("[data-bell]")
    expect(bell).to_have_attribute("aria-label", "Notices, none unread")
    page.evaluate("window.sameDocument = true")
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "data", GIB))
    expect(page.locator("[data-bell-count]")).to_have_text("1", timeout=20_000)
    expect(bell).to_have_attribute("aria-label", "Notices, 1 unread")
    assert page.evaluate("window.sameDocument")

    bell.click()
    page.get_by_role("link", name="Emil Engel: Data at 100").click()
    for label in ("Who", "Service", "Used", "As of", "At this pace", "What happens next", "Price beyond"):
        expect(page.locator("dl.said dt", has_text=label).first).to_be_visible()
    expect(page.locator("dl.said")).to_contain_text("You manage North.")
    expect(page.locator("dl.said")).to_contain_text("Alice Arden")
    assert_accessible(page)
    page.get_by_role("button", name="I take care of it").click()
    expect(page.get_by_text("You took care of it")).to_be_visible()
    expect(bell).to_have_attribute("aria-label", "Notices, none unread")
    assert Delivery.objects.get(user=cast.carla, channel="portal").acknowledged_at
