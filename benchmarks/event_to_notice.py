"""From a crossing to the number on the bell in the manager's open browser, while the workers are busy with other usage.

Measured from the beginning of the charging transaction that wrote the crossing (`recorded_at`), so that the figure
includes charging, commit, the outbox, the notice, the push and drawing it. The bell shows a count: the n-th notice has
come when the count is n. Needs Chromium.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from django.db import connection

from balances.models import Crossing, Line, Threshold
from balances.units import Service
from benchmarks import enterprises, programs
from benchmarks.enterprises import Subject
from benchmarks.event_to_browser import BUSY_BATCH, BUSY_PAUSE_SECONDS, OPTIONS, keep_busy, percentile
from benchmarks.reported_usage import base_subject, delivery_of
from portal.charging import ingest
from portal.models import Membership, Notice, Role, User
from scripts.browser import find_browser

EMAIL, PASSWORD = "told@example.org", "bench-bench-2026"
CROSSINGS_A_SECOND = 5
#: So long the last ones may take before they count as lost.
PATIENCE_SECONDS = 15
WANTED_MS = 2_000

_WATCH = """
() => {
  const bell = document.querySelector('[data-bell]');
  window.shownAt = [];
  const look = () => {
    while (window.shownAt.length < Number(bell.dataset.unread)) window.shownAt.push(Date.now());
  };
  look();
  new MutationObserver(look).observe(bell, { attributes: true });
}
"""


def measure(quick: bool) -> Iterator[dict]:
    """Percentiles of the time from crossing to bell."""
    seconds, workers = (6, 1) if quick else (40, 2)
    told = enterprises.build(number=910, lines=400, levels=4, hot=True)
    busy = base_subject()
    lines = Line.objects.filter(enterprise_id=told.id)
    Threshold.objects.bulk_create(
        Threshold(enterprise_id=told.id, line=line, service=Service.DATA, units=1) for line in lines
    )
    user = User.objects.create_user(EMAIL, PASSWORD, name="Told")
    Membership.objects.create(user=user, role=Role.OWNER, enterprise_id=told.id)
    with programs.workers(workers), programs.web() as (host, port):
        shown = _watch(f"http://{host}:{port}", told, busy, seconds)
    delays = _delays(told, shown)
    p95 = percentile(delays, 95)
    yield {
        "case": {
            "workers": workers,
            "crossings_a_second": CROSSINGS_A_SECOND,
            "busy_events_a_second": round(BUSY_BATCH / BUSY_PAUSE_SECONDS),
        },
        "value": round(p95),
        "unit": "ms at the 95th percentile",
        "ratio": {"of_two_seconds": round(p95 / WANTED_MS, 3)},
        "p50_ms": round(statistics.median(delays)),
        "most_ms": round(max(delays)),
        "notices": len(delays),
        "p50_p95_ms": _stages(told, shown),
    }


def _watch(url: str, told: Subject, busy: Subject, seconds: float) -> list[int]:
    """Open the portal, let usage cross thresholds, and return when the bell showed 1, 2, 3, ... (ms since 1970)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=OPTIONS)
        page = browser.new_page()
        page.goto(url)
        page.fill("input[name=username]", EMAIL)
        page.fill("input[name=password]", PASSWORD)
        page.press("input[name=password]", "Enter")
        page.wait_for_selector("[data-bell]")
        page.evaluate(_WATCH)
        page.wait_for_timeout(1_000)
        done, sent = threading.Event(), list[str]()
        senders = [
            threading.Thread(target=partial(keep_busy, busy, done, "busy beside notices")),
            threading.Thread(target=partial(_cross, told, done, sent)),
        ]
        for sender in senders:
            sender.start()
        page.wait_for_timeout(seconds * 1000)
        done.set()
        for sender in senders:
            sender.join()
        shown = page.evaluate("() => window.shownAt")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(shown) < len(sent) and time.monotonic() < deadline:
            page.wait_for_timeout(200)
            shown = page.evaluate("() => window.shownAt")
        browser.close()
    return shown


def _cross(subject: Subject, done: threading.Event, sent: list[str]) -> None:
    """The first data of one line after the other: each reaches its line's threshold. `sent` gets their numbers."""
    with closing(connection):
        for usage in enterprises.usage(subject, 20_000, tag="crossing"):
            line = str(usage.number)
            if usage.service != Service.DATA or line in sent:
                continue
            if done.wait(1 / CROSSINGS_A_SECOND):
                return
            ingest.accept(delivery=delivery_of(subject), usages=[usage], at=datetime.now(UTC))
            sent.append(line)


def _delays(subject: Subject, shown: list[int]) -> list[float]:
    """Milliseconds from crossing to bell, of every crossing. Raises RuntimeError if one was not seen."""
    notices = list(Notice.objects.filter(enterprise_id=subject.id).order_by("id").values_list("facts", flat=True))
    crossings = Crossing.objects.filter(enterprise_id=subject.id).count()
    if not crossings or len(notices) != crossings or len(shown) < crossings:
        raise RuntimeError(f"{crossings} crossings, {len(notices)} notices, {len(shown)} seen on the bell.")
    begun = [datetime.fromisoformat(facts["as_of"]).timestamp() * 1000 for facts in notices]
    return [at - start for at, start in zip(shown, begun, strict=False)]


def _stages(subject: Subject, shown: list[int]) -> dict[str, list[int]]:
    """Median and 95th percentile: from the crossing to the turn that tells it, and from its begin to the bell."""
    rows = list(Notice.objects.filter(enterprise_id=subject.id).order_by("id").values_list("facts", "created_at"))
    found = [datetime.fromisoformat(facts["as_of"]).timestamp() * 1000 for facts, _ in rows]
    turns = [at.timestamp() * 1000 for _, at in rows]
    parts = {
        "to_turn": [turn - begun for turn, begun in zip(turns, found, strict=True)],
        "to_bell": [at - turn for at, turn in zip(shown, turns, strict=False)],
    }
    return {name: [round(statistics.median(part)), round(percentile(part, 95))] for name, part in parts.items()}
