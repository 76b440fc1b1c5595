"""Conditions of who pays: what an event does not have stays unknown, also beneath not; time taken out; the trace."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from balances.units import Service
from policies.conditions import (
    Entry,
    NumberSet,
    Surroundings,
    compile_condition,
    compile_known,
    fields_read,
    read_text,
    settle_time,
    trace,
    unknown_fields,
    write_text,
)
from policies.decision import Context

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 5, 1, 9, 0, tzinfo=BERLIN)  # a Friday and a public holiday
DAY = timedelta(days=1)
AROUND = Surroundings(
    {"home": 1, "eu": 2},
    frozenset({1}),
    {"35000000000001": ("personal", "", "")},
    home_country="DE",
    directory=NumberSet([Entry("4930123456", starts=NOW - DAY), Entry("33155", starts=NOW + DAY)]),
    line_numbers={3: (Entry("491701111111", ends=NOW), Entry("491702222222", starts=NOW))},
    number_lists={
        "suppliers": NumberSet([Entry("4930", is_prefix=True), Entry("33155", starts=NOW + DAY)]),
        "family": NumberSet([Entry("+491701111111", ends=NOW + DAY)]),
    },
    trips={7: ((NOW - DAY, NOW + DAY, frozenset({"FR", "BE"})),), 8: ((NOW + DAY, NOW + 2 * DAY, frozenset({"FR"})),)},
    holiday_calendars=((datetime(2020, 1, 1, tzinfo=UTC), "DE-BY"),),
    enterprise_zones=((datetime(2020, 1, 1, tzinfo=UTC), ZoneInfo("America/New_York")),),
)
EVENT = Context(
    service=Service.VOICE,
    zone_id=2,
    units=60,
    at=NOW,
    device="350000000000015",
    visited_network="20801",
    other_party="+4930123456",
    attributes={"ratType": "EUTRA", "ratingGroup": 100, "app": "Teams", "app_category": "office", "level": "7"},
    person_id=7,
    line_id=3,
    used_so_far=500,
    spent_so_far=0,
    profile={"grade": "E3", "on_call": True, "limit": 20},
)
BARE = Context(service=Service.DATA, zone_id=1, units=1, at=NOW)


def known(text: str, event: Context = EVENT, around: Surroundings = AROUND) -> bool | None:
    return compile_known(read_text(text), around)(event)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("country is fr", True),
        ("country in (DE, US)", False),
        ("radio is lte", True),
        ("radio in (5g, wifi)", False),
        ("rating_group in (100, 200)", True),
        ("rating_group at_least 101", False),
        ("application is teams", True),
        ("application in (mail, OFFICE)", True),
        ("not application in (netflix, video)", True),
        ("application starts net", False),
        ("directory is yes", True),
        ("directory is no", False),
        ("list is suppliers", True),
        ("list is family", False),
        ("list in (suppliers, nowhere)", True),
        ("list in (family, nowhere)", None),
        ("on_trip is yes", True),
        ("on_trip is no", False),
        ("holiday is yes", True),
        ("not holiday is yes", False),
        ("holiday is yes at Pacific/Kiritimati", True),
        ("line starts 4917", True),
        ("line is 491702222222", True),
        ("used at_least 500", True),
        ("used below 500", False),
        ("spent below 1", True),
        ("profile.grade is e3", True),
        ("profile.on_call is true", True),
        ("profile.limit at_least 21", False),
        ("profile.missing is 1", None),
        ("time within 09:00-10:00 at home", True),
        ("time within 03:00-04:00 at enterprise", True),
        ("time within 09:00-10:00 at there", True),
        ("device.model is x", None),
        ("not device.model is x", None),
        ("device.ownership is personal", True),
        ("not apn is corp", None),
    ],
)
def test_known(text, expected):
    assert known(text) is expected
    if not text.startswith("not "):
        assert compile_condition(read_text(text), AROUND)(EVENT) is (expected is True)


@pytest.mark.parametrize(
    "text",
    [
        "radio is lte", "rating_group below 5", "application is teams", "directory is no", "list is family",
        "on_trip is no", "line is 1", "used below 5", "spent below 5", "profile.grade is x", "attributes.x is 1",
        "other_party is 1", "apn is x", "device.imei is 1", "device.ownership is personal", "device.model is x",
    ],
)  # fmt: skip
def test_what_an_event_does_not_have_is_unknown_to_steering_also_beneath_not_and_false_to_policies(text):
    assert known(text, BARE) is None
    assert known(f"not {text}", BARE) is None
    assert unknown_fields(read_text(f"not ({text} and service is data)"), AROUND, BARE) == (text.split()[0],)
    assert compile_condition(read_text(text), AROUND)(BARE) is False
    assert compile_condition(read_text(f"not {text}"), AROUND)(BARE) is True


def test_where_known_parts_decide_unknown_ones_do_not_matter():
    assert known("application is teams or service is data", BARE) is True
    assert known("application is teams and service is voice", BARE) is False
    assert known("not (application is teams or service is data)", BARE) is False
    assert unknown_fields(read_text("application is teams or service is data"), AROUND, BARE) == ()


def test_an_application_of_which_only_the_category_is_said_is_none_of_a_list_for_certain():
    said = replace(EVENT, attributes={"app_category": "video"})
    assert known("application in (netflix, video)", said) is True
    assert known("not application in (netflix)", said) is None
    assert known("not application in (netflix)", replace(EVENT, attributes={"application": "Unknown"})) is None
    assert known("not application in (netflix)", replace(EVENT, attributes={"application": "mail"})) is True


def test_a_trip_without_countries_is_one_anywhere():
    for countries in ((frozenset(), frozenset({"FR"})), (frozenset({"FR"}), frozenset())):
        around = Surroundings(home_country="DE", trips={7: tuple((NOW - DAY, NOW + DAY, one) for one in countries)})
        for network in ("", "26201", "90112"):
            assert known("on_trip is yes", replace(EVENT, visited_network=network), around) is True
        assert known("on_trip is yes", replace(EVENT, at=NOW + DAY), around) is False


def test_trips_begin_and_end_and_hold_in_their_countries_only():
    assert known("on_trip is yes", replace(EVENT, visited_network="26201")) is False
    assert known("on_trip is yes", replace(EVENT, visited_network="90112")) is None
    assert known("on_trip is yes", replace(EVENT, visited_network="90112", at=NOW + DAY)) is False
    assert known("on_trip is yes", replace(EVENT, person_id=8)) is False
    assert known("on_trip is yes", replace(EVENT, person_id=8, at=NOW + DAY)) is True
    assert known("on_trip is yes", around=Surroundings(home_country="DE")) is None


def test_time_taken_out_leaves_the_rest_and_an_unknown_clock():
    node = read_text(
        "service is voice and time within 08:00-18:00 at there and weekday is fri at enterprise and application is x"
    )
    there = ZoneInfo("Europe/Paris")
    left = settle_time(node, AROUND, NOW, BERLIN, there)
    assert write_text(left) == "service is voice and application is x"
    assert settle_time(node, AROUND, NOW + DAY, BERLIN, there) is False
    assert "time" in fields_read(settle_time(node, AROUND, NOW, BERLIN, None))
    at_sea = replace(EVENT, visited_network="90112")
    assert unknown_fields(read_text("time within 08:00-18:00 at there"), AROUND, at_sea) == ("country",)


def test_the_trace_says_each_comparison_as_its_sentence_does():
    node = read_text("service is voice and not (time within 08:00-18:00 or apn is corp)")
    assert trace(node, AROUND, EVENT) == [
        ("voice", True),
        ("outside 08:00-18:00", False),
        ("not over APN corp", None),
    ]


def test_a_clock_is_read_where_the_person_is():
    noon = datetime(2026, 3, 16, 12, tzinfo=UTC)
    text = "time within 08:00-09:00 at there"
    assert known(text, replace(EVENT, at=noon, visited_network="310")) is True  # New York
    assert known(text, replace(EVENT, at=noon, visited_network="20801")) is False
    assert known(text, replace(EVENT, at=noon, visited_network="90112")) is None
