"""An employee's way on a phone: what I pay and why, an objection, and the money back."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from balances.units import MIB
from tests.cast import Cast, build
from tests.databases import empty_tables
from tests.employee import employee
from tests.journeys.conftest import DESKTOP, Complaints
from tests.journeys.test_portal import assert_accessible, signed_in
from tests.stack import Stack, live_stack
from tests.web.usage import charge, used

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SMALL_PHONE = {"width": 360, "height": 740}
PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """Emil with an account, a private call, and data abroad that both pay; committed for the server to see."""
    with django_db_blocker.unblock():
        made = build()
        employee(made)
        phone = made.aurora.lines["emil phone"]
        charge(
            made.aurora,
            used(phone, "voice", 300, other_party="498912345"),
            used(phone, "voice", 60, other_party="49301234"),
            used(phone, "data", 100 * MIB, visited_network="208", attributes={"apn": "internet"}),
        )
        yield made
        empty_tables()


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


def looked_at(page: Page, name: str) -> None:
    """Nobody is shut out and nothing sticks out; kept as a picture where PICTURES names a folder."""
    for size, kind in ((DESKTOP, "desk"), (SMALL_PHONE, "phone")):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], (name, kind)
            assert_accessible(page)
            if folder := os.environ.get("PICTURES"):
                page.screenshot(path=f"{folder}/{name}-{kind}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")


def test_everything_of_ones_own_can_be_read_on_a_small_phone(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.emil, complaints, SMALL_PHONE)
    expect(page.get_by_role("heading", name="The company pays")).to_be_visible()
    looked_at(page, "me")
    for name in ("charges", "statement", "rules", "lines"):
        page.goto(f"{stack.url}/me/{name}/")
        looked_at(page, f"me-{name}")
    page.goto(f"{stack.url}/me/charges/?payer=me&service=data")
    page.locator(".my-charge").first.click()
    expect(page.get_by_role("heading", name="Who pays this, and why")).to_be_visible()
    looked_at(page, "me-charge")
    page.goto(f"{stack.url}/me/rules/")
    page.get_by_label("How much").fill("200 MiB")
    page.get_by_label("Where").select_option("208")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("heading", name="It would be so")).to_be_visible()
    looked_at(page, "me-ask")


def test_an_objection_on_the_phone_is_upheld_on_the_desk_and_the_money_is_back(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    phone = signed_in(browser, stack, cast.emil, complaints, SMALL_PHONE)
    expect(phone.get_by_text("€16.50 left")).to_be_visible()
    phone.goto(f"{stack.url}/me/charges/?payer=me&service=voice")
    phone.locator(".my-charge").first.click()
    expect(phone.get_by_text("Rule “Private numbers” of Aurora AG.", exact=True)).to_be_visible()
    phone.get_by_text("The company should have paid this").click()
    phone.get_by_label("Why should the company pay it?").fill("A customer called back.")
    looked_at(phone, "me-contest")
    phone.get_by_role("button", name="Object").click()
    expect(phone.get_by_text("Objected, not decided yet")).to_be_visible()
    desk = signed_in(browser, stack, cast.carla, complaints)
    desk.goto(f"{stack.url}/accounts/{cast.aurora.accounts['NORTH'].id}/contests/")
    expect(desk.get_by_text("A customer called back.")).to_be_visible()
    expect(desk.get_by_text("498912345")).to_have_count(0)
    looked_at(desk, "contests")
    desk.get_by_role("button", name="The company pays").click()
    expect(desk.get_by_text("Decided. The company pays it.")).to_be_visible()
    for _ in range(60):
        phone.goto(f"{stack.url}/me/")
        if phone.get_by_text("€17.00 left").count():
            break
        phone.wait_for_timeout(1000)
    expect(phone.get_by_text("€17.00 left")).to_be_visible()
    expect(phone.locator(".my-charge", has_text="€0.50").get_by_text("Upheld and given back")).to_be_visible()
    expect(phone.get_by_role("region", name="My objections").get_by_text("Upheld and given back")).to_be_visible()
    looked_at(phone, "me-after")


def test_ones_own_page_grows_while_it_is_looked_at_and_ends_with_the_session(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints, django_db_blocker
):
    page = signed_in(browser, stack, cast.emil, complaints, SMALL_PHONE)
    expect(page.get_by_text("Live, as of")).to_be_visible(timeout=PATIENCE_MS)
    with django_db_blocker.unblock():
        charge(cast.aurora, used(cast.aurora.lines["emil phone"], "voice", 125, other_party="498912345"))
    expect(page.locator(".my-charges")).to_contain_text("2:05", timeout=PATIENCE_MS)
    page.context.clear_cookies()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=PATIENCE_MS)
    complaints.clear()  # sockets of the session that ended
