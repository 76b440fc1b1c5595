"""What limits cost: events a second in a worker with 500 limits on every level of a 12-level tree, and without any.

Each account has a limit, two of three accounts a second one: units and money, by cycle, day, week and any 24 hours; an
event meets about twenty. `ratio.without` is against the same enterprise without limits, measured in turns.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import UTC, datetime

from balances.models import Account
from balances.units import Service
from benchmarks import enterprises, programs
from benchmarks.enterprises import ACTOR, AMPLE, Subject
from benchmarks.reported_usage import _charge
from policies import limits

LINES, LEVELS, LIMITS = 5_000, 12, 500
QUICK_LINES, QUICK_LIMITS = 1_000, 100
WINDOWS = ("cycle", "day", "cycle", "week", "cycle", "sliding_24h")


def _limited(number: int, lines: int, count: int) -> Subject:
    """A subject with limits: far from being used up, with marks and an action that would stop usage."""
    subject = enterprises.build(number=number, lines=lines, levels=LEVELS, hot=False)
    accounts = list(Account.objects.filter(enterprise_id=subject.id).order_by("id"))
    now = datetime.now(UTC)
    for place in range(count):
        money = place % 5 == 4
        limits.make(
            account=accounts[place % len(accounts)],
            service=None if money else Service.DATA,
            measure="money" if money else "units",
            window=WINDOWS[place % len(WINDOWS)],
            amount=AMPLE + place,
            action="stop_now",
            actor=ACTOR,
            at=now,
        )
    return subject


def measure(quick: bool) -> Iterator[dict]:
    """Rounds with and without limits take turns, so that a slower moment of the machine is one for both."""
    events, rounds = (16_000, 1) if quick else (64_000, 3)
    lines, count = (QUICK_LINES, QUICK_LIMITS) if quick else (LINES, LIMITS)
    limited = _limited(60, lines, count)
    free = enterprises.build(number=61, lines=lines, levels=LEVELS, hot=False)
    rates, free_rates = [], []
    with programs.workers(1):
        for subject in (limited, free):
            _charge((subject,), max(events // 4, lines * 2), 1_000)
        for _ in range(rounds):
            rates.append(_charge((limited,), events, 1_000))
            free_rates.append(_charge((free,), events, 1_000))
    yield {
        "case": {"lines": lines, "levels": LEVELS, "limits": count, "batch": 1_000, "workers": 1},
        "value": round(statistics.median(rates)),
        "unit": "events/s",
        "ratio": {"without": round(statistics.median(rates) / statistics.median(free_rates), 3)},
    }
