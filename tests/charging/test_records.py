"""Records on their way in: what is read, what becomes a fault with a reason, and that one content has one hash."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances.models.usage import SuspenseReason
from balances.units import LARGEST_UNITS
from portal.charging import records
from portal.charging.records import (
    RecordErrors,
    Unidentifiable,
    canonical_time,
    decode_payload,
    encode_payload,
    parse_canonical,
    public,
    read_json,
    read_mapping,
    read_mappings,
)

GOOD = {
    "source_record_id": "cdr-1",
    "service": "data",
    "msisdn": "4917010000001",
    "units": 1024,
    "started_at": "2026-03-15T12:00:00Z",
}

zones = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]).map(ZoneInfo)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.one_of(zones, offsets))


def good(**changes) -> dict:
    return {**GOOD, **changes}


def through_json(*mappings: dict) -> list[records.Usage]:
    return read_json(json.dumps(mappings).encode())


# --- times -----------------------------------------------------------------------------------------------------------


@given(instants)
def test_canonical_time_keeps_the_instant_and_has_one_width(instant):
    text = canonical_time(instant)
    assert parse_canonical(text) == instant.astimezone(UTC)
    assert len(text) == len("2026-03-15 12:00:00.000000+00")


@given(instants, instants)
def test_canonical_times_sort_as_the_instants_do(one, other):
    assert (canonical_time(one) < canonical_time(other)) == (one.astimezone(UTC) < other.astimezone(UTC))


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("2026-03-15T13:00:00+01:00", "2026-03-15 12:00:00.000000+00"),
        ("2026-03-15T12:00:00.5Z", "2026-03-15 12:00:00.500000+00"),
        ("2026-03-15T12:00:00.000001Z", "2026-03-15 12:00:00.000001+00"),
        # Half past two comes twice on 25 October: the offset tells them apart.
        ("2026-10-25T02:30:00+02:00", "2026-10-25 00:30:00.000000+00"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25 01:30:00.000000+00"),
        ("2026-03-15T23:30:00-09:30", "2026-03-16 09:00:00.000000+00"),
    ],
)
def test_times_are_kept_as_utc(sent, canonical):
    assert through_json(good(started_at=sent))[0].used_at == canonical


# --- one content, one hash -------------------------------------------------------------------------------------------


@given(
    instant=instants,
    offset=offsets,
    units=st.integers(0, LARGEST_UNITS),
    number=st.integers(10**9, 10**14),
    attributes=st.dictionaries(
        st.text("abcdef", min_size=1), st.one_of(st.integers(-9, 9), st.text("xyz")), max_size=4
    ),
    order=st.randoms(use_true_random=False),
)
def test_spelling_does_not_change_the_hash(instant, offset, units, number, attributes, order):
    one = good(msisdn=str(number), units=units, started_at=instant.isoformat(), attributes=attributes)
    keys = list(one)
    order.shuffle(keys)
    other = {key: one[key] for key in keys}
    other |= {"msisdn": f"+{number}", "started_at": instant.astimezone(offset).isoformat()}
    other["attributes"] = dict(reversed(attributes.items()))
    other |= {"ended_at": None, "visited_network": ""}
    assert through_json(one)[0].content_hash == through_json(other)[0].content_hash == read_mapping(other).content_hash


@pytest.mark.parametrize(
    "change",
    [
        {"units": 1025},
        {"service": "voice"},
        {"msisdn": "4917010000002"},
        {"started_at": "2026-03-15T12:00:00.000001Z"},
        {"ended_at": "2026-03-15T12:00:00Z"},
        {"visited_network": "262"},
        {"other_party": "112"},
        {"imei": "352099001761481"},
        {"attributes": {"apn": "corporate"}},
    ],
)
def test_another_content_has_another_hash(change):
    assert read_mapping(good(**change)).content_hash != read_mapping(GOOD).content_hash


def test_the_same_digits_as_msisdn_and_imsi_are_two_things():
    imsi = {key: value for key, value in GOOD.items() if key != "msisdn"} | {"imsi": GOOD["msisdn"]}
    assert read_mapping(imsi).content_hash != read_mapping(GOOD).content_hash


def test_the_identity_is_no_part_of_the_content():
    assert read_mapping(good(source_record_id="other")).content_hash == read_mapping(GOOD).content_hash


# --- faults ----------------------------------------------------------------------------------------------------------

FAULTS = [
    ({"units": -1}, SuspenseReason.NEGATIVE_UNITS),
    ({"units": LARGEST_UNITS + 1}, SuspenseReason.ABSURD_UNITS),
    ({"service": "messaging", "units": 10**6 + 1}, SuspenseReason.ABSURD_UNITS),
    ({"units": 10**30}, SuspenseReason.ABSURD_UNITS),
    ({"units": 1.5}, SuspenseReason.FRACTIONAL_UNITS),
    ({"units": "many"}, SuspenseReason.MALFORMED),
    ({"units": None}, SuspenseReason.MALFORMED),
    ({"units": True}, SuspenseReason.MALFORMED),
    ({"service": "telepathy"}, SuspenseReason.UNKNOWN_SERVICE),
    ({"started_at": "2026-03-15T12:00:00"}, SuspenseReason.AMBIGUOUS_TIME),
    ({"ended_at": "2026-03-15T12:00:00"}, SuspenseReason.AMBIGUOUS_TIME),
    ({"started_at": "yesterday"}, SuspenseReason.MALFORMED),
    ({"started_at": "2026-02-30T12:00:00Z"}, SuspenseReason.MALFORMED),
    ({"started_at": "0001-01-01T00:00:00+14:00"}, SuspenseReason.MALFORMED),
    ({"ended_at": "9999-12-31T23:59:59-14:00"}, SuspenseReason.MALFORMED),
    ({"ended_at": "2026-03-15T11:59:59Z"}, SuspenseReason.ENDS_BEFORE_START),
    ({"msisdn": ""}, SuspenseReason.UNKNOWN_LINE),
    ({"msisdn": "0170/12345"}, SuspenseReason.MALFORMED),
    ({"msisdn": "4917010000001\n"}, SuspenseReason.MALFORMED),
    ({"visited_network": "262\n"}, SuspenseReason.MALFORMED),
    ({"visited_network": "2620"}, SuspenseReason.MALFORMED),
    ({"other_party": "tab\there"}, SuspenseReason.MALFORMED),
    ({"other_party": "line feed\n"}, SuspenseReason.MALFORMED),
    ({"imei": "352099001761481\n"}, SuspenseReason.MALFORMED),
    ({"unheard_of": 1}, SuspenseReason.MALFORMED),
    ({"attributes": {"a": "NUL \x00"}}, SuspenseReason.MALFORMED),
    ({"attributes": {"a": 10**30}}, SuspenseReason.MALFORMED),
    ({"attributes": {"a": "x" * records.LARGEST_ATTRIBUTES}}, SuspenseReason.MALFORMED),
]


@pytest.mark.parametrize(("change", "reason"), FAULTS, ids=lambda value: str(value)[:40])
def test_a_bad_value_is_a_fault_with_its_reason_and_spares_its_neighbours(change, reason):
    before, bad, after = through_json(GOOD, good(source_record_id="bad", **change), good(source_record_id="after"))
    assert (before.fault, after.fault) == ("", "")
    assert bad.fault == reason
    assert bad.raw["detail"]
    kept = decode_payload(encode_payload([bad]))[0]
    assert kept == bad
    assert "\x00" not in json.dumps(public(kept), ensure_ascii=False)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), SuspenseReason.MALFORMED),
        (float("inf"), SuspenseReason.ABSURD_UNITS),
        (float("-inf"), SuspenseReason.NEGATIVE_UNITS),
    ],
)
def test_units_that_are_no_number_are_faults(value, reason):
    assert read_mapping(good(units=value)).fault == reason


def test_an_empty_msisdn_leaves_the_line_to_its_imsi():
    usage = read_mapping(good(msisdn="", imsi="262070000000001"))
    assert (usage.fault, usage.number) == ("", 262070000000001)


def test_a_faulty_record_repeated_in_another_order_of_keys_has_the_same_hash():
    one = good(units=-1)
    assert read_mapping(one).content_hash == read_mapping(dict(reversed(one.items()))).content_hash


@pytest.mark.parametrize("identity", [None, "", "  ", 1.5, True, "x" * 81, "line\nfeed", "trailing\n", "tab\t", ["a"]])
def test_a_record_without_an_identity_is_not_taken(identity):
    with pytest.raises(Unidentifiable):
        read_mapping(good(source_record_id=identity))
    with pytest.raises(RecordErrors) as refused:
        through_json(GOOD, good(source_record_id=identity))
    assert [(index, field) for index, field, _ in refused.value.errors] == [(1, "source_record_id")]


def test_a_record_that_is_no_object_is_named_by_its_place():
    with pytest.raises(RecordErrors) as refused:
        read_json(b'[{"source_record_id": "a"}, 7]')
    assert refused.value.errors[0][:2] == (1, "record")


def test_an_identity_that_is_a_number_is_read_as_text():
    assert read_mapping(good(source_record_id=17)).source_record_id == "17"


def test_what_is_no_json_array_is_refused_as_a_whole():
    with pytest.raises(msgspec.DecodeError):
        read_json(b'{"source_record_id": "a"}')


def test_all_bad_identities_are_found_but_a_hundred_are_shown():
    with pytest.raises(RecordErrors) as refused:
        read_mappings([{}] * 150)
    assert len(refused.value.errors) == 100


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_send_text_and_empty_cells():
    usage = read_mapping(good(units="1024", ended_at="", imei="", attributes=None), lax=True)
    assert usage == read_mapping(GOOD)


@given(st.dictionaries(st.text(max_size=12), st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=20))))
def test_whatever_comes_is_read_kept_and_shown(junk):
    usage = read_mapping({**junk, "source_record_id": "junk"}, lax=True)
    kept = decode_payload(encode_payload([usage]))[0]
    assert kept == usage
    json.dumps(public(kept), allow_nan=False)


@given(
    units=st.integers(0, LARGEST_UNITS),
    instant=instants,
    length=st.one_of(st.none(), st.integers(0, 10**6)),
    network=st.sampled_from(["", "262", "26201", "310410"]),
    party=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=32),
)
def test_what_is_shown_can_be_sent_again(units, instant, length, network, party):
    ended_at = None if length is None else (instant.astimezone(UTC) + timedelta(seconds=length)).isoformat()
    sent = good(units=units, started_at=instant.isoformat(), ended_at=ended_at, visited_network=network)
    usage = read_mapping({**sent, "other_party": party})
    assert usage.fault == ""
    assert read_mapping(public(usage)) == usage
