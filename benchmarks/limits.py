"""What limits and policies cost: events a second in a worker with 500 limits and 200 rules on every level of a 12-level
tree, and without any.

Each account has a limit, two of three accounts a second one: units and money, by cycle, day, week and any 24 hours; an
event meets about twenty. Two of three accounts have a policy of one rule, the root of two: about a third of them speak
of limits, of roaming (which charging settles once a kind of event) and of the time of day (asked with every event).
`ratio.without` is against the same enterprise without either, the median of rounds that each measure both; in the full
figure a second line has the limits alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from balances.models import Account
from balances.units import Service
from benchmarks import enterprises, programs
from benchmarks.enterprises import ACTOR, AMPLE, Subject
from benchmarks.reported_usage import _charge
from policies import limits, publishing

LINES, LEVELS, LIMITS, RULES = 5_000, 12, 500, 200
QUICK_LINES, QUICK_LIMITS, QUICK_RULES = 1_000, 100, 40
WINDOWS = ("cycle", "day", "cycle", "week", "cycle", "sliding_24h")


#: By turns: about limits, settled by the kind of event, asked with every event. None of them refuses anything.
KINDS: tuple[dict[str, Any], ...] = (
    {"name": "Beyond", "when": "always", "beyond": {"window": "day"}, "action": "stop_now"},
    {
        "name": "Abroad",
        "when": "service is data and roaming is yes and not time within 07:00-20:00",
        "action": "stop_now",
    },
    {
        "name": "Hours",
        "when": "service is data and date within 2020-02-29 and time within 01:00-05:00",
        "action": "throttle",
    },
)


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


def _rule(subject: Subject, count: int) -> None:
    """Published policies on two of three accounts of each level, a rule each, until there are so many."""
    accounts = list(Account.objects.filter(enterprise_id=subject.id).order_by("id"))
    root = next(account for account in accounts if account.parent_id is None)
    levels: dict[int, list[Account]] = {}
    for account in accounts:
        levels.setdefault(account.level, []).append(account)
    chosen = [
        account
        for depth, here in sorted(levels.items())
        for place, account in enumerate(here)
        if account != root and (place + depth) % 3
    ]
    step = max(len(chosen) // max(count - 2, 1), 1)
    now = datetime.now(UTC)
    doing: dict[str, Any] = {"actor": ACTOR, "at": now}
    for place, account in enumerate([root, *chosen[::step][: count - 2]]):
        rules = [KINDS[place % 3], KINDS[(place + 1) % 3]] if account == root else [KINDS[place % 3]]
        draft = publishing.create(account=account, name="Bench", rules=rules, **doing)
        publishing.publish(version=draft, reason="Bench", **doing)


def measure(quick: bool) -> Iterator[dict]:
    """Rounds with and without take turns, another one first each time, so that a slower moment is one for all."""
    events, rounds = (16_000, 2) if quick else (64_000, 6)
    lines, count, rules = (QUICK_LINES, QUICK_LIMITS, QUICK_RULES) if quick else (LINES, LIMITS, RULES)
    guarded, limited = _limited(60, lines, count), None if quick else _limited(62, lines, count)
    _rule(guarded, rules)
    free = enterprises.build(number=61, lines=lines, levels=LEVELS, hot=False)
    subjects = [subject for subject in (guarded, limited, free) if subject is not None]
    rates: dict[int, list[float]] = {subject.id: [] for subject in subjects}
    with programs.workers(1):
        for subject in subjects:
            _charge((subject,), max(events // 4, lines * 2), 1_000)
        for number in range(rounds):
            first = number % len(subjects)
            for subject in subjects[first:] + subjects[:first]:
                rates[subject.id].append(_charge((subject,), events, 1_000))
    for measured, there in ((guarded, rules), (limited, 0)):
        if measured is not None:
            ratios = [rate / without for rate, without in zip(rates[measured.id], rates[free.id], strict=True)]
            yield {
                "case": {
                    "lines": lines, "levels": LEVELS, "limits": count, "rules": there, "batch": 1_000, "workers": 1,
                },
                "value": round(statistics.median(rates[measured.id])),
                "unit": "events/s",
                "ratio": {"without": round(statistics.median(ratios), 3)},
            }  # fmt: skip
