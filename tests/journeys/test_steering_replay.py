"""A draft of who pays is replayed over months of usage in a real browser, whose bar moves, and published from there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from balances.models import UsageRecord
from policies.models import PolicyState, SteeringVersion
from policies.steering import publishing
from tests.cast import ACTOR, Cast, build
from tests.databases import empty_tables
from tests.journeys.conftest import Complaints
from tests.journeys.test_portal import assert_accessible, signed_in
from tests.journeys.test_replay import RECORDS, fill, root_of
from tests.stack import Stack, live_stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """Aurora with weeks of usage as charging leaves it, and a draft of who pays."""
    with django_db_blocker.unblock():
        made = build()
        fill(made)
        rules = [{"name": "Nights", "when": "time within 02:00-03:00", "pays": "personal"}]
        publishing.save_draft(account=root_of(made), rules=rules, actor=ACTOR, at=datetime.now(UTC))
        yield made
        empty_tables()


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


def test_the_bar_moves_while_months_of_usage_are_replayed_and_the_draft_is_published_from_there(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints)
    page.goto(f"{stack.url}/accounts/{root_of(cast).id}/steering/")
    page.get_by_role("link", name="Replay it first").click()
    page.get_by_role("button", name="Replay over 90 days").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    seen: set[int] = set()
    while values := page.locator("#replaying").evaluate_all("bars => bars.map(bar => bar.value)"):
        seen.update(values)
        page.wait_for_timeout(200)
    assert seen - {0, 100}, f"the bar showed {sorted(seen)} and nothing between"
    expect(page.locator("#replay")).to_contain_text(f"{RECORDS:,}")
    assert_accessible(page)
    page.locator("#replay a[href*='/usage/']").first.click()
    expect(page.get_by_role("heading", name="How it was charged")).to_be_visible()
    used = UsageRecord.objects.get(id=int(page.url.rstrip("/").rsplit("/", 1)[1]))
    assert used.line_id == cast.aurora.lines["emil phone"].id
    page.go_back()
    page.get_by_label("Why").fill("Nights are their own")
    page.get_by_role("button", name="Publish version 1").click()
    expect(page.get_by_text("Version 1 is published.")).to_be_visible()
    assert SteeringVersion.objects.get().state == PolicyState.PUBLISHED
