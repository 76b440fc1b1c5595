"""My lines, devices, limits and trips, as far as they are mine to see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from babel import Locale
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from balances.models import Line, PersonAssignment
from balances.scope import Scope, Verb
from balances.selectors import mine
from balances.selectors.terms import Terms, terms_at
from policies import consent, selectors
from policies.models import Limit, Trip
from portal import limit_words
from portal.web.limits import Row, row_of
from portal.web.me import mine_page, selves
from portal.web.me_stopping import Stopping, stopping_of

MOST_LIMITS, MOST_TRIPS = 50, 50


@dataclass(frozen=True, slots=True)
class MyLimit:
    """A limit with its use; `may_consent`: more can be had by the reader's own word."""

    row: Row
    may_consent: bool

    @property
    def to_me(self) -> str:
        """What happens beyond it, to the reader."""
        return limit_words.to_me(self.row.limit)


@dataclass(frozen=True, slots=True)
class MyLine:
    """A line that is or was mine; limits of one that is."""

    line: Line
    zone: ZoneInfo
    since: datetime | None
    until: datetime | None
    limits: list[MyLimit]
    is_seen: bool
    stopping: Stopping | None


@dataclass(frozen=True, slots=True)
class MyTrip:
    """A declared business trip; `where` in names of countries."""

    trip: Trip
    where: str
    zone: ZoneInfo
    is_past: bool


def lines(request: HttpRequest) -> HttpResponse:
    """Lines with their devices and limits, those of the past, and trips."""
    scope: Scope = request.tenancy.scope
    now, ids = datetime.now(UTC), [one.person.id for one in selves(request)]
    held = [_line(scope, row, now) for row in mine.lines_held(ids)]
    current = [one for one in held if one.until is None or one.until > now]
    context = mine_page(
        request, "me-lines", lines=current, past=[one for one in held if one not in current], trips=_trips(ids, now)
    )
    return render(request, "me/lines.html", context)


def _line(scope: Scope, row: PersonAssignment, now: datetime) -> MyLine:
    terms = terms_at(row.enterprise_id, now)
    since, until = row.during.lower, row.during.upper
    is_mine = (since is None or since <= now) and (until is None or until > now)
    limits = _limits(scope, row.line, terms, now) if is_mine else []
    is_seen = Line.objects.within(scope).filter(id=row.line_id).exists()
    stopping = stopping_of(row.line, terms, now) if is_mine else None
    return MyLine(row.line, terms.zone, since, until, limits, is_seen, stopping)


def _limits(scope: Scope, line: Line, terms: Terms, now: datetime) -> list[MyLimit]:
    """The line's own; those above it count what others use, too, whatever else the reader may see of them."""
    rows = list(selectors.of_line(scope, line).filter(line=line)[:MOST_LIMITS])
    mine_to_ease = set(
        Limit.objects.within(scope, Verb.MANAGE).filter(id__in=[row.id for row in rows]).values_list("id", flat=True)
    )
    return [
        MyLimit(row_of(state, terms, now), state.limit.id in mine_to_ease and consent.asks_for_consent(state.limit))
        for state in selectors.states(rows, now)
    ]


def _trips(person_ids: list[int], now: datetime) -> list[MyTrip]:
    names = Locale("en").territories
    rows = Trip.objects.filter(person__in=person_ids, removed_at__isnull=True).order_by("-starts_at")[:MOST_TRIPS]
    return [
        MyTrip(
            trip, ", ".join(names.get(code, code) for code in trip.countries) or "anywhere",
            terms_at(trip.enterprise_id, now).zone, trip.ends_at <= now,
        )
        for trip in rows
    ]  # fmt: skip
