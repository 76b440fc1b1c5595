"""`manage.py demo`: builds the demo enterprises with their past. Killed half-way, the next call goes on."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from balances import audit
from balances.models import AuditEvent, Enterprise, Operator
from portal.demo import cast, people
from portal.demo.build import EnterpriseBuild, prepare_operator
from portal.demo.past import ACTOR
from portal.demo.plan import LARGEST_LINES, SIZES
from portal.demo.story import Story
from portal.demo.terms import TIME_ZONE

OPERATOR = "Nordnetz"
STARTED, FINISHED = "demo.started", "demo.finished"
SEED = 2026


class Command(BaseCommand):
    """Three enterprises of one operator, 90 days of usage, and a cast to sign in as."""

    help = "Build the demo: three enterprises with 90 days of usage, and people to sign in as."

    def add_arguments(self, parser):
        parser.add_argument("--if-empty", action="store_true", help="do nothing where an enterprise exists already")
        parser.add_argument("--lines", type=int, default=LARGEST_LINES, help="lines of the largest enterprise")
        parser.add_argument("--days", type=int, default=90, help="days of usage before today (1 to 90)")
        parser.add_argument("--seed", type=int, default=SEED)

    def handle(self, *, if_empty: bool, lines: int, days: int, seed: int, **options):
        if not 60 <= lines <= 50_000 or not 1 <= days <= 90:
            raise CommandError("--lines lies between 60 and 50000, --days between 1 and 90.")
        self.begun = time.monotonic()
        self.told_at = 0.0
        started = AuditEvent.objects.filter(enterprise=None, action=STARTED).last()
        if started is None:
            if if_empty and Enterprise.objects.exists():
                self.stdout.write("There are enterprises already; the demo is not built beside them.")
                return
            started = self._note(STARTED, {"lines": lines, "days": days, "seed": seed, "now": _now().isoformat()})
        elif AuditEvent.objects.filter(enterprise=None, action=FINISHED).exists():
            self._ensure_cast(_stories(**started.detail))
            self.stdout.write("The demo is there already.")
            return
        else:
            self.stdout.write("An earlier build of the demo was interrupted; it goes on from there.")
        stories = _stories(**started.detail)
        self._build(stories)
        self._ensure_cast(stories)
        people.settle(stories[0], Enterprise.objects.get(number=stories[0].plan.size.number))
        self._note(FINISHED, {})
        self._say(f"the demo is ready; its people are in {settings.DATA_DIR / 'cast.json'}", 1.0)

    def _build(self, stories: list[Story]) -> None:
        operator = prepare_operator(OPERATOR)
        all_lines, lines_before = sum(len(story.plan.lines) for story in stories), 0
        for story in stories:
            first, weight = lines_before / all_lines, len(story.plan.lines) / all_lines

            def progress(words: str, done: float, first: float = first, weight: float = weight) -> None:
                self._say(words, first + weight * done)

            EnterpriseBuild(story, operator, progress).run()
            lines_before += len(story.plan.lines)

    def _ensure_cast(self, stories: list[Story]) -> None:
        operator = Operator.objects.get(name=OPERATOR)
        plans = [story.plan for story in stories]
        cast.ensure(operator, plans, Path(settings.DATA_DIR), seed=stories[0].seed, at=datetime.now(UTC))

    def _note(self, action: str, detail: dict) -> AuditEvent:
        with transaction.atomic():
            return audit.record(
                enterprise_id=None,
                actor=ACTOR,
                action=action,
                subject="Demo",
                detail=detail,
                at=datetime.now(UTC),
            )

    def _say(self, words: str, done: float) -> None:
        """A line of progress, at most two a second: percent, seconds, what is being done."""
        now = time.monotonic()
        if done < 1 and now - self.told_at < 0.5:
            return
        self.told_at = now
        self.stdout.write(f"{done:5.0%} {now - self.begun:5.1f} s  {words}")
        self.stdout.flush()


def _stories(*, lines: int, days: int, seed: int, now: str) -> list[Story]:
    """The three enterprises, as the note of the build's start has them."""
    ends_at = datetime.fromisoformat(now)
    return [Story(key=key, lines=lines, days=days, seed=seed, now=ends_at) for key in SIZES]


def _now() -> datetime:
    """The end of the past that is built: the last full half hour."""
    now = datetime.now(TIME_ZONE).replace(second=0, microsecond=0)
    return now.replace(minute=now.minute // 30 * 30).astimezone(UTC)
