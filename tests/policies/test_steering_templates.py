"""Ready-made rules of who pays, and rules said in words."""

import pytest

from balances.units import GIB
from policies.models import NumberList, SteeringVersion
from policies.steering import declared, publishing, templates
from policies.steering.loading import terms_of
from policies.steering.publishing import SteeringRefused
from policies.steering.rules import differences, parts_from_json, parts_words, terms_from_json
from policies.steering.templates import TEMPLATES
from tests.cast import ACTOR, NOW, Cast

DOING = {"actor": ACTOR, "at": NOW}


def test_every_template_can_be_drafted_beside_all_others_and_published(cast: Cast):
    north = cast.aurora.accounts["NORTH"]
    for key in TEMPLATES:
        draft = templates.draft_from(account=north, template=key, **DOING)
    offered = [rule["name"] for template in TEMPLATES.values() for rule in template.rules]
    assert [rule.name for rule in terms_of(draft).rules] == offered
    assert set(NumberList.objects.values_list("code", "account__code")) == {
        ("customers", "NORTH"),
        ("private", "NORTH"),
    }
    publishing.publish(version=draft, reason="all of it", **DOING)
    again = templates.draft_from(account=north, template="shared", **DOING)
    assert [rule["name"] for rule in again.rules] == [*offered, "Half and half 2"]
    with pytest.raises(SteeringRefused, match="no such template"):
        templates.draft_from(account=north, template="everything", **DOING)


def test_a_list_of_another_branch_is_not_taken_for_one_s_own(cast: Cast):
    for code in ("SOUTH", "NORTH", "N-FIELD"):
        templates.draft_from(account=cast.aurora.accounts[code], template="private-numbers", **DOING)
    conditions = {
        version.steering.account.code: version.rules[0]["when"]["all"][1]["value"]
        for version in SteeringVersion.objects.all()
    }
    assert conditions == {"SOUTH": "private", "NORTH": "private-2", "N-FIELD": "private-3"}


def test_on_call_follows_what_the_operator_declared(cast: Cast):
    declared.declare(operator=cast.operator, name="profile.on_call", kind="flag", label="On call", **DOING)
    draft = templates.draft_from(account=cast.aurora.root, template="on-call", **DOING)
    assert draft.rules[0]["when"]["any"][1] == {"field": "profile.on_call", "op": "is", "value": True}


def test_amounts_are_said_in_units_of_the_service_that_a_rule_is_about():
    [rule] = terms_from_json(
        [{"name": "A", "when": "service is data and roaming is yes", "pays": [
            {"payer": "corporate", "units": 5 * GIB, "every": "cycle", "of": "person"}, {"payer": "personal"}]}]
    ).rules  # fmt: skip
    said = rule.words(units_words=lambda units, service: f"{units // GIB} GiB of {service}")
    assert said == (
        "Data while roaming: the company pays the first 5 GiB of data a cycle of each person, the person the rest."
    )
    assert "5,368,709,120 units" in rule.words()


def test_percents_and_money_are_said():
    parts = [
        {"payer": "corporate", "micros": 2_500_000, "every": "week", "of": "account"},
        {"payer": "personal", "percent": 40}, {"payer": "corporate"},
    ]  # fmt: skip
    assert parts_words(parts_from_json(parts, "pays"), "EUR") == (
        "the company pays the first €2.50 a week of all together, the person 40 % of what is left, the company the rest"
    )


def test_what_differs_between_versions_is_said_with_default_and_missing():
    before = terms_from_json([{"name": "A", "pays": "corporate"}], "personal", {"action": "refuse"})
    after = terms_from_json([{"name": "a", "pays": "personal"}], None, {"action": "interim", "micros": 10_000_000})
    assert differences(before, after, currency="EUR") == [
        "Changed “a”: was: Any usage: the company pays. Is: Any usage: the person pays.",
        "Where no rule matches: as above.",
        "Where a person cannot pay: it is granted on credit, up to €10.00 a person.",
    ]
    assert differences(after, after) == []
