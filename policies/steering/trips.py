"""Business trips: the only writer of Trip. Rules of who pays read them as "on a business trip".

Owns: who travels where and when, as it was known at each charge: a trip that is changed is taken away and declared
anew. It may lie in the past, for usage that is charged later; what was charged already stays. Each function opens its
own transaction under the enterprise's lock; a trigger raises the configuration version.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import QuerySet

from balances import audit, fields, locks
from balances.errors import Refused
from balances.models import ChargingState, Person
from policies.conditions.places import is_country
from policies.models import Trip

#: Trips of one person, and of an enterprise, that are declared at once; countries of one trip.
TRIPS_MOST, ENTERPRISE_MOST, COUNTRIES_MOST = 100, 20_000, 60
LONGEST = timedelta(days=400)
NOTE_LENGTH = 200


class TripRefused(Refused):
    """A trip that cannot be."""


def declared(rows: QuerySet[Trip]) -> QuerySet[Trip]:
    """Those of some trips that are declared now, latest first."""
    return rows.filter(removed_at__isnull=True).select_related("person__account").order_by("-starts_at", "-id")


def read_countries(countries: str | Iterable[str]) -> list[str]:
    """Codes of countries as they are kept, "DE, FR" or a list; none: anywhere. Raises TripRefused."""
    given = countries.replace(";", ",").split(",") if isinstance(countries, str) else list(countries)
    codes = list(dict.fromkeys(code.strip().upper() for code in given if code.strip()))
    for code in codes:
        if not is_country(code):
            raise TripRefused(f"“{code[:20]}” is no country: write two letters, such as DE.", field="countries")
    if len(codes) > COUNTRIES_MOST:
        raise TripRefused(f"At most {COUNTRIES_MOST} countries fit; leave them out for anywhere.", field="countries")
    return codes


def declare(
    *,
    person: Person,
    starts_at: datetime,
    ends_at: datetime,
    countries: str | Iterable[str] = (),
    note: str = "",
    actor: str,
    at: datetime,
) -> Trip:
    """Declare that somebody travels on business. Raises TripRefused, Unreadable, Busy."""
    codes = read_countries(countries)
    note = fields.text(note, field="note", label="The note", most=NOTE_LENGTH, required=False)
    if ends_at <= starts_at:
        raise TripRefused("The trip ends before it begins.", field="ends_at")
    if ends_at - starts_at > LONGEST:
        raise TripRefused(f"A trip lasts at most {LONGEST.days} days: declare several.", field="ends_at")
    with locks.enterprise(person.enterprise_id):
        if not Person.objects.filter(id=person.id, enterprise_id=person.enterprise_id).exists():
            raise TripRefused("This person does not exist.", field="person")
        standing = Trip.objects.filter(enterprise_id=person.enterprise_id, removed_at__isnull=True)
        mine = standing.filter(person=person)
        if mine.count() >= TRIPS_MOST:
            raise TripRefused(f"At most {TRIPS_MOST} trips of one person are kept: remove past ones.", field="person")
        if standing.count() >= ENTERPRISE_MOST:
            raise TripRefused(f"At most {ENTERPRISE_MOST:,} trips fit into an enterprise: remove past ones.")
        if mine.filter(starts_at=starts_at, ends_at=ends_at, countries=codes).exists():
            raise TripRefused("This trip is declared already.", field="starts_at")
        trip = Trip.objects.create(
            enterprise_id=person.enterprise_id, person=person, countries=codes, starts_at=starts_at, ends_at=ends_at,
            note=note, added_sequence=_sequence(person.enterprise_id), added_at=at, added_by=actor,
        )  # fmt: skip
        _record(trip, "trip.declared", actor, at)
        return trip


def remove(*, trip: Trip, actor: str, at: datetime) -> Trip:
    """Take a trip away: charges from now on know nothing of it. Raises TripRefused, Busy."""
    with locks.enterprise(trip.enterprise_id):
        known = Trip.objects.select_related("person").filter(id=trip.id, enterprise_id=trip.enterprise_id)
        found = known.filter(removed_at__isnull=True).first()
        if found is None:
            raise TripRefused("This trip is removed already.", field="trip")
        found.removed_at, found.removed_by = at, actor
        found.removed_sequence = _sequence(trip.enterprise_id)
        found.save(update_fields=["removed_at", "removed_by", "removed_sequence"])
        _record(found, "trip.removed", actor, at)
        return found


def _sequence(enterprise_id: int) -> int:
    return ChargingState.objects.get(enterprise_id=enterprise_id).charge_sequence


def _record(trip: Trip, action: str, actor: str, at: datetime) -> None:
    detail = {
        "countries": trip.countries, "starts_at": trip.starts_at.isoformat(), "ends_at": trip.ends_at.isoformat(),
    }  # fmt: skip
    audit.record(
        enterprise_id=trip.enterprise_id,
        account_id=trip.person.account_id,
        actor=actor,
        action=action,
        subject=str(trip.person),
        detail=detail,
        at=at,
    )
