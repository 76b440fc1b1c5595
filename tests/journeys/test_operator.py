"""An account manager sets an enterprise up, from nothing to charged usage, in a real browser, on the real stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from balances.models import UsageRecord
from tests.cast import PASSWORD, Cast, build
from tests.databases import empty_tables
from tests.journeys.conftest import DESKTOP, Complaints
from tests.stack import Stack, live_stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NOW = datetime.now(UTC)
BEGAN = (NOW - timedelta(days=40)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
TREE = "code,parent_code,name,kind\nWEST,,West,division\nW-1,WEST,West sales,cost_centre\n"
LINES = f"msisdn,account_code,assigned_from\n+49 170 4440001,W-1,{BEGAN.isoformat()}\n0170,W-1,\n"
USED = (NOW - timedelta(hours=2)).isoformat()
USAGE = (
    "source_record_id,service,msisdn,units,started_at\n"
    f"j-1,data,491704440001,5242880,{USED}\n"
    f"j-2,data,491704440001,-7,{USED}\n"
)


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    with django_db_blocker.unblock():
        yield build()
        empty_tables()


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


def assert_accessible(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def choose_file(page: Page, region: str, name: str, content: str) -> None:
    field = page.get_by_role("region", name=region).locator("input[type=file]")
    field.set_input_files({"name": name, "mimeType": "text/csv", "buffer": content.encode()})


def test_from_nothing_to_charged_usage_with_one_record_mended(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = complaints.watch(browser.new_page(viewport=DESKTOP))
    page.goto(stack.url)
    page.get_by_label("E-mail").fill(cast.olga.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    page.get_by_role("link", name="New enterprise").click()
    page.get_by_label("Name").fill("Cirrus SE")
    page.get_by_label("Customer number").fill("C-3000")
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_text("No contract is published.")).to_be_visible()
    assert_accessible(page)

    page.get_by_role("link", name="New contract").click()
    page.get_by_label("Begins", exact=True).fill(BEGAN.strftime("%Y-%m-%dT00:00"))
    page.get_by_role("button", name=re.compile("draft the first version")).click()
    page.get_by_label("Name").first.fill("Data")
    page.get_by_role("textbox", name="Each cycle").fill("50 GiB")
    page.get_by_role("button", name="Add allowance").click()
    expect(page.get_by_role("region", name="Allowances each cycle")).to_contain_text("50\u202fGiB")
    for zone in ("Home", "European Union", "World"):
        page.get_by_label(f"Data, {zone}: price").fill("0.01")
    page.get_by_role("button", name="Keep rates").click()
    assert_accessible(page)
    page.get_by_role("button", name="Publish version 1").click()
    expect(page.get_by_text("Version 1 is published.")).to_be_visible()

    page.locator(".breadcrumb").get_by_role("link", name="Cirrus SE").click()
    page.get_by_role("link", name="Import", exact=True).click()
    assert_accessible(page)
    choose_file(page, "1. Account tree", "tree.csv", TREE)
    page.get_by_role("button", name="Import accounts").click()
    expect(page.locator("dl div", has_text="Created").locator("dd")).to_have_text("2", timeout=30_000)
    page.get_by_role("link", name="Import another file").click()
    choose_file(page, "4. Lines", "lines.csv", LINES)
    page.get_by_role("button", name="Import lines").click()
    expect(page.get_by_text("has no country code")).to_be_visible(timeout=30_000)

    page.get_by_role("link", name="Files").first.click()
    page.get_by_role("link", name="Upload usage").click()
    choose_file(page, "File", "usage.csv", USAGE)
    page.get_by_label("Source").fill("Mediation")
    page.get_by_label("Enterprise", exact=False).last.select_option("Cirrus SE")
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("link", name=re.compile("Mend what is in suspense")).click(timeout=30_000)

    page.get_by_role("link", name="j-2").click()
    expect(page.locator("#outlook")).to_contain_text("Will come back: Negative units")
    page.get_by_role("textbox", name="units").fill("2048")
    expect(page.locator("#outlook")).to_contain_text("Will be charged", timeout=15_000)
    assert_accessible(page)
    page.get_by_role("button", name="Recycle").click()
    expect(page.get_by_text("Recycled.", exact=True)).to_be_visible()
    for _ in range(60):
        if UsageRecord.objects.filter(source_record_id="j-2").exists():
            break
        page.wait_for_timeout(500)
    page.reload()
    page.get_by_role("link", name="see the charge").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert set(UsageRecord.objects.values_list("source_record_id", flat=True)) == {"j-1", "j-2"}
