"""From a charge to its row on an open page in Chromium, while the workers are busy with other usage.

Measured from the beginning of the charging transaction (what a usage record stores as `charged_at`), so that the
figure includes charging, commit, push, reading the page's state and drawing it. Needs Chromium.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from django.db import connection

from benchmarks import enterprises, programs
from benchmarks.enterprises import Subject
from benchmarks.reported_usage import base_subject, delivery_of
from portal.charging import ingest
from portal.models import Membership, Role, User
from scripts.browser import find_browser

PASSWORD = "bench-bench-2026"
#: Watched charges a second, one record each; beside them the workers charge this load.
WATCHED_A_SECOND = 5
BUSY_BATCH, BUSY_PAUSE_SECONDS = 1_000, 0.25
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

_WATCH = """
() => {
  window.shownAt = {};
  const look = () => document.querySelectorAll('[data-live-rows="latest"] [data-row]').forEach((row) => {
    window.shownAt[row.dataset.row] ??= Date.now();
  });
  look();
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
}
"""


def measure(quick: bool) -> Iterator[dict]:
    """Percentiles of the time from charge to screen."""
    seconds, workers = (6, 1) if quick else (40, 2)
    watched = enterprises.build(number=900, lines=200, levels=4, hot=True)
    busy = base_subject()
    _let_in(watched)
    with programs.workers(workers), programs.web() as (host, port):
        shown = _watch(f"http://{host}:{port}", watched, busy, seconds)
    delays = _delays(watched, shown)
    yield {
        "case": {"workers": workers, "watched_a_second": WATCHED_A_SECOND, "busy_events_a_second": _busy_rate()},
        "value": round(percentile(delays, 95)),
        "unit": "ms at the 95th percentile",
        "ratio": {"of_one_second": round(percentile(delays, 95) / 1000, 3)},
        "p50_ms": round(statistics.median(delays)),
        "most_ms": round(max(delays)),
        "charges": len(delays),
    }


def _busy_rate() -> int:
    return round(BUSY_BATCH / BUSY_PAUSE_SECONDS)


def _let_in(subject: Subject) -> None:
    user = User.objects.create_user("watcher@example.org", PASSWORD, name="Watcher")
    Membership.objects.create(user=user, role=Role.OWNER, enterprise_id=subject.id)


def _watch(url: str, watched: Subject, busy: Subject, seconds: float) -> dict[str, int]:
    """Open the enterprise's page, let usage come, and return when each row was first seen (ms since 1970)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=OPTIONS)
        page = browser.new_page()
        page.goto(url)
        page.fill("input[name=username]", "watcher@example.org")
        page.fill("input[name=password]", PASSWORD)
        page.press("input[name=password]", "Enter")
        page.wait_for_selector('[data-live-rows="latest"]', state="attached")
        page.wait_for_selector('[data-connection="live"]')
        page.evaluate(_WATCH)
        done = threading.Event()
        senders = [
            threading.Thread(target=partial(keep_busy, busy, done)),
            threading.Thread(target=partial(_send_watched, watched, done)),
        ]
        for sender in senders:
            sender.start()
        page.wait_for_timeout(seconds * 1000)
        done.set()
        for sender in senders:
            sender.join()
        page.wait_for_timeout(2_000)
        shown = page.evaluate("() => window.shownAt")
        browser.close()
    return shown


def keep_busy(subject: Subject, done: threading.Event, tag: str = "busy") -> None:
    """Usage of another enterprise for the workers, until it is done; each caller has a tag, lest it be a duplicate."""
    with closing(connection):
        usages = enterprises.usage(subject, 200_000, tag=tag)
        for start in range(0, len(usages), BUSY_BATCH):
            if done.wait(BUSY_PAUSE_SECONDS):
                return
            chunk = usages[start : start + BUSY_BATCH]
            ingest.accept(delivery=delivery_of(subject), usages=chunk, at=datetime.now(UTC))


def _send_watched(subject: Subject, done: threading.Event) -> None:
    with closing(connection):
        for usage in enterprises.usage(subject, 10_000, tag="watched"):
            if done.wait(1 / WATCHED_A_SECOND):
                return
            ingest.accept(delivery=delivery_of(subject), usages=[usage], at=datetime.now(UTC))


def _delays(subject: Subject, shown: dict[str, int]) -> list[float]:
    """Milliseconds from charge to screen, of the records that were seen."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, charged_at FROM balances_usagerecord WHERE enterprise_id = %s", [subject.id])
        charged = dict(cursor.fetchall())
    delays = [
        shown[str(usage_id)] - charged_at.timestamp() * 1000
        for usage_id, charged_at in charged.items()
        if str(usage_id) in shown
    ]
    if len(delays) < len(charged) / 2:
        raise RuntimeError(f"Only {len(delays)} of {len(charged)} charges were seen on the page.")
    return delays


def percentile(values: list[float], percent: int) -> float:
    """Interpolated between the two nearest."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
