"""The market in a real browser: a loan from one account to another, and pages that all can read on desk and phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, expect

from balances import allocation
from balances.allocation_plan import Wish
from balances.models import Bucket, Loan
from balances.units import GIB, Service
from portal.web.forms import LOCAL
from tests.cast import ACTOR, Cast, build
from tests.databases import empty_tables
from tests.journeys.conftest import DESKTOP, PHONE, Complaints
from tests.journeys.test_portal import assert_accessible, signed_in
from tests.stack import Stack, live_stack
from tests.web.usage import charge, used

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """North holds 30 GiB and South 2, which it uses up; committed for the server to see."""
    with django_db_blocker.unblock():
        made = build()
        charge(made.aurora, used(made.aurora.lines["emil phone"], "data", 2 * GIB))
        root = Bucket.objects.filter(account=made.aurora.root, service=Service.DATA).latest("valid_until")
        units = {"NORTH": 30 * GIB, "SOUTH": 2 * GIB}
        wishes = [
            Wish(row, ("account", made.aurora.accounts[code].id), units=size)
            for row, (code, size) in enumerate(units.items(), start=1)
        ]
        allocation.apply(bucket_id=root.id, wishes=wishes, actor=ACTOR, at=datetime.now(UTC))
        charge(made.aurora, used(made.aurora.lines["frida phone"], "data", GIB))
        yield made
        empty_tables()


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


def looked_at(page: Page, name: str) -> None:
    """Nobody is shut out and nothing sticks out; kept as a picture where PICTURES names a folder."""
    for size, kind in ((DESKTOP, "desk"), (PHONE, "phone")):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], (name, kind)
        assert_accessible(page)
        if folder := os.environ.get("PICTURES"):
            page.screenshot(path=f"{folder}/{name}-{kind}.png", full_page=True)
    page.set_viewport_size(DESKTOP)


def test_a_loan_goes_out_and_comes_back_and_every_page_of_it_can_be_read(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints)
    north, south = (f"{stack.url}/accounts/{cast.aurora.accounts[code].id}/market/" for code in ("NORTH", "SOUTH"))
    source = Bucket.objects.get(account=cast.aurora.accounts["NORTH"])
    page.goto(north)
    page.get_by_label("Give from").select_option(str(source.id))
    page.get_by_label("Amount to give").fill("5 GiB")
    page.locator("[name=offer-to]").fill("SOUTH")
    hours = (source.valid_until - datetime.now(UTC)) / 3
    for name, instant in (("expires_at", source.valid_until - 2 * hours), ("returns_at", source.valid_until - hours)):
        page.locator(f"[name=offer-{name}]").fill(instant.strftime(LOCAL))
    page.locator("#make").locator("xpath=ancestor::section").get_by_role("button", name="Show what it comes to").click()
    expect(page.get_by_role("heading", name="Before it is offered")).to_be_visible()
    looked_at(page, "offer-preview")
    page.get_by_role("button", name="Offer it").click()
    page.goto(south)
    page.get_by_role("button", name="Show what taking it comes to").click()
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("Borrowed from North")).to_be_visible()
    page.get_by_text("Give something in each cycle").click()
    looked_at(page, "market")
    page.get_by_role("button", name="Show what giving back comes to").click()
    looked_at(page, "repay-preview")
    page.get_by_role("button", name="Give it back").click()
    expect(page.locator(".message")).to_contain_text("All is back")
    assert Loan.objects.get().state == "returned"
    page.goto(f"{stack.url}/accounts/{cast.aurora.root.id}/market/rebalancing/")
    looked_at(page, "rebalancing")
    page.goto(north)
    page.locator("[name=terms-floor_units]").fill("3 GiB")
    page.get_by_role("button", name="Show what then holds").click()
    looked_at(page, "terms-preview")
