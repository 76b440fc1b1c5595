"""Loads the rules of who pays with all that they refer to: once a configuration version, only what they ask for.

Reads only. What is loaded is as it stands now; a replay says `as_of`, the charge sequence of a charge, and gets trips,
lists, profiles, numbers and devices as they were known when that was charged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F, Q, QuerySet

from balances.models import Contract, DeclaredField, KnownDevice, KnownNumber, LineProfile, PersonAssignment, Zone
from policies.conditions import Catalogue, Declared, Entry, Kind, NumberSet, Surroundings, fields_read
from policies.conditions.catalogue import FIELDS
from policies.conditions.fields import Home
from policies.conditions.fields import Trip as TripSpan
from policies.conditions.places import country_of
from policies.models import AccountHome, NumberListEntry, PolicyState, SteeringVersion, Trip
from policies.steering import holidays, homes
from policies.steering.book import Homes, SteeringBook
from policies.steering.outcomes import BEGINNING, NEVER, StandingVersion
from policies.steering.rules import Terms, terms_from_json

#: Fields that read what is known of devices and of numbers of lines.
OF_DEVICES = frozenset({"device.ownership", "device.model", "device.type"})
OF_NUMBERS = frozenset({"directory", "line"})
#: Fields that are read off a clock.
OFF_CLOCKS = frozenset(name for name, known in FIELDS.items() if known.is_civil)
#: Whose line it is, and when: (from, until, person), in order of time.
Users = tuple[tuple[datetime, datetime, int], ...]


def load(
    enterprise_id: int, *, instead: SteeringVersion | None = None, as_of: int | None = None
) -> SteeringBook | None:
    """The rules of an enterprise; None where it has none, which costs charging nothing.

    `instead`: a draft that is taken as if it had always held, in place of its account's versions.
    """
    versions = SteeringVersion.objects.filter(enterprise_id=enterprise_id).exclude(state=PolicyState.DRAFT)
    if instead is not None:
        versions = versions.exclude(steering_id=instead.steering_id)
    catalogue = catalogue_of(enterprise_id)
    standing = []
    for version in versions.select_related("steering").order_by("id"):
        starts, ends = version.effective_at, version.ends_at or NEVER
        if as_of is not None:
            if version.published_sequence is not None and version.published_sequence >= as_of:
                continue
            if version.retired_sequence is not None and version.retired_sequence >= as_of:
                ends = NEVER
        if starts is not None and starts < ends:
            standing.append(_standing(version, starts, ends, catalogue))
    if instead is not None:
        standing.append(_standing(instead, BEGINNING, NEVER, catalogue))
    if not standing:
        return None
    fields = SteeringBook(standing, Surroundings()).fields
    at_home = _homes(enterprise_id, as_of) if fields & OFF_CLOCKS else {}
    return SteeringBook(standing, surroundings(enterprise_id, fields, as_of=as_of), at_home)


def _standing(version: SteeringVersion, starts: datetime, ends: datetime, catalogue: Catalogue) -> StandingVersion:
    return StandingVersion(
        version.id, version.steering_id, version.steering.account_id, terms_of(version, catalogue), starts, ends
    )


def terms_of(version: SteeringVersion, catalogue: Catalogue | None = None) -> Terms:
    """What a version says. Raises SteeringFault."""
    known = catalogue or catalogue_of(version.enterprise_id)
    return terms_from_json(version.rules, version.default, version.missing, catalogue=known)


def fields_ever_read(enterprise_id: int) -> frozenset[str]:
    """All fields that any rule of an enterprise read that was ever published."""
    versions = SteeringVersion.objects.filter(enterprise_id=enterprise_id).exclude(state=PolicyState.DRAFT)
    catalogue = catalogue_of(enterprise_id)
    rules = (rule for version in versions for rule in terms_of(version, catalogue).rules)
    return frozenset[str]().union(*(fields_read(rule.when) for rule in rules))


def catalogue_of(enterprise_id: int) -> Catalogue:
    """The fields that rules of an enterprise may ask for: the built-in ones, its operator's, and its own."""
    rows = DeclaredField.objects.filter(operator__enterprises=enterprise_id).filter(
        Q(enterprise=None) | Q(enterprise=enterprise_id)
    )
    declared = [
        Declared(
            row.name, Kind(row.kind), row.label, row.hint[:60], tuple(row.choices), is_own=row.enterprise_id is not None
        )
        for row in rows.order_by(F("enterprise_id").asc(nulls_first=True), "id")
    ]  # fmt: skip
    return Catalogue(tuple(declared))


def surroundings(enterprise_id: int, fields: frozenset[str], *, as_of: int | None = None) -> Surroundings:
    """What conditions that read these fields refer to; what none asks for is not loaded."""
    zones = list(
        Zone.objects.filter(operator__enterprises=enterprise_id).values_list("id", "code", "is_home", "networks")
    )
    home_country = next((country_of(networks[0]) for *_, is_home, networks in zones if is_home and networks), "")
    devices: dict[str, tuple[str, ...]] = {}
    if fields & OF_DEVICES:
        rows = _known(KnownDevice.objects.filter(enterprise_id=enterprise_id), as_of)
        facts_of = rows.values_list("imei", "ownership", "model", "device_type")
        devices = {imei[:14]: tuple(facts) for imei, *facts in facts_of.iterator()}
    numbers = _numbers(enterprise_id, as_of) if fields & OF_NUMBERS else {}
    contracts = Contract.objects.filter(enterprise_id=enterprise_id).order_by("starts_at")
    return Surroundings(
        zone_ids={code: zone_id for zone_id, code, *_ in zones},
        home_ids=frozenset(zone_id for zone_id, _, is_home, _ in zones if is_home),
        devices=devices,
        home_country=home_country,
        directory=NumberSet(one for held in numbers.values() for one in held) if "directory" in fields else None,
        line_numbers=numbers if "line" in fields else {},
        number_lists=_number_lists(enterprise_id, as_of) if "list" in fields else {},
        trips=_trips(enterprise_id, as_of) if "on_trip" in fields else None,
        holiday_calendars=holidays.calendars_of(enterprise_id, home_country) if "holiday" in fields else (),
        enterprise_zones=tuple(
            (starts_at, ZoneInfo(zone)) for starts_at, zone in contracts.values_list("starts_at", "time_zone")
        ),
    )


def _known(rows: QuerySet[Any], as_of: int | None) -> QuerySet[Any]:
    """Rows that hold now, or that held when a charge of that sequence was made."""
    if as_of is None:
        return rows.filter(removed_sequence__isnull=True)
    return rows.filter(Q(removed_sequence__isnull=True) | Q(removed_sequence__gte=as_of), added_sequence__lt=as_of)


def _numbers(enterprise_id: int, as_of: int | None) -> Mapping[int, tuple[Entry, ...]]:
    """The numbers of each line, and when it had them."""
    found: dict[int, tuple[Entry, ...]] = {}
    rows = _known(KnownNumber.objects.filter(enterprise_id=enterprise_id), as_of)
    for line_id, number, *times in rows.values_list("line_id", "number", "during__startswith", "during__endswith"):
        found[line_id] = (*found.get(line_id, ()), Entry(str(number), False, *times))
    return found


def _homes(enterprise_id: int, as_of: int | None) -> Homes:
    found: dict[int, list[tuple[datetime, Home | None]]] = defaultdict(list)
    rows = _known(AccountHome.objects.filter(enterprise_id=enterprise_id), as_of).order_by("effective_at")
    for row in rows:
        found[row.account_id].append((row.effective_at, homes.home_of(row)))
    return found


def _number_lists(enterprise_id: int, as_of: int | None) -> Mapping[str, NumberSet]:
    entries: dict[str, list[Entry]] = defaultdict(list)
    rows = _known(NumberListEntry.objects.filter(enterprise_id=enterprise_id), as_of).order_by("id")
    for code, *row in rows.values_list("list__code", "digits", "is_prefix", "valid_from", "valid_until"):
        entries[code].append(Entry(*row))
    return {code: NumberSet(found) for code, found in entries.items()}


def _trips(enterprise_id: int, as_of: int | None) -> Mapping[int, tuple[TripSpan, ...]]:
    found: dict[int, tuple[TripSpan, ...]] = {}
    rows = _known(Trip.objects.filter(enterprise_id=enterprise_id), as_of).order_by("starts_at", "id")
    for person_id, starts, ends, countries in rows.values_list("person_id", "starts_at", "ends_at", "countries"):
        found[person_id] = (*found.get(person_id, ()), (starts, ends, frozenset(countries)))
    return found


def profiles(enterprise_id: int, *, as_of: int | None = None) -> Mapping[int, Mapping[str, Any]]:
    """The profiles of lines."""
    rows = _known(LineProfile.objects.filter(enterprise_id=enterprise_id), as_of)
    return dict(rows.values_list("line_id", "attributes"))


def users(enterprise_id: int) -> Mapping[int, Users]:
    """Whose each line was, and when."""
    found: dict[int, Users] = {}
    rows = PersonAssignment.objects.filter(enterprise_id=enterprise_id).order_by("line_id", "during")
    for line_id, person_id, during in rows.values_list("line_id", "person_id", "during").iterator():
        starts = during.lower or datetime.min.replace(tzinfo=UTC)
        found[line_id] = (*found.get(line_id, ()), (starts, during.upper or NEVER, person_id))
    return found
