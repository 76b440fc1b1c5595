"""Conditions: what they match, to the second and across changes of the clock; that text reads back; what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balances.units import Service
from policies.conditions import (
    ALWAYS,
    AllOf,
    AnyOf,
    ConditionFault,
    Not,
    Surroundings,
    changes_between,
    compile_condition,
    compile_known,
    describe,
    from_json,
    read_text,
    settle,
    settle_time,
    to_json,
    write_text,
)
from policies.conditions.fields import Home
from policies.conditions.tree import made_test
from policies.decision import Context

BERLIN = ZoneInfo("Europe/Berlin")
AROUND = Surroundings(
    {"home": 1, "eu": 2, "row": 3}, frozenset({1}), {"35000000000001": ("personal", "iPhone 17", "phone")}
)
EVENT = Context(
    service=Service.DATA,
    zone_id=2,
    units=5_000,
    at=datetime(2026, 3, 16, 9, 0, tzinfo=BERLIN),  # a Monday
    tags=frozenset({"sales"}),
    device="350000000000015",
    visited_network="20801",
    other_party="+4930123456",
    attributes={"apn": "Corp.Example", "rat": 6, "vip": True},
)


def matches(text: str, event: Context = EVENT) -> bool:
    return compile_condition(read_text(text), AROUND)(event)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("always", True),
        ("service is data", True),
        ("service in (voice, messaging)", False),
        ("zone in (eu, row)", True),
        ("zone is nowhere", False),
        ("roaming is yes", True),
        ("roaming is no", False),
        ("network starts 208", True),
        ("network is 208", False),
        ("weekday in (mon, tue)", True),
        ("weekday is sun", False),
        ("time within 08:00-09:00", False),
        ("time within 09:00-09:01", True),
        ("time within 22:00-06:00", False),
        ("time within 09:00-10:00 at America/New_York", False),
        ("time within 04:00-05:00 at America/New_York", True),
        ("date within 2026-03-16", True),
        ("date within 2026-03-17..2026-03-20", False),
        ("device.ownership is personal", True),
        ('device.model starts "iphone"', True),
        ("device.imei starts 35", True),
        ("role is executive", False),
        ("tag in (board, sales)", True),
        ("other_party starts (+49, +33)", True),
        ("apn is corp.example", True),
        ("units at_least 5000", True),
        ("units below 5000", False),
        ("attributes.rat is 6", True),
        ("attributes.rat at_least 7", False),
        ("attributes.rat below 7", True),
        ("attributes.vip is true", True),
        ("attributes.missing is 6", False),
        ("not service is voice and tag is sales", True),
        ("service is voice or service is data and roaming is yes", True),
        ("not (service is data or tag is board)", False),
    ],
)
def test_matches(text, expected):
    assert matches(text) is expected


def test_a_window_runs_past_midnight_and_ends_before_its_end():
    def at(hour, minute, second=0):
        return matches(
            "time within 22:00-06:00",
            replace(EVENT, at=datetime(2026, 3, 16, hour, minute, second, tzinfo=BERLIN)),
        )

    assert [at(21, 59, 59), at(22, 0), at(0, 0), at(5, 59, 59), at(6, 0)] == [False, True, True, True, False]


def test_the_hour_that_autumn_shows_twice_is_in_the_window_both_times_and_springs_missing_hour_never():
    autumn = [datetime(2026, 10, 25, 0, 30, tzinfo=UTC) + timedelta(hours=n) for n in range(3)]
    inside = [matches("time within 02:00-03:00", replace(EVENT, at=moment.astimezone(BERLIN))) for moment in autumn]
    assert inside == [True, True, False]
    spring = [datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC) + timedelta(seconds=n) for n in range(3)]
    assert not any(matches("time within 02:00-03:00", replace(EVENT, at=at.astimezone(BERLIN))) for at in spring)


def test_sessions_are_split_where_windows_turn_over_also_when_the_clock_changes():
    office = read_text("weekday in (mon, tue, wed, thu, fri) and time within 08:00-18:00")
    monday = datetime(2026, 3, 16, tzinfo=BERLIN)
    changes = changes_between(office, monday + timedelta(hours=17), monday + timedelta(hours=32, minutes=1), BERLIN)
    assert [change.astimezone(BERLIN).strftime("%a %H:%M") for change in changes] == ["Mon 18:00", "Tue 08:00"]
    night = read_text("time within 02:30-04:00")
    spring = changes_between(night, datetime(2026, 3, 29, 0, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC), BERLIN)
    assert spring == [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 3, 29, 2, tzinfo=UTC)]
    autumn = changes_between(
        read_text("time within 02:30-02:45"),
        datetime(2026, 10, 24, 23, tzinfo=UTC),
        datetime(2026, 10, 25, 4, tzinfo=UTC),
        BERLIN,
    )
    assert [change.strftime("%H:%M") for change in autumn] == ["00:30", "00:45", "01:30", "01:45"]


def test_the_enterprises_clock_is_another_one_from_its_next_contract_on():
    office = read_text("time within 08:00-18:00 at enterprise")
    noon = datetime(2026, 3, 16, 12, 0, tzinfo=UTC)
    around = Surroundings(enterprise_zones=((noon - timedelta(days=9), BERLIN), (noon, ZoneInfo("Asia/Tokyo"))))
    office_at = compile_condition(office, around)
    inside = {hour: office_at(replace(EVENT, at=noon + timedelta(hours=hour))) for hour in (-6, -5, -1, 0, 11)}
    assert inside == {-6: False, -5: True, -1: True, 0: False, 11: True}, "at noon in Berlin it is evening in Tokyo"
    turns = changes_between(office, noon - timedelta(hours=12), noon + timedelta(hours=12), BERLIN, around)
    assert turns == [noon - timedelta(hours=5), noon, noon + timedelta(hours=11)]
    assert around.enterprise_zone_at(noon - timedelta(days=99)) == BERLIN
    assert Surroundings().enterprise_zone_at(noon) is None


def test_a_home_has_the_clock_and_the_holidays_of_tests_that_name_none_while_it_holds():
    """Lisbon from the evening before the day of Portugal until its noon; before and after, the contract's Berlin."""
    moved, back = datetime(2026, 6, 9, 16, 30, tzinfo=UTC), datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
    around = Surroundings(
        holiday_calendars=((moved - timedelta(days=99), "DE"),),
        homes=((moved, Home(ZoneInfo("Europe/Lisbon"), "PT")), (back, None)),
    )
    instants = [moved + timedelta(minutes=15 * number) for number in range(-40, 120)]
    turns = {
        "time within 08:00-18:00": ["09 16:00", "09 16:30", "09 17:00", "10 07:00", "10 16:00"],
        "holiday is yes": ["09 23:00", "10 12:00"],
        "weekday is wed": ["09 23:00", "10 22:00"],
        "time within 08:00-18:00 at Europe/Berlin": ["09 16:00", "10 06:00", "10 16:00"],
    }
    for text, expected in turns.items():
        node = read_text(text)
        found = changes_between(node, instants[0], instants[-1], BERLIN, around)
        assert [turn.strftime("%d %H:%M") for turn in found] == expected, text
        holds = compile_known(node, around)
        for at in instants:
            assert holds(replace(EVENT, at=at.astimezone(BERLIN))) is settle_time(node, around, at, BERLIN), (text, at)


def test_the_holidays_are_those_of_the_contract_in_force():
    good_friday = datetime(2026, 4, 3, tzinfo=BERLIN)
    noon = good_friday + timedelta(hours=12)
    around = Surroundings(holiday_calendars=((noon - timedelta(days=99), "DE"), (noon, "FR")))  # none in France
    node = read_text("holiday is yes")
    turns = changes_between(node, good_friday - timedelta(hours=9), noon + timedelta(hours=20), BERLIN, around)
    assert turns == [good_friday, noon]
    assert (around.holidays_of(noon - timedelta(days=999)), Surroundings().holidays_of(noon)) == ("DE", "")


def test_said_in_words():
    rule = read_text(
        "service is data and zone is eu and weekday in (mon,tue,wed,thu,fri) and not time within 08:00-18:00"
    )
    said = describe(rule, {"eu": "European Union"})
    assert said == "data in European Union, on Monday to Friday, outside 08:00-18:00"
    assert describe(ALWAYS) == "any usage"
    assert describe(read_text("roaming is no and (tag is a or tag is b)")) == (
        "at home, (by lines tagged a, or by lines tagged b)"
    )


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ([], ""),
        ({"all": [{"field": "servce", "value": "data"}]}, "all[0].field"),
        ({"field": "service", "op": "starts", "value": "da"}, "op"),
        ({"any": [{"field": "service", "value": "fax"}]}, "any[0].value"),
        ({"field": "time", "op": "within", "value": "8-18"}, "value"),
        ({"field": "time", "op": "within", "value": "08:00-08:00"}, "value"),
        ({"field": "time", "op": "within", "value": "08:00-18:00", "clock": "Berlin"}, "clock"),
        ({"field": "service", "value": "data", "clock": "Europe/Berlin"}, "clock"),
        ({"field": "date", "op": "within", "value": "2026-02-30"}, "value"),
        ({"field": "units", "op": "below", "value": True}, "value"),
        ({"field": "tag", "op": "in", "value": []}, "value"),
        ({"all": [{"any": []}]}, "all[0].any"),
        ({"not": {"all": []}}, "not.all"),
        ({"field": "tag", "value": "a", "if": 1}, ""),
        ({"field": "tag", "op": "in", "value": [f"t{n}" for n in range(101)]}, "value"),
        (
            {"not": {"not": {"not": {"not": {"not": {"not": {"field": "tag", "value": "a"}}}}}}},
            "not.not.not.not.not.not",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(data, where):
    with pytest.raises(ConditionFault) as raised:
        from_json(data)
    assert raised.value.where == where


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ""),
        ("service", "line 1, column 8"),
        ("service is data and\n  zone of eu", "line 2, column 3.op"),
        ("(service is data", "line 1, column 17"),
        ("service is data tag is x", "line 1, column 17"),
        ("service is $", "line 1, column 12"),
        ("tag in (a, )", "line 1, column 12"),
    ],
)
def test_text_is_refused_with_line_and_column(text, where):
    with pytest.raises(ConditionFault) as raised:
        read_text(text)
    assert raised.value.where == where


_texts = st.text(
    st.characters(min_codepoint=33, max_codepoint=1000, exclude_characters="\x7f"), min_size=1, max_size=12
)
_texts = _texts.filter(lambda text: text.strip() == text and text.isprintable())
_codes = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
_tests = st.one_of(
    st.builds(lambda v: made_test("service", "in", v), st.lists(st.sampled_from(["data", "voice"]), min_size=1)),
    st.builds(lambda v: made_test("tag", "in", v), st.lists(_codes, min_size=1)),
    st.builds(lambda v: made_test("roaming", "is", v), st.booleans()),
    st.builds(lambda v: made_test("device.model", "contains", v), _texts),
    st.builds(lambda k, v: made_test(f"attributes.{k}", "is", v), st.sampled_from(["rat", "x-1", "a.b"]), _texts),
    st.builds(lambda v, z: made_test("time", "within", v, z), st.sampled_from(["08:00-18:00", "22:00-06:00"]),
              st.sampled_from(["", "Europe/Berlin"])),
    st.builds(lambda v: made_test("units", "at_least", v), st.integers(0, 10_000)),
)  # fmt: skip


def _groups(inner):
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(several.map(AllOf), several.map(AnyOf), inner.map(Not))


_conditions = st.recursive(_tests, _groups, max_leaves=8).filter(lambda node: _depth(node) <= 6)


def _depth(node) -> int:
    parts = getattr(node, "parts", None) or ([node.part] if isinstance(node, Not) else [])
    return 1 + max((_depth(part) for part in parts), default=0)


@settings(max_examples=300, deadline=None)
@given(_conditions)
def test_text_and_json_read_back_as_the_same_and_settling_changes_nothing(node):
    assert from_json(to_json(node)) == node
    assert read_text(write_text(node)) == node
    assert describe(node)
    left = settle(node, AROUND, EVENT)
    expected = compile_condition(node, AROUND)(EVENT)
    assert (left if isinstance(left, bool) else compile_condition(left, AROUND)(EVENT)) is expected
