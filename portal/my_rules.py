"""When a person pays: the rules that hold for their lines in words, and who would pay for an event that they make up.

The same for the screen and for REST. What a personal account would pay shows only to who is proven to be the person,
and for times at which the line was theirs: of anybody else's account it would tell something.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from balances.errors import Refused
from balances.models import Account, Line, PersonAssignment, Zone
from balances.selectors.terms import terms_at
from balances.units import Service
from policies.steering import homes, standing
from policies.steering.loading import catalogue_of
from policies.steering.rules import missing_words, parts_words
from portal import figures
from portal.charging import steering_trial
from portal.charging.records import Usage
from portal.charging.steering_trial import Foreseen
from portal.people import Oneself

#: How far back and ahead an event may be made up: what charging accepts.
BACK, AHEAD = timedelta(days=60), timedelta(days=366)


class NotYours(Refused):
    """A line that was somebody else's then, or a time of which nothing can be said."""


@dataclass(frozen=True, slots=True)
class WordedRule:
    """A rule in words and where it stands."""

    name: str
    text: str
    place: str
    is_fixed: bool


@dataclass(frozen=True, slots=True)
class HeldRules:
    """What holds for the lines of an account now, in the order in which it is asked."""

    account: Account
    lines: list[Line]
    rules: list[WordedRule]
    default: str
    default_place: str
    missing: str
    time_zone: str  # where the lines are at home: whose clock a rule means that names none


@dataclass(frozen=True, slots=True)
class Current:
    """The lines that are somebody's now, and of them those of which they may ask who would pay."""

    lines: list[Line]
    asked: list[Line]


def lines_of(people: Iterable[Oneself], now: datetime) -> Current:
    """The lines of people now, in the order of their numbers."""
    people = list(people)
    held = PersonAssignment.objects.filter(person__in=[one.person.id for one in people], during__contains=now)
    rows = list(held.select_related("line__account", "line__enterprise", "line__device").order_by("line__msisdn"))
    proven = proven_ids(people)
    return Current([row.line for row in rows], [row.line for row in rows if row.person_id in proven])


def proven_ids(people: Iterable[Oneself]) -> frozenset[int]:
    """Those of some people that the reader proved to be."""
    return frozenset(one.person.id for one in people if one.is_proven)


def rules_of(lines: Iterable[Line], now: datetime) -> list[HeldRules]:
    """What holds for lines, once for those of one account: they have the same rules."""
    groups: dict[int, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.account_id, []).append(line)
    return [_held(group, now) for group in groups.values()]


def foresee(
    *, line: Line, proven: Collection[int], usage: Usage, starts_at: datetime, ends_at: datetime, now: datetime
) -> Foreseen:
    """What charging says to an event of a line. Nothing is kept. Raises NotYours."""
    if not now - BACK <= starts_at <= ends_at <= now + AHEAD:
        raise NotYours("Choose a time within the last 60 days or the next year.", field="started_at")
    then = PersonAssignment.objects.filter(line=line, during__contains=starts_at, person__in=proven)
    if not then.filter(during__contains=DateTimeTZRange(starts_at, ends_at)).exists():
        raise NotYours("This line was not yours at that time.", field="started_at")
    return steering_trial.foresee(line=line, usage=usage, at=max(now, ends_at))


def _held(lines: list[Line], now: datetime) -> HeldRules:
    line = lines[0]
    terms = terms_at(line.enterprise_id, now)
    zones = dict(Zone.objects.filter(operator__enterprises=line.enterprise_id).values_list("code", "name"))
    catalogue = catalogue_of(line.enterprise_id)
    along = standing.inherited(line.account, now, catalogue=catalogue)
    found = [
        WordedRule(
            one.rule.name, one.rule.words(zones, terms.currency, catalogue, _units), one.account.name, one.rule.is_fixed
        )
        for one in along.rules
    ]  # fmt: skip
    place = along.default_of.steering.account.name if along.default_of else ""
    return HeldRules(
        line.account, lines, found, parts_words(along.default, terms.currency, _units), place,
        missing_words(along.missing, terms.currency), homes.standing_at(line.account, now).time_zone,
    )  # fmt: skip


def _units(units: int, service: str) -> str:
    return figures.quantity(units, Service[service.upper()])
