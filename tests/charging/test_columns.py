"""Column profiles: what a row of an operator's own file becomes, and what is said about one that cannot be read."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances.models.usage import SuspenseReason
from portal.charging import files
from portal.charging.columns import STANDARD, MissingColumns, ProfileRefused, RowReader, read_profile
from portal.charging.records import Unidentifiable, Usage, parse_canonical, public, read_mapping

HEADER = ["Ticket", "Leg", "Art", "Rufnummer", "Menge", "Datum", "Uhrzeit", "Netz"]
MAPPING = {
    "delimiter": ";",
    "encoding": "iso-8859-1",
    "columns": {
        "source_record_id": ["Ticket", "Leg"],
        "service": ["Art"],
        "msisdn": ["Rufnummer"],
        "units": ["Menge"],
        "started_at": ["Datum", "Uhrzeit"],
        "visited_network": ["Netz"],
    },
    "services": {"GPRS": "data", "TEL": "voice", "SMS": "messaging"},
    "units": {"data": "KB", "voice": "minutes"},
    "decimal": ",",
    "thousands": ".",
    "time_format": "%d.%m.%Y %H:%M:%S",
    "time_zone": "Europe/Berlin",
}


def read(*cells: str, **changes) -> Usage:
    return RowReader(read_profile(MAPPING | changes), HEADER).read(cells)


def row(art="GPRS", number="+49 170 1000001", amount="1.234,5", day="10.03.2026", clock="09:00:00") -> list[str]:
    return ["T-77", "2", art, number, amount, day, clock, "26201"]


def test_a_row_becomes_the_record_that_the_api_would_have_made():
    wanted = read_mapping(
        {
            "source_record_id": "T-77-2",
            "service": "data",
            "msisdn": "491701000001",
            "units": 1_234_500,
            "started_at": "2026-03-10T09:00:00+01:00",
            "visited_network": "26201",
        }
    )
    assert read(*row()) == wanted
    assert not wanted.fault


def test_units_are_counted_as_the_service_is():
    assert read(*row("TEL", amount="2,5")).units == 150
    assert read(*row("sms", amount="3")).units == 3
    assert read(*row(), units={"data": "MiB"}, rounding="up").units == 1_294_467_072
    assert read(*row(amount="0,0001"), rounding="up").units == 1
    assert read(*row(amount="0,0004"), rounding="nearest").units == 0


@pytest.mark.parametrize(
    ("cells", "reason", "words"),
    [
        (row("FAX"), SuspenseReason.UNKNOWN_SERVICE, "FAX"),
        (row(amount="12x"), SuspenseReason.MALFORMED, "12x"),
        (row(amount="NaN"), SuspenseReason.ABSURD_UNITS, "NaN"),
        (row(amount="1e400"), SuspenseReason.ABSURD_UNITS, "1e400"),
        (row(amount="-3"), SuspenseReason.NEGATIVE_UNITS, "-3"),
        (row(amount="0,0001"), SuspenseReason.FRACTIONAL_UNITS, "0.1: no whole octets"),
        (row(amount="9.999.999.999.999.999"), SuspenseReason.ABSURD_UNITS, "at most"),
        (row(day="2026-03-10"), SuspenseReason.MALFORMED, "%d.%m.%Y"),
        (row(day="31.02.2026"), SuspenseReason.MALFORMED, "31.02.2026"),
        (row(day="29.03.2026", clock="02:30:00"), SuspenseReason.AMBIGUOUS_TIME, "never"),
        (row(day="25.10.2026", clock="02:30:00"), SuspenseReason.AMBIGUOUS_TIME, "twice"),
        (row(number=""), SuspenseReason.UNKNOWN_LINE, "Neither"),
        (row(number="abc"), SuspenseReason.MALFORMED, "abc"),
        (row()[:-1], SuspenseReason.MALFORMED, "7 cells, the header 8"),
        ([*row(), "more"], SuspenseReason.MALFORMED, "9 cells"),
    ],
)
def test_what_cannot_be_read_waits_with_a_reason_and_is_never_guessed(cells, reason, words):
    usage = read(*cells)
    assert usage.fault == reason
    assert words in usage.raw["detail"]
    assert usage.source_record_id == "T-77-2"


def test_a_faulty_row_keeps_what_could_be_read_so_that_one_correction_mends_it():
    sent = read(*row(day="25.10.2026", clock="02:30:00")).raw["record"]
    mended = read_mapping(sent | {"started_at": "2026-10-25T02:30:00+02:00"}, lax=True)
    assert (mended.fault, mended.units) == ("", 1_234_500)


def test_units_of_an_unknown_service_are_not_taken_for_its_smallest_ones_later():
    sent = read(*row("FAX", amount="12")).raw["record"]
    assert read_mapping(sent | {"service": "data"}, lax=True).fault == SuspenseReason.MALFORMED
    assert read_mapping(sent | {"service": "data", "units": "12000"}, lax=True).units == 12_000


def test_a_row_whose_id_columns_are_all_empty_has_no_id():
    with pytest.raises(Unidentifiable):
        read("", " ", *row()[2:])


@given(
    st.datetimes(
        min_value=datetime(2024, 1, 1),
        max_value=datetime(2027, 12, 31),
        allow_imaginary=False,
        timezones=st.just(UTC),
    )
)
def test_times_with_an_offset_are_the_same_instant_whatever_the_format(instant):
    instant = instant.replace(microsecond=0)
    cells = row(day=instant.strftime("%d.%m.%Y"), clock=instant.strftime("%H:%M:%S%z"))
    usage = read(*cells, time_format="%d.%m.%Y %H:%M:%S%z", time_zone="")
    assert parse_canonical(usage.used_at) == instant


def test_iso_times_without_an_offset_need_a_time_zone():
    header, cells = (
        ["source_record_id", "service", "msisdn", "units", "started_at"],
        ["a", "data", "4917010000001", "1"],
    )
    bare = [*cells, "2026-07-01 12:00:00"]
    assert RowReader(STANDARD, header).read(bare).fault == SuspenseReason.AMBIGUOUS_TIME
    zoned = read_profile({"columns": {name: [name] for name in header}, "time_zone": "Europe/Berlin"})
    assert RowReader(zoned, header).read(bare).used_at == "2026-07-01 10:00:00.000000+00"


def test_columns_may_stand_in_any_order_and_case_and_beside_others():
    order = [3, 1, 0, 7, 6, 5, 4, 2]
    shuffled = RowReader(read_profile(MAPPING), [HEADER[i].upper() for i in order] + ["Tarif"])
    assert shuffled.read([row()[i] for i in order] + ["x"]) == read(*row())


def test_missing_columns_are_named_beside_those_that_are_there():
    with pytest.raises(MissingColumns) as refusal:
        RowReader(read_profile(MAPPING), ["Ticket", "Art", "Rufnummer", "Datum"])
    assert refusal.value.missing == ["Leg", "Menge", "Uhrzeit"]
    assert "“Rufnummer”" in refusal.value.message
    RowReader(read_profile(MAPPING), HEADER[:-1])  # a record can do without a network


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"columns": {}}, "source_record_id"),
        ({"columns": MAPPING["columns"] | {"colour": ["X"]}}, "columns"),
        ({"columns": MAPPING["columns"] | {"units": []}}, "units"),
        ({"columns": {k: v for k, v in MAPPING["columns"].items() if k != "msisdn"}}, "msisdn"),
        ({"constants": {"service": "data"}}, "service"),
        ({"delimiter": "ab"}, "delimiter"),
        ({"encoding": "rot13"}, "encoding"),
        ({"services": {"GPRS": "internet"}}, "services"),
        ({"units": {"data": "minutes"}}, "units"),
        ({"decimal": "x"}, "decimal"),
        ({"thousands": ","}, "thousands"),
        ({"rounding": "down"}, "rounding"),
        ({"time_format": "%d.%m.%Y"}, "time_format"),
        ({"time_format": "%H:%M"}, "time_format"),
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        ({"colour": "red"}, "mapping"),
    ],
)
def test_a_profile_that_cannot_work_is_refused_with_the_part_that_is_wrong(changes, field):
    with pytest.raises(ProfileRefused) as refusal:
        read_profile(MAPPING | changes)
    assert refusal.value.field == field


def test_the_worked_example_of_the_documentation_is_what_happens():
    text = (Path(__file__).parents[2] / "docs" / "files.md").read_text().split("### Worked example")[1]
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)[:3]
    (_, rows), (_, profile), (_, wanted) = blocks
    mapping = read_profile(json.loads(profile))
    (chunk,) = files.read(io.BytesIO(rows.encode(mapping.encoding)), mapping)
    read_now = [
        {"source_record_id": usage.source_record_id, "fault": usage.fault} if usage.fault else public(usage)
        for usage in chunk.usages
    ]
    assert read_now == json.loads(wanted)
