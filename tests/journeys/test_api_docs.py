"""The API's documentation in a real browser: served from this site alone, under its own strict content policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from tests.journeys.conftest import DESKTOP, Complaints

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_the_description_is_read_without_any_other_site(
    live_server: LiveServer, browser: Browser, complaints: Complaints
) -> None:
    page = complaints.watch(browser.new_page(viewport=DESKTOP))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    policy = page.goto(f"{live_server.url}/api/v1/docs/").headers["content-security-policy"]
    assert "unsafe" not in policy
    expect(page.get_by_role("heading", name="Enterprise portal API")).to_be_visible(timeout=20_000)
    page.get_by_placeholder("Filter by tag").fill("Usage")  # only what is in sight is drawn, of so many operations
    page.get_by_role("button", name="POST /api/v1/usage-batches Send usage").click()
    expect(page.get_by_text("Needs a token with the verb")).to_be_visible()
    assert all(url.startswith((live_server.url, "data:")) for url in asked), asked
    page.close()
