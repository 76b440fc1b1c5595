"""What a source hands to the outbox: facts, each as one notice will tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from balances.models import Account, Line
from portal.models import NoticeKind, Severity
from portal.notices.facts import Facts


@dataclass(frozen=True, slots=True)
class Found:
    """A fact as a notice will tell it."""

    key: str
    kind: NoticeKind
    enterprise_id: int
    account: Account | None
    line: Line | None
    service: int | None
    severity: Severity
    happened_at: datetime
    facts: Facts
    person_id: int | None = None  # it is personal: theirs alone, of no account and no line
    resolves: str = ""  # the key of a notice that asks for nothing any more
    recorded_at: datetime | None = None  # when the portal came to know it: late usage is news all the same


@dataclass(frozen=True, slots=True)
class Source:
    """A table of facts; `rows` with everything that `tell` looks at.

    One row may be told to both its sides, or to nobody.
    """

    name: str
    rows: Callable[[], QuerySet[Any]]
    tell: Callable[[Any, datetime], Sequence[Found]]
