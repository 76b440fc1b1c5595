"""People, devices and lines: what is read, what is refused, and who held what when."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from balances import fields, inventory
from balances.errors import Refused
from balances.inventory import DeviceRow, LineRow, PersonRow
from balances.models import AuditEvent, ChargingState, Device, Line, LineAssignment, NumberAssignment, Person
from balances.models.accounts import DeviceOwnership, LineStatus, NumberKind, PersonAssignment
from tests.cast import ACTOR, FEBRUARY, MARCH, NOW, Cast, imei

BY = {"actor": ACTOR, "at": NOW}
DAY = timedelta(days=1)


def held(line: Line) -> list[tuple[str, Any, Any]]:
    """The accounts of a line over time."""
    rows = LineAssignment.objects.filter(line=line).select_related("account").order_by("during")
    return [(row.account.code, row.during.lower, row.during.upper) for row in rows]


def numbers(line: Line, kind: NumberKind = NumberKind.MSISDN) -> list[tuple[int, Any, Any]]:
    rows = NumberAssignment.objects.filter(line=line, kind=kind).order_by("during")
    return [(row.number, row.during.lower, row.during.upper) for row in rows]


def whose(line: Line) -> list[tuple[str, Any, Any]]:
    """The people of a line over time."""
    rows = PersonAssignment.objects.filter(line=line).select_related("person").order_by("during")
    return [(row.person.number, row.during.lower, row.during.upper) for row in rows]


def add_line(cast: Cast, msisdn: str, **more: Any) -> Line:
    house = more.pop("house", cast.aurora)
    return inventory.add_line(enterprise=house.enterprise, account=house.root, msisdn=msisdn, **{**BY, **more})


class TestFields:
    @pytest.mark.parametrize("written", ["+49 170 1234567", "0049170-1234567", "491701234567", "+49 (0)170 / 123.4567"])
    def test_read_a_number_however_it_is_written(self, written: str) -> None:
        assert fields.msisdn(written) == "491701234567"

    @pytest.mark.parametrize(
        "written", ["", "0170 1234567", "+49", "+4917012345678901", "+49 170 CALLME", "+٤٩١٧٠١٢٣٤٥٦٧"]
    )
    def test_refuse_what_is_no_number(self, written: str) -> None:
        with pytest.raises(Refused) as refusal:
            fields.msisdn(written)
        assert refusal.value.field == "msisdn"

    @pytest.mark.parametrize("written", ["490154203237518", "49-015420-323751-8"])
    def test_read_an_imei_with_its_check_digit(self, written: str) -> None:
        assert fields.imei(written) == "490154203237518"

    @pytest.mark.parametrize("written", ["490154203237517", "49015420323751", "4901542032375180", ""])
    def test_refuse_an_imei_that_does_not_check(self, written: str) -> None:
        with pytest.raises(Refused):
            fields.imei(written)

    def test_want_an_offset_with_every_time(self) -> None:
        assert fields.instant("2026-03-01T00:00:00+01:00", field="x", default=NOW) == MARCH
        for wrong in ("2026-03-01T00:00:00", "yesterday", datetime(2026, 3, 1), "0001-01-01T00:00:00+02:00"):
            with pytest.raises(Refused):
                fields.instant(wrong, field="x", default=NOW)

    def test_read_choices_by_label_too(self) -> None:
        assert fields.choice("Personal (BYOD)", DeviceOwnership, field="o", default="") == "personal"


class TestAdding:
    def test_a_line_holds_its_numbers_and_account_from_its_first_day(self, cast: Cast) -> None:
        line = add_line(cast, "+49 171 5550001", imsi="262075550000001", assigned_from=FEBRUARY)
        assert (line.msisdn, line.status) == ("491715550001", LineStatus.ACTIVE)
        assert held(line) == [("A-1000", FEBRUARY, None)]
        assert numbers(line) == [(491715550001, FEBRUARY, None)]
        assert numbers(line, NumberKind.IMSI) == [(262075550000001, FEBRUARY, None)]
        assert AuditEvent.objects.filter(action="line.added", subject="+491715550001").exists()

    def test_a_number_is_nobody_elses_and_whose_it_is_stays_unsaid(self, cast: Cast) -> None:
        with pytest.raises(inventory.AlreadyUsed, match="of this enterprise") as own:
            add_line(cast, "4917010000001")
        assert own.value.field == "msisdn"
        with pytest.raises(inventory.AlreadyUsed, match="not available") as foreign:
            add_line(cast, "4917020000001")
        assert "Borealis" not in foreign.value.message
        with pytest.raises(inventory.AlreadyUsed) as sim:
            add_line(cast, "491715550002", imsi=cast.borealis.lines["robot 1"].imsi)
        assert sim.value.field == "imsi"
        assert not Line.objects.filter(msisdn="491715550002").exists()

    def test_the_database_refuses_one_number_on_two_lines(self, cast: Cast) -> None:
        mine = NumberAssignment.objects.get(line=cast.aurora.lines["press 7"], kind=NumberKind.MSISDN)
        with pytest.raises(IntegrityError, match="number_assignment_no_overlap"), transaction.atomic():
            NumberAssignment.objects.create(
                enterprise=cast.borealis.enterprise,
                line=cast.borealis.lines["robot 1"],
                kind=NumberKind.MSISDN,
                number=mine.number,
                during=DateTimeTZRange(NOW, None),
            )

    def test_people_devices_and_accounts_of_others_do_not_exist(self, cast: Cast) -> None:
        for wrong in (
            {"person": cast.borealis.people["P-1"]},
            {"device": cast.borealis.devices[0]},
        ):
            with pytest.raises(inventory.NotFound):
                add_line(cast, "491715550001", **wrong)
        with pytest.raises(inventory.NotFound):
            inventory.add_line(
                enterprise=cast.aurora.enterprise, account=cast.borealis.root, msisdn="491715550001", **BY
            )

    def test_codes_are_unique_within_the_enterprise_only(self, cast: Cast) -> None:
        with pytest.raises(inventory.AlreadyUsed):
            inventory.add_person(
                enterprise=cast.aurora.enterprise, account=cast.aurora.root, number="P-2", name="Twin", **BY
            )
        inventory.add_person(
            enterprise=cast.borealis.enterprise, account=cast.borealis.root, number="P-2", name="Other", **BY
        )
        with pytest.raises(inventory.AlreadyUsed):
            inventory.add_device(enterprise=cast.aurora.enterprise, imei=cast.aurora.devices[0].imei, **BY)


class TestAssigning:
    def test_cuts_the_interval_that_holds_then(self, cast: Cast) -> None:
        line = cast.aurora.lines["service van"]
        moved = inventory.assign_line(line=line, account=cast.aurora.accounts["SOUTH"], from_at=MARCH, **BY)
        assert held(line) == [("N-SERVICE", FEBRUARY, MARCH), ("SOUTH", MARCH, None)]
        assert moved.account.code == "SOUTH"

    def test_planned_for_later_shows_only_when_it_falls_due(self, cast: Cast) -> None:
        line, south = cast.aurora.lines["service van"], cast.aurora.accounts["SOUTH"]
        planned = inventory.assign_line(line=line, account=south, from_at=NOW + DAY, **BY)
        assert planned.account.code == "N-SERVICE"
        assert inventory.catch_up(enterprise_id=cast.aurora.enterprise.id, at=NOW) == 0
        assert inventory.catch_up(enterprise_id=cast.aurora.enterprise.id, at=NOW + DAY) == 1
        line.refresh_from_db()
        assert line.account_id == south.id
        assert inventory.catch_up(enterprise_id=cast.aurora.enterprise.id, at=NOW + DAY) == 0

    def test_leaves_what_was_planned_for_later(self, cast: Cast) -> None:
        line, root, south = (
            cast.aurora.lines["service van"],
            cast.aurora.root,
            cast.aurora.accounts["SOUTH"],
        )
        inventory.assign_line(line=line, account=south, from_at=NOW + DAY, **BY)
        inventory.assign_line(line=line, account=root, from_at=MARCH, **BY)
        assert held(line) == [
            ("N-SERVICE", FEBRUARY, MARCH),
            ("A-1000", MARCH, NOW + DAY),
            ("SOUTH", NOW + DAY, None),
        ]

    def test_from_the_first_instant_replaces_the_account(self, cast: Cast) -> None:
        line = cast.aurora.lines["service van"]
        inventory.assign_line(line=line, account=cast.aurora.root, from_at=FEBRUARY, **BY)
        assert held(line) == [("A-1000", FEBRUARY, None)]

    def test_is_refused_before_service_began_and_into_another_enterprise(self, cast: Cast) -> None:
        line = cast.aurora.lines["service van"]
        with pytest.raises(inventory.NotThen, match="not in service") as refusal:
            inventory.assign_line(line=line, account=cast.aurora.root, from_at=FEBRUARY - DAY, **BY)
        assert refusal.value.field == "from_at"
        with pytest.raises(inventory.NotFound):
            inventory.assign_line(line=line, account=cast.borealis.root, from_at=NOW, **BY)
        assert held(line) == [("N-SERVICE", FEBRUARY, None)]

    def test_to_where_it_is_already_changes_nothing(self, cast: Cast) -> None:
        line = cast.aurora.lines["service van"]
        before = AuditEvent.objects.count()
        inventory.assign_line(line=line, account=cast.aurora.accounts["N-SERVICE"], from_at=NOW, **BY)
        assert held(line) == [("N-SERVICE", FEBRUARY, None)]
        assert AuditEvent.objects.count() == before


class TestStatusAndNumbers:
    def test_retiring_frees_the_numbers_for_anybody(self, cast: Cast) -> None:
        line = cast.aurora.lines["service van"]
        inventory.assign_line(line=line, account=cast.aurora.root, from_at=NOW + DAY, **BY)
        inventory.set_line_status(line=line, status="retired", **BY)
        assert held(line) == [("N-SERVICE", FEBRUARY, NOW)]
        assert numbers(line) == [(4917010000003, FEBRUARY, NOW)]
        assert add_line(cast, line.msisdn, house=cast.borealis).enterprise == cast.borealis.enterprise
        with pytest.raises(inventory.Retired):
            inventory.set_line_status(line=line, status="active", **BY)
        with pytest.raises(inventory.Retired):
            inventory.assign_line(line=line, account=cast.aurora.root, from_at=NOW, **BY)
        with pytest.raises(inventory.AlreadyUsed):
            add_line(cast, line.msisdn, assigned_from=MARCH, house=cast.borealis)

    def test_suspending_keeps_everything(self, cast: Cast) -> None:
        line = inventory.set_line_status(line=cast.aurora.lines["service van"], status="suspended", **BY)
        assert line.status == LineStatus.SUSPENDED
        assert held(line) == [("N-SERVICE", FEBRUARY, None)]

    def test_a_new_number_holds_from_its_day_and_frees_the_old(self, cast: Cast) -> None:
        line = inventory.change_number(
            line=cast.aurora.lines["press 7"],
            kind=NumberKind.MSISDN,
            number="+49 171 5550009",
            from_at=MARCH,
            **BY,
        )
        assert line.msisdn == "491715550009"
        assert numbers(line) == [(4917010000005, FEBRUARY, MARCH), (491715550009, MARCH, None)]
        add_line(cast, "4917010000005", assigned_from=MARCH)

    def test_a_first_sim_fills_the_gap_before_a_planned_one(self, cast: Cast) -> None:
        line = add_line(cast, "491715550001", assigned_from=FEBRUARY)
        swap = {"line": line, "kind": NumberKind.IMSI, **BY}
        planned = inventory.change_number(number="001075550000002", from_at=NOW + DAY, **swap)
        assert planned.imsi == ""
        inventory.change_number(number="001075550000001", from_at=MARCH, **swap)
        assert numbers(line, NumberKind.IMSI) == [
            (1075550000001, MARCH, NOW + DAY),
            (1075550000002, NOW + DAY, None),
        ]
        line.refresh_from_db()
        assert line.imsi == "001075550000001"

    def test_a_new_number_is_refused_where_it_is_anothers(self, cast: Cast) -> None:
        line = cast.aurora.lines["press 7"]
        with pytest.raises(inventory.AlreadyUsed, match="not available"):
            inventory.change_number(line=line, kind=NumberKind.MSISDN, number="4917020000001", from_at=NOW, **BY)
        assert numbers(line) == [(4917010000005, FEBRUARY, None)]
        with pytest.raises(inventory.NotThen):
            inventory.change_number(
                line=line, kind=NumberKind.MSISDN, number="491715550009", from_at=FEBRUARY - DAY, **BY
            )

    def test_a_sim_goes_into_another_device(self, cast: Cast) -> None:
        line = cast.aurora.lines["press 7"]
        device = inventory.add_device(enterprise=cast.aurora.enterprise, imei=imei(900_001), **BY)
        assert inventory.change_device(line=line, device=device, **BY).device == device
        assert inventory.change_device(line=line, device=None, **BY).device is None
        with pytest.raises(inventory.NotFound):
            inventory.change_device(line=line, device=cast.borealis.devices[0], **BY)


class TestHandingOver:
    """Whose a line was, and when: personal usage is charged to who had it then."""

    def test_a_line_is_its_persons_from_its_first_day(self, cast: Cast) -> None:
        assert whose(cast.aurora.lines["emil phone"]) == [("P-1", FEBRUARY, None)]
        assert whose(cast.aurora.lines["press 7"]) == []

    def test_ends_what_was_and_begins_what_is(self, cast: Cast) -> None:
        line, frida = cast.aurora.lines["emil phone"], cast.aurora.people["P-2"]
        inventory.change_person(line=line, person=frida, **BY)
        assert whose(line) == [("P-1", FEBRUARY, NOW), ("P-2", NOW, None)]
        inventory.change_person(line=line, person=None, actor=ACTOR, at=NOW + DAY)
        assert whose(line) == [("P-1", FEBRUARY, NOW), ("P-2", NOW, NOW + DAY)]
        inventory.change_person(line=line, person=cast.aurora.people["P-1"], actor=ACTOR, at=NOW + 2 * DAY)
        assert whose(line)[-1] == ("P-1", NOW + 2 * DAY, None)

    def test_at_the_same_instant_leaves_nothing_empty_and_nothing_twice(self, cast: Cast) -> None:
        line, emil, frida = cast.aurora.lines["emil phone"], cast.aurora.people["P-1"], cast.aurora.people["P-2"]
        for person in (frida, None, emil, frida):
            inventory.change_person(line=line, person=person, **BY)
        assert whose(line) == [("P-1", FEBRUARY, NOW), ("P-2", NOW, None)]

    def test_to_who_has_it_changes_nothing(self, cast: Cast) -> None:
        line = cast.aurora.lines["emil phone"]
        inventory.change_person(line=line, person=cast.aurora.people["P-1"], **BY)
        assert whose(line) == [("P-1", FEBRUARY, None)]

    def test_retiring_ends_it(self, cast: Cast) -> None:
        line = cast.aurora.lines["emil phone"]
        inventory.set_line_status(line=line, status="retired", **BY)
        assert whose(line) == [("P-1", FEBRUARY, NOW)]

    def test_one_that_was_handed_over_and_retired_at_once_was_never_the_others(self, cast: Cast) -> None:
        line = cast.aurora.lines["emil phone"]
        inventory.change_person(line=line, person=cast.aurora.people["P-2"], **BY)
        inventory.set_line_status(line=line, status="retired", **BY)
        assert whose(line) == [("P-1", FEBRUARY, NOW)]

    def test_a_load_gives_each_line_to_its_person(self, cast: Cast) -> None:
        rows = [
            LineRow(2, "491715550001", "NORTH", person_number="P-2", assigned_from=MARCH),
            LineRow(3, "491715550002", "NORTH"),
        ]
        assert inventory.load_lines(enterprise=cast.aurora.enterprise, rows=rows, **BY).created == 2
        assert whose(Line.objects.get(msisdn="491715550001")) == [("P-2", MARCH, None)]
        assert whose(Line.objects.get(msisdn="491715550002")) == []

    def test_raises_the_configuration_version(self, cast: Cast) -> None:
        state = ChargingState.objects.filter(enterprise=cast.aurora.enterprise)
        before = state.get().configuration_version
        inventory.change_person(line=cast.aurora.lines["emil phone"], person=cast.aurora.people["P-2"], **BY)
        assert state.get().configuration_version > before


class TestLoads:
    def test_create_what_is_right_and_report_the_rest(self, cast: Cast) -> None:
        result = inventory.load_lines(
            enterprise=cast.aurora.enterprise,
            rows=[
                LineRow(2, "+49 171 5550001", "NORTH", imsi="262075550000001", person_number="P-2"),
                LineRow(3, "0171 5550002", "NOWHERE", imsi="12", device_imei="490154203237517"),
                LineRow(4, "491715550001", "NORTH"),
                LineRow(5, "4917020000001", "NORTH"),
                LineRow(6, "4917010000001", "", person_number="P-9"),
                LineRow(7, "491715550007", "NORTH", assigned_from="2026-03-01T00:00:00"),
                LineRow(8, "491715550008", "NORTH", assigned_from="2026-04-01T00:00:00+02:00"),
                LineRow(9, "491715550009", "SOUTH", device_imei=cast.aurora.devices[0].imei,
                        assigned_from="2026-03-01T00:00:00+01:00"),
            ],
            **BY,
        )  # fmt: skip
        assert result.created == 2
        assert [(error.row, error.column) for error in result.errors] == [
            (3, "account_code"),
            (3, "device_imei"),
            (3, "imsi"),
            (3, "msisdn"),
            (4, "msisdn"),
            (5, "msisdn"),
            (6, "account_code"),
            (6, "msisdn"),
            (6, "person_number"),
            (7, "assigned_from"),
            (8, "assigned_from"),
        ]
        assert not any("Borealis" in error.message for error in result.errors)
        first = Line.objects.get(msisdn="491715550001")
        assert (first.account.code, first.person) == ("NORTH", cast.aurora.people["P-2"])
        assert numbers(first, NumberKind.IMSI) == [(262075550000001, NOW, None)]
        last = Line.objects.get(msisdn="491715550009")
        assert held(last) == [("SOUTH", MARCH, None)]
        assert last.device == cast.aurora.devices[0]

    def test_read_people_and_devices(self, cast: Cast) -> None:
        people = inventory.load_people(
            enterprise=cast.aurora.enterprise,
            rows=[
                PersonRow(2, "P-10", "Hanna Holm", "NORTH", "Hanna@Example.org"),
                PersonRow(3, "P-10", "", "NORTH"),
                PersonRow(4, "P-1", "Twin", "EAST", "not an address"),
            ],
            **BY,
        )
        assert people.created == 1
        assert [(error.row, error.column) for error in people.errors] == [
            (3, "name"),
            (3, "number"),
            (4, "account_code"),
            (4, "email"),
            (4, "number"),
        ]
        assert Person.objects.get(number="P-10").email == "hanna@example.org"
        devices = inventory.load_devices(
            enterprise=cast.aurora.enterprise,
            rows=[
                DeviceRow(2, imei(900_001), "Router", "Personal (BYOD)"),
                DeviceRow(3, imei(900_001)),
                DeviceRow(4, cast.aurora.devices[0].imei, "x" * 81, "stolen"),
                DeviceRow(5, imei(900_002)),
            ],
            **BY,
        )
        assert devices.created == 2
        assert [(error.row, error.column) for error in devices.errors] == [
            (3, "imei"),
            (4, "imei"),
            (4, "model"),
            (4, "ownership"),
        ]
        assert Device.objects.get(imei=imei(900_001)).ownership == DeviceOwnership.PERSONAL

    def test_take_five_thousand_lines_in_seconds_with_few_queries(
        self, cast: Cast, django_assert_max_num_queries: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        rows = [
            LineRow(n, f"49172{n:07}", "S-MACHINES", imsi=f"2620799{n:08}", label=f"Machine {n}") for n in range(5_000)
        ]
        began = time.monotonic()
        with (
            django_capture_on_commit_callbacks(execute=True) as after,
            django_assert_max_num_queries(20),
        ):
            result = inventory.load_lines(enterprise=cast.aurora.enterprise, rows=rows, **BY)
        assert (result.created, result.errors) == (5_000, [])
        assert len(after) == 1  # the tables are analysed
        assert time.monotonic() - began < 10  # a second and a half on a quiet machine
        assert NumberAssignment.objects.filter(enterprise=cast.aurora.enterprise).count() == 10_010
        again = inventory.load_lines(enterprise=cast.aurora.enterprise, rows=rows[:3], **BY)
        assert again.created == 0

    def test_refuse_more_rows_than_one_load_takes(self, cast: Cast) -> None:
        rows = [DeviceRow(n, "") for n in range(50_001)]
        with pytest.raises(Refused, match="50001 rows"):
            inventory.load_devices(enterprise=cast.aurora.enterprise, rows=rows, **BY)


def test_every_change_raises_the_configuration_version(cast: Cast) -> None:
    def version() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT configuration_version FROM balances_chargingstate WHERE enterprise_id = %s",
                [cast.aurora.enterprise.id],
            )
            return cursor.fetchone()[0]

    line = cast.aurora.lines["press 7"]
    seen = [version()]
    inventory.assign_line(line=line, account=cast.aurora.root, from_at=NOW, **BY)
    seen.append(version())
    inventory.change_number(line=line, kind=NumberKind.MSISDN, number="491715550009", from_at=NOW, **BY)
    seen.append(version())
    inventory.set_line_status(line=line, status="retired", actor=ACTOR, at=datetime(2026, 3, 16, tzinfo=UTC))
    seen.append(version())
    assert seen == sorted(set(seen))
