"""A real browser for the journeys; what it complains about fails the test that made it complain."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, expect, sync_playwright

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
#: How long a page may take to say what is expected of it: a stack, a browser and other tests may share two cores.
PATIENCE_MS = 15_000


@pytest.fixture(scope="module")
def browser(browser_executable: str) -> Iterator[Browser]:
    """Chromium, once a module. Playwright's loop runs in this thread, so Django has to be told that all is well."""
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()
        connections.close_all()  # under Playwright's loop this thread has connections of its own
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Complaints(list[str]):
    """What the console and the page reported as errors."""

    def watch(self, page: Page) -> Page:
        page.on("console", lambda message: self.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.append(str(error)))
        return page


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Errors of the pages that were watched; a test that expects some empties it."""
    heard = Complaints()
    yield heard
    assert not heard
