"""A telecoms manager's way through the portal, in a real browser, on the real stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db.models import Sum
from playwright.sync_api import Browser, Page, expect

from balances.models import UsageRecord
from balances.units import GIB, MIB, Service
from portal import figures
from tests.cast import PASSWORD, Cast, build
from tests.databases import empty_tables
from tests.journeys.conftest import DESKTOP, PHONE, Complaints
from tests.stack import Stack, live_stack
from tests.web.usage import charge, used

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LOST = re.compile("Live connection lost, figures from \\d\\d:\\d\\d:\\d\\d")


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """Aurora with usage of every kind, committed for the server to see; one for all journeys, for the stack's sake."""
    with django_db_blocker.unblock():
        made = build()
        line = made.aurora.lines["emil phone"]
        charge(
            made.aurora,
            used(line, "data", 10 * GIB),
            used(line, "data", 5 * MIB, visited_network="310", attributes={"apn": "corporate"}),
            used(line, "voice", 125, other_party="49301234"),
            used(made.aurora.lines["press 7"], "messaging", 3),
        )
        yield made
        empty_tables()


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


def left(cast: Cast) -> str:
    """What is left of Aurora's data now, in words."""
    now = datetime.now(UTC)
    buckets = cast.aurora.enterprise.buckets.filter(service=Service.DATA, valid_from__lte=now, valid_until__gt=now)
    return figures.quantity(buckets.aggregate(left=Sum("remaining_units"))["left"], Service.DATA)


def roaming_record(cast: Cast) -> int:
    return UsageRecord.objects.get(line=cast.aurora.lines["emil phone"], units=5 * MIB).id


def signed_in(browser: Browser, stack: Stack, user, complaints: Complaints, viewport=DESKTOP) -> Page:
    page = complaints.watch(browser.new_page(viewport=viewport))
    page.goto(stack.url)
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    return page


def assert_accessible(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_from_sign_in_to_why_a_charge_costs_what_it_costs(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Aurora AG")
    expect(page.locator('[data-live="data.left"]')).to_have_text(left(cast))
    expect(page.locator("[data-live-mark]")).to_contain_text("Live, as of")
    assert_accessible(page)

    page.get_by_role("link", name=re.compile("line beyond|^1 line$")).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Aurora AG")
    page.get_by_role("link", name="+49 170 10000001").first.click()
    expect(page.locator("[data-live-mark]")).to_contain_text("Live, as of")
    expect(page.get_by_role("region", name="Serves this line")).to_contain_text("Data")
    assert_accessible(page)

    page.goto(f"{stack.url}/usage/{roaming_record(cast)}/")
    expect(page.locator("main")).to_contain_text("€1.269531")
    expect(page.locator("main")).to_contain_text("100\u202fKiB")
    page.get_by_text("What else the network said").click()
    expect(page.locator("pre")).to_contain_text("corporate")
    assert_accessible(page)


def test_figures_move_while_the_page_is_open_and_agree_with_a_fresh_page(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints)
    shown = page.locator('[data-live="data.left"]')
    expect(shown).to_have_text(left(cast))
    page.evaluate("window.loadedOnce = true")
    charge(cast.aurora, used(cast.aurora.lines["frida phone"], "data", 30 * GIB))
    expect(shown).to_have_text(left(cast), timeout=5000)
    expect(page.locator('[data-live-rows="latest"]')).to_contain_text("30\u202fGiB")
    assert page.evaluate("window.loadedOnce"), "the page was kept, not loaded again"
    live = page.locator("main").inner_text()
    page.reload()
    expect(page.locator("[data-live-mark]")).to_contain_text("Live, as of")
    moving = re.compile(r"Live, as of .*")
    assert moving.sub("", page.locator("main").inner_text()) == moving.sub("", live)


def test_a_lost_connection_is_said_and_mended_by_itself(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints)
    mark = page.locator("[data-live-mark]")
    expect(mark).to_contain_text("Live, as of")
    stack.kill("web")
    expect(mark).to_have_text(LOST, timeout=15000)
    stack.revive("web")
    charge(cast.aurora, used(cast.aurora.lines["frida phone"], "data", 20 * GIB))
    expect(mark).to_contain_text("Live, as of", timeout=40000)
    expect(page.locator('[data-live="data.left"]')).to_have_text(left(cast))
    complaints.clear()  # the browser reports every attempt while the server was away


def test_the_tree_by_keyboard_alone(browser: Browser, stack: Stack, cast: Cast, complaints: Complaints):
    page = signed_in(browser, stack, cast.alice, complaints)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.get_by_role("treeitem", name="Aurora AG").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("treeitem", name="North", exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("treeitem", name="North sales")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("treeitem", name="North sales")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("North sales")
    expect(page.get_by_role("treeitem", name="North sales")).to_have_attribute("aria-selected", "true")
    assert_accessible(page)


def test_on_a_phone_the_tree_is_a_drawer_and_nothing_sticks_out(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints, PHONE)
    addresses = [
        f"/accounts/{cast.aurora.root.id}/",
        f"/accounts/{cast.aurora.root.id}/lines/",
        f"/lines/{cast.aurora.lines['emil phone'].id}/",
        f"/usage/{roaming_record(cast)}/",
    ]
    for address in addresses:
        page.goto(stack.url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
        assert_accessible(page)
    expect(page.get_by_role("treeitem", name="Aurora AG")).to_be_hidden()
    page.get_by_role("button", name="Accounts", exact=True).click()
    expect(page.get_by_role("treeitem", name="Aurora AG")).to_be_visible()
    page.get_by_label("Search accounts, lines and people").fill("plant")
    page.locator("#found").get_by_role("link", name=re.compile("Plant")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Plant")


def test_the_dark_theme_is_kept_and_readable(browser: Browser, stack: Stack, cast: Cast, complaints: Complaints):
    page = signed_in(browser, stack, cast.olga, complaints)
    expect(page.get_by_role("heading", level=1)).to_have_text("Enterprises")
    for _ in range(2):
        page.get_by_role("button", name=re.compile("^Theme")).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator("main").get_by_role("link", name="Aurora AG", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert_accessible(page)
