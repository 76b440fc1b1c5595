"""Moving allowances in a real browser: in how many clicks, with and without script, on a phone, by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from balances.models import Bucket
from balances.units import GIB, Service
from tests.cast import Cast, build
from tests.databases import empty_tables
from tests.journeys.conftest import DESKTOP, PHONE, Complaints
from tests.journeys.test_portal import assert_accessible, signed_in
from tests.stack import Stack, live_stack
from tests.web.usage import charge, used

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """Aurora with some usage, committed for the server to see."""
    with django_db_blocker.unblock():
        made = build()
        charge(made.aurora, used(made.aurora.lines["emil phone"], "data", 10 * GIB))
        yield made
        empty_tables()


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


def given(cast: Cast, code: str) -> int:
    return sum(Bucket.objects.filter(account=cast.aurora.accounts[code]).values_list("received_units", flat=True))


class Clicks:
    """Counts what the hand has to do on the page; typing is no click."""

    def __init__(self, page: Page):
        self.page, self.count = page, 0

    def on(self, role: str, name) -> None:
        self.count += 1
        self.page.get_by_role(role, name=name).first.click()


def test_an_allowance_is_moved_in_three_clicks_and_undone_in_one(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints)
    clicks = Clicks(page)
    clicks.on("link", "Allowances")
    assert_accessible(page)
    page.get_by_role("textbox", name="Allocated to North").fill("20 GiB")
    expect(page.locator("[data-rest]")).to_have_text("70 GiB stay available here")
    expect(page.get_by_role("slider", name="Allocated to North")).to_have_value("20")
    clicks.on("button", "Show what it comes to")
    expect(page.get_by_role("heading", name="Before it is done")).to_be_visible()
    assert given(cast, "NORTH") == 0
    assert_accessible(page)
    clicks.on("button", "Do it")
    expect(page.locator(".message")).to_contain_text("given")
    assert (clicks.count, given(cast, "NORTH")) == (3, 20 * GIB)
    assert_accessible(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".message")).to_contain_text("taken back")
    assert given(cast, "NORTH") == 0


def test_many_are_changed_in_three_clicks(browser: Browser, stack: Stack, cast: Cast, complaints: Complaints):
    page = signed_in(browser, stack, cast.alice, complaints)
    clicks, before = Clicks(page), [given(cast, code) for code in ("NORTH", "SOUTH")]
    clicks.on("link", "Allowances")
    page.get_by_label(re.compile("^Give")).fill("10 GiB")
    clicks.on("button", "Show the shares")
    clicks.on("button", "Do it")
    expect(page.locator(".message")).to_contain_text("given")
    assert clicks.count == 3
    assert [given(cast, code) for code in ("NORTH", "SOUTH")] == [units + 5 * GIB for units in before]


def test_a_slider_moves_its_amount_by_keyboard(browser: Browser, stack: Stack, cast: Cast, complaints: Complaints):
    page = signed_in(browser, stack, cast.alice, complaints)
    page.goto(f"{stack.url}/accounts/{cast.aurora.root.id}/allowances/")
    slider = page.get_by_role("slider", name="Allocated to South")
    before = int(slider.input_value())
    slider.press("ArrowRight")
    expect(page.get_by_role("textbox", name="Allocated to South")).to_have_value(f"{before + 1} GiB")
    page.get_by_role("textbox", name="Allocated to South").fill("2000 GiB")
    expect(page.locator("[data-rest]")).to_contain_text("Not enough")


def test_it_works_without_script_and_fits_a_phone(browser: Browser, stack: Stack, cast: Cast, complaints: Complaints):
    page = signed_in(browser, stack, cast.alice, complaints, PHONE)
    cookies = page.context.cookies()
    address = f"{stack.url}/accounts/{cast.aurora.root.id}/allowances/"
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert_accessible(page)
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    context.add_cookies(cookies)
    plain = context.new_page()
    plain.goto(address)
    before = given(cast, "SOUTH")
    plain.get_by_role("textbox", name="Allocated to South").fill("+1 GiB")
    plain.get_by_role("button", name="Show what it comes to").first.click()
    plain.get_by_role("button", name="Do it").click()
    expect(plain.locator(".message")).to_contain_text("given")
    assert given(cast, "SOUTH") == before + GIB
    context.close()


def test_caps_buckets_and_exchange_can_be_read_by_everybody(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints)
    bucket = Bucket.objects.filter(account=cast.aurora.root, service=Service.DATA).latest("valid_until")
    page.goto(f"{stack.url}/accounts/{cast.aurora.accounts['NORTH'].id}/drawing/")
    page.get_by_label("At most, each cycle").fill("10 GiB")
    page.get_by_role("button", name="Show what it comes to").click()
    assert_accessible(page)
    page.get_by_role("button", name="Set this cap").click()
    expect(page.locator(".message")).to_contain_text("From the next charge on")
    addresses = [
        f"/accounts/{cast.aurora.accounts['NORTH'].id}/drawing/",
        f"/buckets/{bucket.id}/",
        f"/buckets/{bucket.id}/exchange/",
        f"/accounts/{cast.aurora.root.id}/allowances/?as_of={bucket.valid_from:%Y-%m-%dT12:00}",
    ]
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        for address in addresses:
            page.goto(stack.url + address)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], address
            assert_accessible(page)
