"""Properties of conditions: they read back, agree with a slow evaluator of a few lines, lose nothing when parts of them
are settled, turn over where brute force over minutes says, and never raise whatever an event holds."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balances.units import Service
from policies.conditions import (
    AllOf,
    AnyOf,
    Catalogue,
    ConditionFault,
    Declared,
    Entry,
    Kind,
    Node,
    Not,
    NumberSet,
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
    trace,
    unknown_fields,
    write_text,
)
from policies.conditions import tests_of as comparisons_of
from policies.conditions.tree import made_test
from policies.decision import Context

BERLIN, NEW_YORK, LORD_HOWE = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
PARIS = ZoneInfo("Europe/Paris")
T0 = datetime(2026, 3, 28, 22, tzinfo=UTC)  # two hours before the night in which Berlin's clocks go forward
HOUR = timedelta(hours=1)
CATALOGUE = Catalogue(
    (
        Declared("attributes.slice", Kind.NAME, "Slice", choices=("gold", "iron"), words="on a {} slice"),
        Declared("attributes.level", Kind.NUMBER, "Level"),
        Declared("attributes.vpn", Kind.FLAG, "VPN", words="through the VPN"),
        Declared("profile.manager", Kind.DIGITS, "Manager's number"),
        Declared("profile.team", Kind.TEXT, "Team"),
    )
)
LISTED = (("4930", True, None, None), ("33155", False, T0 + 2 * HOUR, T0 + 9 * HOUR), ("491", True, None, T0 + HOUR))
COLLEAGUES = (("4930123456", T0 - 9 * HOUR, T0 + 3 * HOUR), ("4930123456", T0 + 11 * HOUR, None), ("33155", None, None))
OWN = {5: (("4917012", None, T0 + 4 * HOUR), ("4917099", T0 + 8 * HOUR, None)), 6: (("4917012", T0 + 4 * HOUR, None),)}
TRIPS = {
    7: ((T0, T0 + 8 * HOUR, frozenset({"FR"})), (T0 + 10 * HOUR, T0 + 30 * HOUR, frozenset({"FR", "US"}))),
    9: ((T0 + 5 * HOUR, T0 + 20 * HOUR, frozenset()), (T0, T0 + 12 * HOUR, frozenset({"FR"}))),
}
AROUND = Surroundings(
    {"home": 1, "eu": 2, "row": 3},
    frozenset({1}),
    {"35000000000001": ("personal", "iPhone 17", "phone"), "35000000000002": ("corporate", "", "")},
    home_country="DE",
    directory=NumberSet(Entry(digits, False, *times) for digits, *times in COLLEAGUES),
    line_numbers={
        line_id: tuple(Entry(digits, False, *times) for digits, *times in held) for line_id, held in OWN.items()
    },
    number_lists={"suppliers": NumberSet(Entry(*entry) for entry in LISTED)},
    trips=TRIPS,
    holiday_calendars=((datetime(2020, 1, 1, tzinfo=UTC), "DE-BY"),),
    enterprise_zones=((datetime(2020, 1, 1, tzinfo=UTC), NEW_YORK),),
)

# --- conditions and events ------------------------------------------------------------------------------------------

_VALUES = {
    "service": ("data", "voice"),
    "zone": ("eu", "home", "nowhere"),
    "country": ("DE", "FR", "US"),
    "network": ("208", "20801", "310"),
    "weekday": ("mon", "sat", "sun"),
    "device.ownership": ("personal", "corporate"),
    "role": ("boss", "sales"),
    "tag": ("sales", "board"),
    "line": ("49170", "4917012"),
    "other_party": ("49", "4930123456", "33155"),
    "list": ("suppliers", "nowhere"),
    "apn": ("corp", "Corp.Example"),
    "application": ("teams", "office", "net"),
    "radio": ("5g", "lte", "wifi", "2g"),
    "device.model": ("iphone 17", "iPhone"),
    "attributes.slice": ("gold", "iron"),
    "attributes.rat": ("6", "Nr"),
    "profile.manager": ("49", "4930123456"),
    "profile.team": ("Blue", "r"),
    "profile.grade": ("E3", "7"),
}
_BOUNDS = ("units", "used", "spent", "rating_group", "attributes.level", "attributes.size", "profile.limit")
_FLAGS = ("roaming", "on_trip", "directory", "holiday", "attributes.vpn")
_CLOCKS = st.sampled_from(["", "home", "enterprise", "there", "Australia/Lord_Howe"])
_CLOCKED = {"time", "weekday", "date", "holiday"}


@st.composite
def _minutes(draw):
    starts, ends = draw(st.integers(0, 1439)), draw(st.integers(1, 1440))
    if starts == ends:
        ends = starts - 1 or 1440
    return f"{starts // 60:02}:{starts % 60:02}-{ends // 60:02}:{ends % 60:02}"


@st.composite
def _tests(draw, fields=(*_VALUES, *_BOUNDS, *_FLAGS, "time", "date")):
    field = draw(st.sampled_from(fields))
    clock = draw(_CLOCKS) if field in _CLOCKED else ""
    if field == "time":
        return made_test(field, "within", draw(st.lists(_minutes(), min_size=1, max_size=2)), clock)
    if field == "date":
        days = st.sampled_from(["2026-03-29", "2026-03-28..2026-03-29", "2026-10-25..2026-11-01", "2026-12-24"])
        return made_test(field, "within", draw(st.lists(days, min_size=1, max_size=2)), clock)
    if field in _FLAGS:
        return made_test(field, "is", draw(st.booleans()), clock, catalogue=CATALOGUE)
    if field in _BOUNDS:
        known = CATALOGUE.field_named(field)
        op = draw(st.sampled_from([op for op in known.operators if op in ("is", "in", "at_least", "below")]))
        if known.kind is Kind.ATTRIBUTE and op in ("is", "in"):
            op = "below"
        most = 3 if op == "in" else 1
        return made_test(field, op, draw(st.lists(st.integers(0, 9), min_size=1, max_size=most)), catalogue=CATALOGUE)
    ops = [op for op in CATALOGUE.field_named(field).operators if op not in ("at_least", "below")]
    op = draw(st.sampled_from(ops))
    most = 1 if op in ("is", "contains") else 3
    values = draw(st.lists(st.sampled_from(_VALUES[field]), min_size=1, max_size=most))
    return made_test(field, op, values, clock, catalogue=CATALOGUE)


def _grouped(inner):
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(several.map(AllOf), several.map(AnyOf), inner.map(Not))


def _depth(node: Node) -> int:
    parts = getattr(node, "parts", None) or ([node.part] if isinstance(node, Not) else [])
    return 1 + max((_depth(part) for part in parts), default=0)


conditions = st.recursive(_tests(), _grouped, max_leaves=8).filter(lambda node: _depth(node) <= 6)
#: With more of time in them, and of what time is asked about.
_timely = st.recursive(
    _tests(("time", "weekday", "date", "holiday", "service", "radio", "on_trip", "country")), _grouped, max_leaves=5
).filter(lambda node: _depth(node) <= 6)
_instants = st.builds(
    lambda day, minute: datetime.combine(day, datetime.min.time(), UTC) + timedelta(minutes=minute),
    st.sampled_from([date(2026, 3, 28), date(2026, 3, 29), date(2026, 10, 24), date(2026, 10, 31), date(2026, 12, 24)]),
    st.integers(0, 2 * 1440),
)


def _sometimes(**values):
    """Some of these attributes."""
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(few) for key, few in values.items()})


events = st.builds(
    Context,
    service=st.sampled_from([Service.DATA, Service.VOICE]),
    zone_id=st.sampled_from([1, 2, 3]),
    units=st.integers(0, 9),
    at=_instants.map(lambda at: at.astimezone(BERLIN)),
    tags=st.sampled_from([frozenset(), frozenset({"sales"}), frozenset({"board", "boss"})]),
    role=st.sampled_from(["", "boss"]),
    device=st.sampled_from(["", "350000000000015", "350000000000029", "350000000000031"]),
    visited_network=st.sampled_from(["", "20801", "208", "310", "90112"]),
    other_party=st.sampled_from(["", "+4930123456", "33155", "491701"]),
    attributes=_sometimes(
        apn=("Corp.Example", "", 5), rat=(6, "Nr", True), ratType=("WLAN", "x"), rating_group=(5, "7", "x", -1),
        application=("Teams", "unknown", "net"), app_category=("office", 4), slice=("Gold", "iron", None),
        level=(3, "4", 4.5, True), vpn=(True, "no", "x", 1), size=(5, 4.5, "5", None),
    ),
    person_id=st.sampled_from([0, 7, 8, 9]),
    line_id=st.sampled_from([0, 5, 6]),
    used_so_far=st.sampled_from([None, 0, 5]),
    spent_so_far=st.sampled_from([None, 7]),
    profile=st.none() | _sometimes(manager=("+4930123456", 49), team=("red", ""), grade=(7, "e3"), limit=(0, 9, "9")),
)  # fmt: skip


# --- the slow evaluator ---------------------------------------------------------------------------------------------

_COUNTRY = {"": "DE", "20801": "FR", "208": "FR", "310": "US", "90112": None}
_WHERE = {"DE": BERLIN, "FR": PARIS, "US": NEW_YORK, None: None}
_RADIO = {6: "lte", "nr": "5g", "wlan": "wifi"}
_COMPARE = {
    "is": lambda value, wanted: value in wanted,
    "in": lambda value, wanted: value in wanted,
    "starts": lambda value, wanted: any(value.startswith(one) for one in wanted),
    "contains": lambda value, wanted: wanted[0] in value,
    "at_least": lambda value, wanted: value >= wanted[0],
    "below": lambda value, wanted: value < wanted[0],
}


def slowly(node: Node, event: Context) -> bool | None:
    """Kleene's logic over numbers: false 0, unknown 1/2, true 1."""
    return {0: False, 0.5: None, 1: True}[_degree(node, event)]


def _degree(node: Node, event: Context) -> float:
    if isinstance(node, Not):
        return 1 - _degree(node.part, event)
    if isinstance(node, AllOf | AnyOf):
        return (min if isinstance(node, AllOf) else max)(_degree(part, event) for part in node.parts)
    held = _civil(node, event) if node.field in _CLOCKED else _plain(node, event)
    return 0.5 if held is None else float(held)


def _civil(test, event):
    zone = {"": BERLIN, "enterprise": NEW_YORK, "there": _WHERE[_COUNTRY[event.visited_network]]}.get(
        test.clock, LORD_HOWE
    )
    if zone is None:
        return None
    local = event.at.astimezone(zone)
    if test.field == "holiday":
        return (local.date() in holidays.Germany(subdiv="BY", years=local.year)) is test.values[0]
    if test.field == "weekday":
        return local.strftime("%a").lower() in test.values
    if test.field == "date":
        return any(value[:10] <= local.date().isoformat() <= value[-10:] for value in test.values)
    clock = local.strftime("%H:%M")
    return any(
        value[:5] <= clock < value[6:] if value[:5] < value[6:] else not value[6:] <= clock < value[:5]
        for value in test.values
    )


def _plain(test, event):
    said = (event.profile if test.field.startswith("profile.") else event.attributes) or {}
    key = test.field.partition(".")[2]
    wanted = test.values
    country, dialled = _COUNTRY[event.visited_network], event.other_party.lstrip("+")
    device = AROUND.devices.get(event.device[:14], (None, None))
    if test.field in ("tag", "role"):
        return bool(set(wanted) & ({*event.tags, event.role} if test.field == "role" else event.tags))
    if test.field == "on_trip":
        now = [trip for trip in TRIPS.get(event.person_id, ()) if trip[0] <= event.at < trip[1]]
        anywhere = any(not trip[2] for trip in now)
        if not event.person_id or (now and country is None and not anywhere):
            return None
        return (anywhere or any(country in trip[2] for trip in now)) is wanted[0]
    if test.field == "list":
        held = "suppliers" in wanted and any(
            (dialled.startswith(digits) if is_prefix else dialled == digits) and _during(event.at, starts, ends)
            for digits, is_prefix, starts, ends in LISTED
        )
        return None if not dialled else held or (None if "nowhere" in wanted else False)
    if test.field == "application":
        name, category = said.get("application"), said.get("app_category")
        texts = [str(one).lower() for one in (name, category) if one is not None and one != "unknown"]
        if any(_COMPARE[test.op](text, [one.lower() for one in wanted]) for text in texts):
            return True
        return None if name in (None, "unknown") else False
    free = said.get(key)
    if isinstance(free, bool) and test.field != "attributes.vpn":
        free = None if test.op in ("at_least", "below") or test.field == "attributes.level" else str(free)
    value = {
        "service": {Service.DATA: "data", Service.VOICE: "voice"}.get(event.service),
        "zone": {1: "home", 2: "eu", 3: "row"}[event.zone_id],
        "roaming": event.zone_id != 1,
        "country": country,
        "network": event.visited_network,
        "device.ownership": device[0],
        "device.model": device[1] or None,
        "line": next((digits for digits, *times in OWN.get(event.line_id, ()) if _during(event.at, *times)), None),
        "other_party": dialled or None,
        "directory": any(dialled == digits and _during(event.at, *times) for digits, *times in COLLEAGUES)
            if dialled else None,
        "apn": said.get("apn") if isinstance(said.get("apn"), str) and said.get("apn") else None,
        "radio": None if said.get("rat") is True else _RADIO.get(str(said.get("rat", said.get("ratType"))).lower(),
            _RADIO.get(said.get("rat"))),
        "rating_group": {5: 5, "7": 7, -1: -1}.get(said.get("rating_group")),
        "units": event.units,
        "used": event.used_so_far,
        "spent": event.spent_so_far,
        "attributes.level": 4 if free == "4" else free,
        "attributes.vpn": {"no": False, 1: True, "x": None}.get(free, free),
        "attributes.size": free if isinstance(free, int | float) else None,
        "profile.limit": free if isinstance(free, int | float) else None,
        "profile.manager": None if free is None else str(free).lstrip("+"),
    }.get(test.field, None if free is None else str(free))  # fmt: skip
    if value is None:
        return None
    if isinstance(value, str):
        value, wanted = value.lower(), [str(one).lower() for one in wanted]
    return _COMPARE[test.op](value, wanted)


def _during(at, starts, ends):
    return (starts is None or starts <= at) and (ends is None or at < ends)


# --- what is held against it ----------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(conditions)
def test_text_and_json_read_back_as_the_same(node):
    assert from_json(to_json(node), CATALOGUE) == node
    assert read_text(write_text(node), CATALOGUE) == node
    assert describe(node, catalogue=CATALOGUE)


@settings(max_examples=800, deadline=None)
@given(conditions | _timely, events)
def test_what_is_known_is_what_a_slow_evaluator_says(node, event):
    expected = slowly(node, event)
    assert compile_known(node, AROUND)(event) is expected
    unknown = unknown_fields(node, AROUND, event)
    assert bool(unknown) is (expected is None)
    assert {held for _, held in trace(node, AROUND, event)} <= {True, False, None}


@settings(max_examples=400, deadline=None)
@given(_tests(), events)
def test_policies_take_what_is_unknown_for_false(test, event):
    assert compile_condition(test, AROUND)(event) is (slowly(test, event) is True)
    assert compile_condition(Not(test), AROUND)(event) is (slowly(test, event) is not True)


@settings(max_examples=500, deadline=None)
@given(conditions | _timely, events)
def test_settling_static_facts_and_time_changes_nothing(node, event):
    there = _WHERE[_COUNTRY[event.visited_network]]
    for compiled in (compile_known, compile_condition):
        expected = compiled(node, AROUND)(event)
        left = settle(node, AROUND, event)
        if not isinstance(left, bool):
            left = settle_time(left, AROUND, event.at, BERLIN, there)
        assert (left if isinstance(left, bool) else compiled(left, AROUND)(event)) is expected
    if not isinstance(left, bool):
        clocks = {test.clock for test in comparisons_of(left) if test.field in _CLOCKED}
        assert clocks <= ({"there"} if there is None else set())


_ZONES = [BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("America/Santiago"), ZoneInfo("Africa/Cairo")]
#: Days whose nights change a clock of these zones, in either direction, and days beside holidays.
_DAYS = [
    date(2026, 3, 7), date(2026, 3, 28), date(2026, 4, 4), date(2026, 4, 24), date(2026, 9, 5), date(2026, 10, 3),
    date(2026, 10, 24), date(2026, 10, 29), date(2026, 10, 31), date(2026, 12, 24), date(2026, 12, 31),
]  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(_tests(("time", "weekday", "date", "holiday")), min_size=1, max_size=2).map(tuple).map(AnyOf),
    st.sampled_from(_DAYS),
    st.integers(0, 1439),
    st.sampled_from(_ZONES),
    st.sampled_from([None, *_ZONES]),
)
def test_every_turn_is_found_and_no_other(node, day, minute, zone, there):
    starts = datetime.combine(day, datetime.min.time(), UTC) + timedelta(minutes=minute)
    instants = [starts + timedelta(minutes=number) for number in range(36 * 60)]
    events = [Context(1, 1, 1, at=at.astimezone(zone)) for at in instants]
    clocks = {"there": there, "enterprise": NEW_YORK, "": zone, "Australia/Lord_Howe": LORD_HOWE}
    expected = set()
    for test in comparisons_of(node):
        clock = clocks[test.clock]
        if clock is None:
            continue
        compare = compile_known(replace(test, clock=""), AROUND)
        held = [compare(replace(event, at=event.at.astimezone(clock))) for event in events]
        expected |= {at for at, before, after in zip(instants[1:], held, held[1:], strict=False) if before is not after}
    assert changes_between(node, starts, instants[-1] + timedelta(seconds=1), zone, AROUND, there) == sorted(expected)


@pytest.mark.parametrize(
    ("zone", "changes"),
    [
        (BERLIN, ("2026-03-29T01:00", "2026-10-25T01:00")),
        (NEW_YORK, ("2026-03-08T07:00", "2026-11-01T06:00")),
        (LORD_HOWE, ("2026-04-04T15:00", "2026-10-03T15:30")),
        (ZoneInfo("America/Santiago"), ("2026-04-05T03:00", "2026-09-06T04:00")),
        (ZoneInfo("Pacific/Apia"), ("2011-12-30T10:00",)),  # a day that never was
    ],
    ids=str,
)
def test_every_turn_about_a_change_of_the_clock_is_found(zone, changes):
    edges = [f"{hour:02}:{minute:02}" for hour in (22, 23, 0, 1, 2, 3) for minute in (0, 15, 30, 45)]
    tests = [made_test("time", "within", f"{one}-{other}") for one, other in pairwise(edges + edges[::3])]
    tests += [made_test("weekday", "is", "sat"), made_test("holiday", "is", True)]
    for change in changes:
        middle = datetime.fromisoformat(change).replace(tzinfo=UTC)
        assert middle.astimezone(zone).utcoffset() != (middle - timedelta(seconds=1)).astimezone(zone).utcoffset()
        instants = [middle + timedelta(minutes=15 * number) for number in range(-24, 25)]
        for test in tests:
            compare = compile_known(test, AROUND)
            held = [compare(Context(1, 1, 1, at.astimezone(zone))) for at in instants]
            turns = [at for at, before, after in zip(instants[1:], held, held[1:], strict=False) if before is not after]
            assert changes_between(test, instants[0], instants[-1] + timedelta(seconds=1), zone, AROUND) == turns


@settings(max_examples=150, deadline=None)
@given(_tests(("on_trip", "list", "directory", "line")), events)
def test_edges_of_trips_and_of_numbers_that_come_and_go_are_turns_of_an_event(test, event):
    compare = compile_known(test, AROUND)
    instants = [T0 - HOUR + timedelta(minutes=30 * number) for number in range(80)]
    held = [compare(replace(event, at=at)) for at in instants]
    turns = [at for at, before, after in zip(instants[1:], held, held[1:], strict=False) if before is not after]
    assert changes_between(test, instants[0], instants[-1], BERLIN, AROUND, event=event) == turns


# --- hostile inputs -------------------------------------------------------------------------------------------------

_junk = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.sampled_from([10**400, -(10**400), 1e308, -0.0]), st.floats(),
        st.text(max_size=9), st.sampled_from(["\ud800", "9" * 5000, "²", "٣", b"x", object()]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
_KEYS = (
    "apn", "dnn", "rat", "radio", "rating_group", "application", "app_category", "slice", "level", "vpn", "size",
    "team", "manager", "grade", "limit",
)  # fmt: skip
_attributes = st.one_of(
    st.dictionaries(st.sampled_from(_KEYS), _junk), st.sampled_from([None, 7, "x"]), st.lists(_junk, max_size=2)
)


@settings(max_examples=300, deadline=None)
@given(conditions, events, _attributes, _attributes, st.text(max_size=20), st.text(max_size=20))
def test_whatever_an_event_holds_nothing_raises(node, event, attributes, profile, number, network):
    hostile = replace(
        event, attributes=attributes, profile=profile, other_party=number, visited_network=network, device=number,
    )  # fmt: skip
    held = compile_known(node, AROUND)(hostile)
    assert held in (True, False, None)
    assert compile_condition(node, AROUND)(hostile) in (True, False)
    assert bool(unknown_fields(node, AROUND, hostile)) is (held is None)


def test_a_number_longer_than_python_writes_is_unknown_or_measured():
    event = Context(1, 1, 1, T0, attributes={"x": 10**5000, "level": -(10**5000), "application": 10**5000})
    assert compile_known(read_text("attributes.x is 7"), AROUND)(event) is None
    assert compile_known(read_text("application is x"), AROUND)(event) is None
    assert compile_known(read_text("attributes.x at_least 7"), AROUND)(event) is True
    assert compile_known(read_text("attributes.level below 7", CATALOGUE), AROUND)(event) is True


_words = st.sampled_from(
    ["all", "any", "not", "field", "op", "value", "clock", "service", "data", "is", "in", "tag", "time", "08:00-18:00"]
)
_trees = st.recursive(
    _junk | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=20,
)
_tokens = st.sampled_from(["(", ")", ",", "not", "and", "or", "at", "there", '"'])


@settings(max_examples=400, deadline=None)
@given(_trees)
def test_whatever_json_says_it_is_a_condition_or_a_fault(data):
    try:
        node = from_json(data, CATALOGUE)
    except ConditionFault:
        return
    assert from_json(to_json(node), CATALOGUE) == node


@settings(max_examples=600, deadline=None)
@given(st.lists(st.text(max_size=4) | _words | _tokens, max_size=30))
def test_whatever_is_typed_is_a_condition_or_a_fault(words):
    try:
        node = read_text(" ".join(words), CATALOGUE)
    except ConditionFault:
        return
    assert read_text(write_text(node), CATALOGUE) == node


def test_what_is_nested_or_long_without_end_is_refused_at_once():
    deep: object = {"field": "tag", "value": "a"}
    for _ in range(100_000):
        deep = {"not": deep}
    for reader, sent in (
        (from_json, deep),
        (from_json, {"all": [{"field": "tag", "value": "a"}] * 100_000}),
        (from_json, {"field": "tag", "op": "in", "value": ["a"] * 100_000}),
        (from_json, {"field": "units", "op": "below", "value": 10**5000}),
        (from_json, {"field": "line", "value": 10**5000}),
        (from_json, {"field": "attributes.x", "value": -(10**5000)}),
        (from_json, {"field": "tag", "value": "a", "op": "x" * 100_000}),
        (read_text, "(" * 20_000),
        (read_text, "not " * 5_000),
        (read_text, "a" * 20_001),
    ):
        with pytest.raises(ConditionFault) as raised:
            reader(sent)
        assert len(str(raised.value)) < 1_000
