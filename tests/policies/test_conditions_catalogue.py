"""What conditions may speak of: declared fields, places, radio, calendars, lists; and what policies may not ask."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from policies.conditions import (
    FIELDS,
    Catalogue,
    ConditionFault,
    DeclarationFault,
    Declared,
    Entry,
    Kind,
    NumberSet,
    Surroundings,
    compile_known,
    describe,
    from_json,
    places,
    radio,
    read_text,
    write_text,
)
from policies.conditions.calendars import is_calendar, is_holiday
from policies.conditions.words import _FLAGS, _PHRASES
from policies.conflicts import satisfiable
from policies.decision import Context
from policies.rules import CATALOGUE, RuleFault, rules_from_json

T0 = datetime(2026, 5, 1, tzinfo=UTC)
DECLARED = Catalogue(
    (
        Declared("attributes.slice", Kind.NAME, "Slice", choices=("gold", "iron"), words="on a {} slice"),
        Declared("attributes.level", Kind.NUMBER, "Level", hint="0 to 9"),
        Declared("attributes.vpn", Kind.FLAG, "VPN", words="through the VPN"),
        Declared("profile.manager", Kind.DIGITS, "Manager's number"),
        Declared("profile.team", Kind.TEXT, "Team {0.__class__}", words="of team {}"),
    )
)


def known(text, catalogue=DECLARED, **said):
    return compile_known(read_text(text, catalogue), Surroundings())(Context(1, 1, 1, T0, **said))


def test_a_declared_field_is_offered_with_its_label_choices_and_hint_after_the_built_in_ones():
    offered = list(DECLARED.fields.values())
    assert [one.name for one in offered[: len(FIELDS)]] == list(FIELDS)
    first, second, *_ = offered[len(FIELDS) :]
    assert (first.label, first.hint, first.choices, first.operators) == (
        "Slice",
        "gold, iron",
        ("gold", "iron"),
        ("is", "in"),
    )
    assert (second.hint, second.operators) == ("0 to 9", ("is", "in", "at_least", "below"))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("attributes.slice is silver", "value"),
        ("attributes.slice starts go", "op"),
        ("attributes.level is high", "value"),
        ("attributes.vpn is 2", "value"),
        ("profile.manager is Bob", "value"),
        ("profile.team at_least 5", "op"),
    ],
)
def test_a_declared_field_is_checked_by_its_kind(text, where):
    with pytest.raises(ConditionFault) as raised:
        read_text(text, DECLARED)
    assert raised.value.where.endswith(where)
    assert read_text(text)  # undeclared, it may be anything


def test_a_declared_field_is_compared_by_its_kind():
    assert known("attributes.slice is GOLD", attributes={"slice": "Gold"}) is True
    assert known("attributes.level in (4, 5)", attributes={"level": "5"}) is True
    assert known("attributes.level is 5", attributes={"level": "high"}) is None
    assert known("attributes.vpn is no", attributes={"vpn": 0}) is True
    assert known("attributes.vpn is no", attributes={"vpn": "maybe"}) is None
    assert known("profile.manager starts +49", profile={"manager": "+4930"}) is True
    assert known("profile.team contains blue", profile={"team": "Deep Blue"}) is True
    assert known("profile.team is x") is None


def test_a_declared_field_is_said_in_its_words_whatever_stands_in_them():
    def said(text):
        return describe(read_text(text, DECLARED), catalogue=DECLARED)

    assert said("attributes.slice in (gold, iron)") == "on a gold or iron slice"
    assert said("not attributes.slice is gold") == "not on a gold slice"
    assert said("attributes.vpn is yes") == "through the VPN"
    assert said("attributes.vpn is no") == "not through the VPN"
    assert said("attributes.level at_least 3") == "Level is at least 3"
    assert said('profile.team is "{0.__class__}"') == "of team {0.__class__}"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "slice"}, "name"),
        ({"name": "attributes.a b"}, "name"),
        ({"kind": Kind.TIME}, "kind"),
        ({"label": " "}, "label"),
        ({"label": "x" * 61}, "label"),
        ({"words": "two\nlines"}, "words"),
        ({"kind": Kind.NUMBER, "choices": ("1",)}, "choices"),
        ({"choices": ("Gold",)}, "choices"),
        ({"choices": tuple(f"c{n}" for n in range(101))}, "choices"),
    ],
)
def test_what_cannot_be_declared_is_refused(values, field):
    with pytest.raises(DeclarationFault) as raised:
        Declared(**{"name": "attributes.slice", "kind": Kind.NAME, "label": "Slice"} | values)
    assert raised.value.field == field


def test_a_catalogue_declares_a_name_once_and_no_more_than_fit():
    one = Declared("attributes.x", Kind.TEXT, "X")
    for declared in ((one, one), tuple(Declared(f"attributes.x{n}", Kind.TEXT, "X") for n in range(251))):
        with pytest.raises(DeclarationFault):
            Catalogue(declared)


def test_every_field_has_words():
    assert set(_PHRASES) | set(_FLAGS) == set(FIELDS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("service is voice and country in (FR, us)", "voice in France or United States"),
        ("holiday is no at enterprise", "except on public holidays (the enterprise's time)"),
        ("not radio in (5g, wifi)", "not over 5G or Wi-Fi"),
        ("time within 08:00-18:00 at there", "between 08:00 and 18:00 (time where the person is)"),
        ("time within 08:00-18:00 at home", "between 08:00 and 18:00"),
        ("on_trip is yes and directory is no", "on a business trip, with others than the corporate directory"),
        (
            "used at_least 5 and not list is family",
            "with at least 5 units paid by the company in the cycle, with no number of list family",
        ),
    ],
)
def test_new_fields_are_said_in_words(text, words):
    assert describe(read_text(text)) == words


def test_a_country_is_two_letters_that_exist():
    assert write_text(read_text("country in (de, Fr, xk)")) == "country in (DE, FR, XK)"
    for value in ("germany", "ZZ", "49"):
        with pytest.raises(ConditionFault):
            read_text(f"country is {value}")


@pytest.mark.parametrize(
    ("network", "country", "zone"),
    [
        ("262", "DE", "Europe/Berlin"),
        ("20801", "FR", "Europe/Paris"),
        ("310260", "US", "America/New_York"),
        ("33805", "JM", "America/Jamaica"),
        ("311780", "AS", "Pacific/Pago_Pago"),
        ("310999", "US", "America/New_York"),
        ("302", "CA", "America/Toronto"),
        ("505", "AU", "Australia/Sydney"),
        ("50501", "AU", "Australia/Sydney"),
        ("724", "BR", "America/Sao_Paulo"),
        ("25001", "RU", "Europe/Moscow"),
        ("255", "UA", "Europe/Kyiv"),
        ("221", "XK", "Europe/Belgrade"),
        ("340", "GP", "America/Guadeloupe"),
        ("42505", "PS", "Asia/Gaza"),
        ("42501", "IL", "Asia/Jerusalem"),
        ("901", "", None),
        ("90112", "", None),
        ("00101", "", None),
        ("999", "", None),
        ("", "", None),
        ("x", "", None),
    ],
)
def test_a_network_is_in_a_country_and_that_has_the_zone_of_its_capital(network, country, zone):
    assert places.country_of(network) == country
    assert places.zone_of(country) == (ZoneInfo(zone) if zone else None)


def test_every_country_of_a_network_has_a_zone_and_every_zone_exists():
    by_mcc = places._countries()
    assert len(by_mcc) > 220
    for country in {*by_mcc.values(), *places._OUTLYING.values()}:
        assert places.zone_of(country) is not None, country
    assert places.has_several_zones("US")
    assert not places.has_several_zones("FR")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("NR", "5g"), ("nr", "5g"), ("NR_U", "5g"), ("EUTRA", "lte"), ("4G", "lte"), ("LTE-M", "iot"), ("NBIOT", "iot"),
        ("WLAN", "wifi"), ("Wi-Fi", "wifi"), ("TRUSTED_WLAN", "wifi"), ("UTRA", "3g"), ("GERA", "2g"),
        ("NR_LEO", "satellite"), ("WB_E_UTRAN_OTHERSAT", "satellite"), ("WIRELINE_CABLE", "fixed"), (1, "3g"),
        (6, "lte"), ("6", "lte"), (10, "5g"), (51, "5g"), (1004, "lte"), (0, None), ("VIRTUAL", None), (True, None),
        (None, None), (6.0, None), ("", None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_radio_is_named_by_what_networks_say(value, expected):
    assert radio.named(value) == expected


def test_holidays_are_those_of_the_country_or_its_part():
    assert all(is_calendar(code) for code in ("DE", "DE-BY", "US"))
    assert not any(is_calendar(code) for code in ("", "XX", "DE-XX", "DEU", "de", "DE-BY\n"))
    corpus_christi = date(2026, 6, 4)
    assert is_holiday("DE-BY", corpus_christi) is True
    assert is_holiday("DE", corpus_christi) is False
    assert is_holiday("", corpus_christi) is None
    assert is_holiday("DE", date(1800, 1, 1)) is None


def test_a_range_of_devices_compares_as_many_digits_as_it_has():
    node = read_text("device.imei within (35200900..35200999, 86000000000001..86000000000009)")
    assert read_text(write_text(node)) == node
    assert describe(node) == "on device 35200900 to 35200999 or 86000000000001 to 86000000000009"
    compare = compile_known(node, Surroundings())
    event = Context(service=1, zone_id=1, units=1, at=T0)
    devices = {"352008991": False, "352009000000000": True, "3520099999": True, "352010000": False,
               "860000000000091": True, "860000000000100": False, "3520": False, "": None}  # fmt: skip
    assert {digits: compare(replace(event, device=digits)) for digits in devices} == devices
    for value in ("352..35", "9..1", "35200900..", "..35200900", "a..b", "1..2..3"):
        with pytest.raises(ConditionFault):
            from_json({"field": "device.imei", "op": "within", "value": value})


def test_what_kind_of_device_it_is_is_known_where_somebody_said_so():
    around = Surroundings(devices={"1" * 14: ("corporate", "", "tablet"), "2" * 14: ("corporate", "", "unknown")})
    compare = compile_known(read_text("device.type in (tablet, router)"), around)
    event = Context(service=1, zone_id=1, units=1, at=T0)
    assert [compare(replace(event, device=digit * 15)) for digit in "123"] == [True, None, None]
    assert describe(read_text("service is data and not device.type is phone")) == "data, not on a phone"


def test_a_number_is_in_a_list_from_its_day_until_its_day():
    day = timedelta(days=1)
    numbers = NumberSet([Entry("+4930", is_prefix=True, ends=T0), Entry("4930", starts=T0 + day), Entry("49301")])
    assert [numbers.holds("4930", T0 + offset) for offset in (-day, timedelta(), day)] == [True, False, True]
    assert [numbers.holds("49302", at) for at in (T0 - day, T0)] == [True, False]
    assert [numbers.holds(digits, T0) for digits in ("49301", "493011", "4", "")] == [True, False, False, False]
    assert numbers.edges("4930") == {T0, T0 + day}


# --- policies -------------------------------------------------------------------------------------------------------


def _rule(when, name="x"):
    return {"name": name, "when": when, "beyond": None, "action": "stop_now"}


@pytest.mark.parametrize(
    "when",
    ["country is FR", "holiday is yes", "used below 5", "profile.x is 1", "time within 08:00-18:00 at there",
     "weekday is mon at enterprise"],
)  # fmt: skip
def test_policies_cannot_ask_what_charging_does_not_know_when_it_decides_on_limits(when):
    with pytest.raises(RuleFault):
        rules_from_json([_rule(when)])
    assert from_json({"field": "holiday", "value": True})


def test_policies_can_ask_what_the_networks_message_says():
    [rule] = rules_from_json([_rule("radio is 5g and rating_group in (1, 2) and application is teams")])
    assert rule.words() == "Over 5G, of rating group 1 or 2, by application teams: it is stopped at once."
    assert [name in CATALOGUE.fields for name in ("application", "used")] == [True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rating_group in (1, 5) and rating_group in (5, 9)", True),
        ("rating_group in (1, 2) and rating_group at_least 3", False),
        ("rating_group in (1, 5) and rating_group below 3", True),
        ("application is teams and application is office", True),  # a name and its category
        ("radio is 5g and radio is lte", False),
        ("device.type is phone and device.type is tablet", False),
        ("device.imei within 3520..3529 and device.imei is 353000000000000", False),
        ("device.imei within 3520..3529 and device.imei is 352500000000000", True),
    ],
)
def test_conflicts_are_looked_for_among_new_fields_too(text, expected):
    assert satisfiable(read_text(text)) is expected
