"""What there is to look at before who pays is published."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balances import inventory, profiles
from policies.conditions import Surroundings, compile_known, read_text
from policies.decision import Context
from policies.steering import declared, publishing
from policies.steering.cautions import About, cautions, shadowed_by
from policies.steering.loading import terms_of
from policies.steering.rules import COMPANY_PAYS, VALUES_MOST, SteeringFault, SteeringRule, rules_from_json
from tests.cast import ACTOR, NOW, Cast
from tests.policies.test_steering_publishing import DOING, drafted, published


def rule(text: str) -> SteeringRule:
    return SteeringRule(text[:80], read_text(text), COMPANY_PAYS)


@pytest.mark.parametrize(
    ("when", "before", "by"),
    [
        ("service is data", ["always"], [0]),
        ("service is data and roaming is yes", ["service is voice", "service in (data, messaging)"], [1]),
        ("service is data", ["roaming is yes", "roaming is no"], [0, 1]),
        ("service is data or service is voice", ["service is data", "service is voice"], [0, 1]),
        ("time within 09:00-17:00", ["time within 08:00-18:00"], [0]),
        ("time within 07:00-17:00", ["time within 08:00-18:00"], None),
        ("time within 09:00-17:00 at there", ["time within 08:00-18:00"], None),
        ("device.model is a", ["not device.model is b"], [0]),
        ("application is teams", ["not application is video"], None),  # it has a name and a category
        ("service is data", ["application is teams", "not application is teams"], None),  # some do not say which
        ("service is data", ["holiday is yes", "holiday is no"], None),
        ("service is data", [], None),
        ("service is data and service is voice", [], []),
        ("tag is sales", ["tag is sales or tag is board"], [0]),
        ("other_party starts +4930", ["other_party starts +49"], None),  # not shown, although it is so
    ],
)
def test_a_rule_that_never_decides_is_found_and_only_where_that_is_shown(when: str, before: list[str], by):
    assert shadowed_by(rule(when), [rule(text) for text in before]) == by


TESTS = [
    "service is data", "service in (voice, messaging)", "roaming is yes", "roaming is no", "tag is a", "tag in (a, b)",
    "application is x", "other_party starts 49", "time within 08:00-18:00", "time within 09:00-12:00",
    "weekday in (mon, sun)", "units at_least 10", "units below 5", "profile.level at_least 3", "always",
]  # fmt: skip


@st.composite
def conditions(draw) -> str:
    parts = [
        ("not " if draw(st.booleans()) and text != "always" else "") + text
        for text in draw(st.lists(st.sampled_from(TESTS), min_size=1, max_size=3))
    ]
    if "always" in parts:
        return "always"
    return draw(st.sampled_from([" and ", " or "])).join(parts)


events = st.builds(
    Context,
    service=st.integers(1, 4), zone_id=st.integers(1, 2), units=st.integers(0, 20), at=st.just(NOW),
    tags=st.sets(st.sampled_from("abc")).map(frozenset), other_party=st.sampled_from(["", "4930", "33"]),
    attributes=st.sampled_from([None, {"application": "x"}, {"application": "y"}]),
    profile=st.sampled_from([None, {"level": 1}, {"level": 5}]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(conditions(), st.lists(conditions(), max_size=4), st.lists(events, min_size=1, max_size=8))
def test_no_event_is_decided_by_a_rule_that_is_said_never_to_decide(when: str, before: list[str], asked):
    if shadowed_by(rule(when), [rule(text) for text in before]) is None:
        return
    around = Surroundings(home_ids=frozenset({1}))
    mine, *others = [compile_known(read_text(text), around) for text in (when, *before)]
    for event in asked:
        assert mine(event) is not True or any(other(event) is True for other in others)


def words(version) -> list[str]:
    return [one.words for one in cautions(version, NOW)]


def test_rules_behind_others_here_and_above_are_named(cast: Cast):
    root = cast.aurora.root
    top = [{"name": "Top", "when": "roaming is yes", "pays": "corporate", "fixed": True}]
    publishing.publish(version=publishing.save_draft(account=root, rules=top, **DOING), reason="x", **DOING)
    abroad = {"name": "Data abroad", "when": "service is data and roaming is yes", "pays": "corporate"}
    data = {"name": "Data", "when": "service is data", "pays": "corporate"}
    voice = {"name": "Home data", "when": "service is data and roaming is no", "pays": "corporate"}
    assert words(drafted(cast, "NORTH", abroad, data, voice)) == [
        "“Data abroad” can never decide: all that it matches is decided before, by “Top” of Aurora AG.",
        "“Home data” can never decide: all that it matches is decided before, by “Data”.",
    ]


def test_rules_below_that_a_fixed_one_overrules_are_named(cast: Cast):
    published(cast, "N-FIELD", {"name": "Field", "when": "roaming is yes", "pays": "corporate"})
    draft = drafted(cast, "NORTH", {"name": "North", "when": "always", "pays": "corporate", "fixed": True})
    assert words(draft) == ["“North” is fixed: “Field” of Field sales can never decide any more."]


def test_what_nobody_knows_is_said(cast: Cast):
    rules = [
        {"name": "Private", "when": "service is data and other_party starts 49", "pays": "corporate"},
        {"name": "Level", "when": "profile.level at_least 3 or tag is a", "pays": "corporate"},
        {"name": "Trips", "when": "on_trip is yes", "pays": "corporate"},
        {"name": "No trip", "when": "on_trip is no", "pays": "corporate"},
    ]
    draft = drafted(cast, "NORTH", *rules)
    assert words(draft) == [
        "“Private”: data never says the other party; it never matches.",
        "“Level”: no line below has “level” in its profile; in part it never matches.",
        "“Trips”: no trip is declared below, so nobody is on one; it never matches.",
    ]
    profiles.set_profile(line=cast.aurora.lines["emil phone"], attributes={"level": 4}, **DOING)
    assert not any("Level" in said for said in words(draft))


def test_what_is_too_much_to_compare_is_said_and_what_was_found_before_stays(cast: Cast):
    same = [{"name": f"R{number}", "when": "time within 08:00-18:00", "pays": "corporate"} for number in range(30)]
    draft = drafted(cast, "NORTH", *same)
    assert len(cautions(draft, NOW)) == 29
    *found, last = cautions(draft, NOW, effort_most=200)
    assert 0 < len(found) < 29
    assert {one.about for one in found} == {About.NEVER}
    assert (last.about, last.rule) == (About.UNSEEN, 0)


def test_a_version_holds_so_many_values_and_the_rule_with_more_is_named(cast: Cast):
    windows = [f"{hour:02}:{minute:02}-23:59" for hour in range(10) for minute in range(10)]
    one = {"all": [{"field": "time", "op": "within", "value": windows}] * 50}
    rules = [{"name": f"R{number}", "when": one, "pays": "corporate"} for number in range(4)]
    assert len(rules_from_json(rules)) * 50 * 100 == VALUES_MOST
    with pytest.raises(SteeringFault, match=r"rules\[4\]\.when: the rules up to this one have more than 20,000 values"):
        drafted(cast, "NORTH", *rules, {"name": "More", "when": "tag is a", "pays": "corporate"})


def test_budgets_that_go_on_and_that_begin_anew_are_told_apart(cast: Cast):
    def budget(**part) -> dict:
        first = {"payer": "corporate", "units": 5, "every": "cycle", "of": "line"} | part
        return {"name": "First 5", "when": "service is data", "pays": [first, {"payer": "personal"}]}

    published(cast, "NORTH", budget())
    told = [
        (budget(), "“First 5”: its budget goes on with what version 1 took up."),
        (budget(units=9), "“First 5”: its budget goes on with what version 1 took up, against another amount."),
        (budget(every="week"), "“First 5”: its budget begins anew, as it is counted otherwise than before."),
        (budget(of="account"), "“First 5”: its budget begins anew, as it is counted otherwise than before."),
    ]
    turned = budget() | {"pays": [{**budget()["pays"][0], "payer": "personal"}, {"payer": "corporate"}]}
    told.append((turned, "“First 5”: its budget begins anew, as it is counted otherwise than before."))
    for changed, expected in told:
        assert expected in words(drafted(cast, "NORTH", changed))
    other = {**budget(), "name": "Another"}
    assert not any("budget" in said for said in words(drafted(cast, "NORTH", other)))


def test_lines_without_a_person_are_counted_and_people_only_where_they_are_many(cast: Cast):
    aurora = cast.aurora
    draft = drafted(cast, "NORTH", default="personal")
    assert words(draft) == ["1 line belongs to nobody: what a person is to pay is refused there."]
    assert words(drafted(cast, "NORTH", default="corporate")) == []
    field = aurora.accounts["N-FIELD"]
    for number in range(4):
        person = inventory.add_person(
            enterprise=aurora.enterprise, account=field, number=f"X-{number}", name="X", actor=ACTOR, at=NOW
        )
        inventory.add_line(
            enterprise=aurora.enterprise,
            account=field,
            msisdn=f"491708888000{number}",
            person=person,
            actor=ACTOR,
            at=NOW,
        )
    draft = drafted(cast, "NORTH", default="personal")
    assert words(draft)[1] == "None of the 5 people below can pay: see what happens where a person cannot."


def test_a_declared_field_is_read_by_its_kind_and_stays_what_rules_took_it_for(cast: Cast):
    doing = {"operator": cast.operator, "name": "profile.level", **DOING}
    declared.declare(kind="number", label="Level", **doing)
    version = published(cast, "NORTH", {"name": "High", "when": "profile.level is 3", "pays": "personal"})
    assert terms_of(version).rules[0].when.values == (3,)
    declared.declare(kind="number", label="Grade", **doing)  # words may change
    for change in ({"kind": "text", "label": "Level"}, {"kind": "flag", "label": "Level"}):
        with pytest.raises(declared.DeclaredInUse, match="asks for profile"):
            declared.declare(**change, **doing)
    field = cast.operator.declared_fields.get()
    assert (field.kind, field.label) == ("number", "Grade")
    with pytest.raises(declared.DeclaredInUse):
        declared.withdraw(field=field, **DOING)
    publishing.retire(steering=version.steering, reason="test", **DOING)
    with pytest.raises(declared.DeclaredInUse, match="asks for profile"):  # late usage and replays still read it
        declared.withdraw(field=field, **DOING)
    other = declared.declare(kind="flag", label="Board", **doing | {"name": "attributes.board"})
    declared.withdraw(field=other, **DOING)
    assert cast.operator.declared_fields.count() == 1


def test_a_field_that_rules_ask_for_already_can_be_declared_as_the_text_that_it_is(cast: Cast):
    published(cast, "NORTH", {"name": "Depot", "when": "profile.site starts de", "pays": "personal"})
    doing = {"operator": cast.operator, "name": "profile.site", "label": "Site", **DOING}
    assert declared.declare(kind="text", **doing).kind == "text"
    with pytest.raises(declared.DeclaredInUse):
        declared.declare(kind="digits", **doing)
