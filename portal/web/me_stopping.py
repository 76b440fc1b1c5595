"""What can stop a line of mine although it is no limit of the line's own: in words, and nothing of what others use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from balances.models import Line, Zone
from balances.selectors.terms import Terms
from policies import stopping
from policies.models import Restriction, RestrictionAction
from policies.stopping import Shared
from portal import figures, limit_words


@dataclass(frozen=True, slots=True)
class SharedRow:
    """A limit that others count towards, too; `badge` is colour, icon and words."""

    title: str
    counted: str
    whose: str
    bound: str
    window: str
    to_me: str
    badge: tuple[str, str, str]
    exempt_until: datetime | None


@dataclass(frozen=True, slots=True)
class RestrictedRow:
    """What restricts the line now, and till when."""

    what: str
    how: str
    why: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule of the company, as a sentence."""

    name: str
    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """All of it, of one line."""

    restricted: list[RestrictedRow]
    shared: list[SharedRow]
    rules: list[RuleRow]


def stopping_of(line: Line, terms: Terms, now: datetime) -> Stopping:
    """What can stop a line, and what does now."""
    zones = dict(Zone.objects.filter(operator__enterprises=line.enterprise_id).values_list("code", "name"))
    return Stopping(
        [_restricted(row) for row in stopping.restrictions(line, now)],
        [_shared(one, terms) for one in stopping.shared_limits(line, now)],
        [RuleRow(one.rule.name, one.rule.words(zones), one.account.name) for one in stopping.rules(line, now)],
    )


def _shared(one: Shared, terms: Terms) -> SharedRow:
    limit = one.limit
    return SharedRow(
        limit_words.title(limit), limit_words.counted(limit), limit_words.of_whom(limit),
        limit_words.amount(limit, one.bound, terms.currency), limit_words.window(limit), limit_words.to_me(limit),
        limit_words.ROOM_WORDS[one.room], one.exempt_until,
    )  # fmt: skip


def _restricted(row: Restriction) -> RestrictedRow:
    what = figures.SERVICE_WORDS[row.service] if row.service else "Every service"
    how = limit_words.RESTRICTION_WORDS[RestrictionAction(row.action)]
    limit = row.limit
    why = f"{limit_words.title(limit)}, {limit_words.of_whom(limit)}" if limit else "By hand"
    return RestrictedRow(what, how, why, row.until)
