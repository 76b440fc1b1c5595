"""What rules of who pays refer to: business trips and lists of numbers, as they were known at each charge."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from balances import inventory
from balances.errors import Refused
from balances.models import AuditEvent, ChargingState, Contract, KnownDevice, KnownNumber
from balances.models.accounts import NumberKind
from policies.conditions.places import country_of
from policies.models import NumberList, NumberListEntry, Trip
from policies.steering import holidays, number_lists, publishing, trips
from policies.steering.holidays import HolidaysRefused
from policies.steering.loading import surroundings
from policies.steering.number_lists import EntryRow, ListRefused
from policies.steering.trips import TripRefused
from tests.cast import ACTOR, NOW, Cast, imei

DOING = {"actor": ACTOR, "at": NOW}
DAY = timedelta(days=1)


def at_sequence(cast: Cast, number: int) -> int:
    state = ChargingState.objects.filter(enterprise=cast.aurora.enterprise)
    state.update(charge_sequence=number)
    return state.get().configuration_version


def test_a_trip_is_declared_and_removed_as_charges_knew_it(cast: Cast):
    before = at_sequence(cast, 10)
    emil = cast.aurora.people["P-1"]
    trip = trips.declare(person=emil, starts_at=NOW, ends_at=NOW + DAY, countries="fr, US", note="Fair", **DOING)
    assert (trip.countries, trip.added_sequence) == (["FR", "US"], 10)
    assert at_sequence(cast, 20) > before
    trips.remove(trip=trip, actor=ACTOR, at=NOW + DAY)
    trip.refresh_from_db()
    assert (trip.removed_sequence, trip.removed_by) == (20, ACTOR)
    assert not trips.declared(Trip.objects.all()).exists()
    with pytest.raises(TripRefused, match="removed already"):
        trips.remove(trip=trip, **DOING)
    acts = AuditEvent.objects.filter(action__startswith="trip.").order_by("id").values_list("action", flat=True)
    assert list(acts) == ["trip.declared", "trip.removed"]


@pytest.mark.parametrize(
    "wrong",
    [{"countries": "Atlantis"}, {"countries": ["ZZ"]}, {"ends_at": NOW}, {"ends_at": NOW + 500 * DAY},
     {"note": "x" * 201}],
)  # fmt: skip
def test_a_trip_that_cannot_be_is_refused(cast: Cast, wrong: dict):
    right = {"person": cast.aurora.people["P-1"], "starts_at": NOW, "ends_at": NOW + DAY, **DOING}
    with pytest.raises(Refused):
        trips.declare(**right | wrong)
    assert not Trip.objects.exists()


def test_holidays_are_those_that_were_set_else_those_of_the_contracts_country(cast: Cast):
    number = cast.aurora.enterprise.id

    def calendars() -> set[str]:
        return {code for _, code in surroundings(number, frozenset({"holiday"})).holiday_calendars}

    before = at_sequence(cast, 10)
    assert calendars() == {"DE"}
    holidays.set_calendar(enterprise=cast.aurora.enterprise, calendar=" de-by ", **DOING)
    assert calendars() == {"DE-BY"}
    assert at_sequence(cast, 10) > before
    for wrong in ("DE-XX", "Bavaria", "XX"):
        with pytest.raises(HolidaysRefused):
            holidays.set_calendar(enterprise=cast.aurora.enterprise, calendar=wrong, **DOING)
    holidays.set_calendar(enterprise=cast.aurora.enterprise, calendar="", **DOING)
    Contract.objects.filter(enterprise=number).update(time_zone="UTC")
    assert calendars() == {country_of("26207")}, "of the home network, where the contract's clock is of no country"
    acts = AuditEvent.objects.filter(action="enterprise.holidays_set").order_by("id").values_list("detail", flat=True)
    assert list(acts) == [{"from": "", "to": "DE-BY"}, {"from": "DE-BY", "to": ""}]


def test_whatever_changes_a_device_charges_know_it_from_then_on(cast: Cast):
    enterprise = cast.aurora.enterprise

    def facts(as_of: int | None = None) -> list[tuple[str, ...] | None]:
        known = surroundings(enterprise.id, frozenset({"device.model"}), as_of=as_of).devices
        return [known.get(imei(number)[:14]) for number in (7_001, 7_002)]

    at_sequence(cast, 10)
    one = inventory.add_device(enterprise=enterprise, imei=imei(7_001), model="Old", **DOING)
    at_sequence(cast, 20)
    inventory.load_devices(enterprise=enterprise, rows=[inventory.DeviceRow(1, imei(7_002), "X", "personal")], **DOING)
    inventory.update_device(device=one, model="New", ownership="personal", device_type="phone", **DOING)
    other = ("personal", "X", "unknown")
    assert [facts(10), facts(11), facts(20)] == [[None, None], *[[("corporate", "Old", "unknown"), None]] * 2]
    assert facts(21) == facts() == [("personal", "New", "phone"), other]
    one.delete()
    assert (facts(), facts(21)) == ([None, other], [None, other]), "taken away before any charge after 20"
    assert not KnownDevice.objects.filter(imei=imei(7_001), removed_sequence__isnull=True).exists()


def test_whatever_changes_a_number_charges_know_it_from_then_on(cast: Cast):
    aurora = cast.aurora
    first, second, third = "491718880001", "491718880002", "491718880003"

    def held(as_of: int | None = None) -> dict[str, list[tuple[datetime | None, datetime | None]]]:
        known = surroundings(aurora.enterprise.id, frozenset({"line"}), as_of=as_of).line_numbers
        found: dict[str, list[tuple[datetime | None, datetime | None]]] = {}
        for one in (one for numbers in known.values() for one in numbers if one.digits.startswith("49171888000")):
            found.setdefault(one.digits, []).append((one.starts, one.ends))
        return {digits: sorted(times) for digits, times in found.items()}

    at_sequence(cast, 10)
    line = inventory.add_line(
        enterprise=aurora.enterprise, account=aurora.root, msisdn=first, imsi="262079999999999",
        assigned_from=NOW - 9 * DAY, **DOING,
    )  # fmt: skip
    at_sequence(cast, 20)
    rows = [inventory.LineRow(1, third, "NORTH", assigned_from=NOW - DAY)]
    assert inventory.load_lines(enterprise=aurora.enterprise, rows=rows, **DOING).created == 1
    change = {"line": line, "kind": NumberKind.MSISDN, "number": second}
    inventory.change_number(from_at=NOW - 5 * DAY, **change, **DOING)
    at_sequence(cast, 30)
    inventory.set_line_status(line=line, status="retired", **DOING)
    assert [held(10), held(20)] == [{}, {first: [(NOW - 9 * DAY, None)]}]
    later = {first: [(NOW - 9 * DAY, NOW - 5 * DAY)], third: [(NOW - DAY, None)]}
    assert held(30) == later | {second: [(NOW - 5 * DAY, None)]}
    assert held(31) == held() == later | {second: [(NOW - 5 * DAY, NOW)]}
    assert not KnownNumber.objects.filter(number=262079999999999).exists()


def test_a_trip_is_declared_once_and_no_more_than_fit(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    right = {"person": cast.aurora.people["P-1"], "starts_at": NOW, "ends_at": NOW + DAY, **DOING}
    trips.declare(**right)
    with pytest.raises(TripRefused, match="declared already"):
        trips.declare(**right)
    monkeypatch.setattr(trips, "TRIPS_MOST", 1)
    with pytest.raises(TripRefused, match="At most 1"):
        trips.declare(**right | {"ends_at": NOW + 2 * DAY})


@pytest.fixture
def customers(cast: Cast) -> NumberList:
    north = cast.aurora.accounts["NORTH"]
    return number_lists.create(account=north, code="Customers", name="Customers", **DOING)


def test_numbers_come_as_a_table_and_what_is_wrong_is_told_by_row(cast: Cast, customers: NumberList):
    before = at_sequence(cast, 10)
    text = (
        "number;label;valid_from;valid_until\r\n"
        "+49 30 1234567;Berlin;;\r\n"
        "0049 89*;Munich;2026-03-01;2026-03-31\r\n"
        "\r\n"
        "030 1234567;no country;;\r\n"
        "+493012345678;;yesterday;\r\n"
        "+4930 1234567;again;;\r\n"
        "+4940*;;2026-03-02;2026-03-01\r\n"
        "+4941*;for ever;2026-03-02;9999-12-31\r\n"
        "+4942*;;0001-01-01;\r\n"
    )
    loaded = number_lists.add(
        numbers=customers, rows=number_lists.rows_of(text), zone=ZoneInfo("Europe/Berlin"), **DOING
    )
    assert loaded.created == 3
    assert [(one.row, one.column) for one in loaded.errors] == [
        (5, "number"), (6, "valid_from"), (7, "number"), (8, "valid_until"), (10, "valid_from"),
    ]  # fmt: skip
    assert customers.entries.get(digits="4941").valid_until is None
    munich = customers.entries.get(digits="4989")
    assert (munich.digits, munich.added_sequence) == ("4989", 10)
    assert munich.valid_from == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert munich.valid_until == datetime(2026, 3, 31, 22, tzinfo=UTC)  # to the end of the day
    assert at_sequence(cast, 20) > before
    again = number_lists.add(numbers=customers, rows=number_lists.rows_of("+49 89*, Munich"), **DOING)
    assert again.errors[0].message == "+4989* is in the list already."


def test_a_table_reads_back_as_it_was_written(cast: Cast, customers: NumberList):
    number_lists.add(numbers=customers, rows=[EntryRow(1, "+49301234567", "A, B", NOW), EntryRow(2, "+49*")], **DOING)
    other = number_lists.create(account=customers.account, code="copy", name="Copy", **DOING)
    table = number_lists.table_of(customers.entries.all())
    assert not number_lists.add(numbers=other, rows=number_lists.rows_of(table), **DOING).errors
    facts = ("digits", "is_prefix", "label", "valid_from", "valid_until")
    assert list(other.entries.values_list(*facts)) == list(customers.entries.values_list(*facts))


def test_a_number_that_is_taken_out_is_known_to_the_charges_before(cast: Cast, customers: NumberList):
    at_sequence(cast, 10)
    number_lists.add(numbers=customers, rows=[EntryRow(1, "+49301234567")], **DOING)
    at_sequence(cast, 20)
    entry = customers.entries.get()
    assert number_lists.take_out(numbers=customers, entries=[entry.id, entry.id + 1], **DOING) == 1
    entry.refresh_from_db()
    assert (entry.added_sequence, entry.removed_sequence) == (10, 20)
    assert number_lists.add(numbers=customers, rows=[EntryRow(1, "+49301234567")], **DOING).created == 1


def test_a_list_has_a_bound(cast: Cast, customers: NumberList, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(number_lists, "ENTRIES_MOST", 2)
    number_lists.add(numbers=customers, rows=[EntryRow(1, "+49301234561")], **DOING)
    loaded = number_lists.add(
        numbers=customers, rows=[EntryRow(1, "+49301234562"), EntryRow(2, "+49301234563")], **DOING
    )
    assert (loaded.created, loaded.errors[0].row) == (1, 2)
    with pytest.raises(Refused, match="at most 2"):
        number_lists.add(numbers=customers, rows=[EntryRow(n, "+4930123456") for n in range(3)], **DOING)


@pytest.mark.parametrize("text", ["", "\n\n", "number,colour\n+49301234567,red", 'number\n"+4930'])
def test_what_is_no_table_is_refused(text: str):
    with pytest.raises(ListRefused):
        number_lists.rows_of(text)


def test_a_list_that_rules_ask_for_or_that_had_numbers_is_not_removed(cast: Cast, customers: NumberList):
    rule = [{"name": "Sales", "when": "list in (customers, customers)", "pays": "corporate"}]
    draft = publishing.save_draft(account=cast.aurora.accounts["N-FIELD"], rules=rule, **DOING)
    with pytest.raises(ListRefused, match="asks for this list"):
        number_lists.remove(numbers=customers, **DOING)
    publishing.discard(version=draft, **DOING)
    number_lists.add(numbers=customers, rows=[EntryRow(1, "+49301234567")], **DOING)
    with pytest.raises(ListRefused, match="Empty it instead"):
        number_lists.remove(numbers=customers, **DOING)
    assert NumberListEntry.objects.count() == 1
    fresh = number_lists.create(account=customers.account, code="fresh", name="Fresh", **DOING)
    number_lists.remove(numbers=fresh, **DOING)
    assert list(NumberList.objects.all()) == [customers]


def test_rules_speak_only_of_lists_of_their_own_account_and_of_those_above(cast: Cast, customers: NumberList):
    rule = [{"name": "Sales", "when": "list is customers", "pays": "corporate"}]
    publishing.save_draft(account=cast.aurora.accounts["N-FIELD"], rules=rule, **DOING)
    with pytest.raises(Refused, match="no list of numbers “customers”"):
        publishing.save_draft(account=cast.aurora.accounts["SOUTH"], rules=rule, **DOING)


def test_a_code_is_there_once_and_a_list_takes_another_name(cast: Cast, customers: NumberList):
    with pytest.raises(ListRefused, match="already"):
        number_lists.create(account=cast.aurora.root, code="customers", name="Mine", **DOING)
    with pytest.raises(ListRefused, match="no code"):
        number_lists.create(account=cast.aurora.root, code="a b", name="Mine", **DOING)
    assert number_lists.rename(numbers=customers, name="Clients", **DOING).name == "Clients"
