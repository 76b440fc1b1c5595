"""Rules: what is read, refused, said; which of two wins, and that no conflict is missed."""

import pytest

from policies.conditions import read_text
from policies.conflicts import Placed, conflicts_of, satisfiable
from policies.regulation import TEMPLATES
from policies.rules import RuleFault, rules_from_json, rules_to_json

ABROAD = "service is data and roaming is yes"


def rule(name="R", when="always", action="stop_now", beyond=None, **more):
    return {"name": name, "when": when, "action": action, "beyond": beyond, **more}


def placed(data, *, depth=0, policy=1):
    [read] = rules_from_json([data])
    return Placed(policy, f"P{policy}", 10 + depth, "Account", depth, 1, 1, read)


def test_rules_read_back_and_are_said():
    rules = rules_from_json(
        [
            rule("A", f"{ABROAD} and tag is sales", "consent", {"service": "data", "window": "cycle"}, approval=True),
            rule("B", action="notify", beyond="any", grace={"percent": 10}),
        ]
    )
    assert rules_from_json(rules_to_json(rules)) == rules
    assert rules[0].words() == (
        "Data while roaming, by lines tagged sales, beyond the cycle's data limits: it is stopped until somebody "
        "consents, once a person approves."
    )
    assert rules[1].words().startswith("Any usage, beyond any limit: people are told")


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_every_template_reads(template):
    assert rules_from_json(list(template.rules))


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({}, "rules"),
        ([rule(action="kill")], "rules[0].action"),
        ([rule(name="")], "rules[0].name"),
        ([rule(), rule(name="r")], "rules[1].name"),
        ([rule(when="service is fax")], "rules[0].when.line 1, column 1.value"),
        ([rule(when={"all": [{"field": "tag", "value": ""}]})], "rules[0].when.all[0].value"),
        ([rule(beyond={"window": "year"})], "rules[0].beyond.window"),
        ([rule(action="consent")], "rules[0].beyond"),
        ([rule(exception=True)], "rules[0].action"),
        ([rule(grace={"percent": 101})], "rules[0].grace.percent"),
        ([rule(colour="red")], "rules[0]"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(data, where):
    with pytest.raises(RuleFault) as raised:
        rules_from_json(data)
    assert raised.value.where == where


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (ABROAD, "service is voice", False),
        (ABROAD, "roaming is no", False),
        (ABROAD, "service in (data, voice) and tag is sales", True),
        ("zone is eu", "zone in (row, eu)", True),
        ("zone is eu", "not zone in (row, eu)", False),
        ("time within 08:00-18:00", "time within 18:00-08:00", False),
        ("time within 08:00-18:00", "not time within 09:00-17:00", True),
        ("time within 08:00-18:00", "time within 18:00-20:00 at America/New_York", True),
        ("weekday in (mon, tue)", "not weekday in (mon, tue, wed)", False),
        ("date within 2026-12-24..2026-12-26", "date within 2026-12-26", True),
        ("date within 2026-12-24..2026-12-25", "date within 2026-12-26", False),
        ("tag is a", "tag is b", True),
        ("tag is a", "not tag in (a, b)", False),
        ("units below 100", "units at_least 100", False),
        ("network starts 208", "network is 20801", True),
        ("network starts 208", "network starts (262, 2)", True),
        ("network starts 208", "network starts 262", False),
        ("other_party is 4930", "not other_party starts 49", False),
        ("(tag is a and roaming is no) or zone is eu", f"{ABROAD} and zone is row", False),
    ],
)
def test_whether_one_event_can_match_both(one, other, meet):
    assert satisfiable(read_text(f"({one}) and ({other})")) is meet


def test_the_stricter_wins_wherever_it_stands_and_says_why():
    upper, lower = placed(rule("Up", ABROAD, "throttle")), placed(rule("Low", "zone is eu"), depth=2, policy=2)
    for mine, others in (([upper], [lower]), ([lower], [upper])):
        [found] = conflicts_of(mine, others)
        assert (found.winner, found.loser) == (lower, upper)
        assert found.words == (
            "“Low” of “P2” (it is stopped at once) wins over “Up” of “P1” (the line is slowed down): "
            "the stricter action wins on the path."
        )


def test_an_exception_reaches_what_holds_at_its_account_and_below_never_above():
    stop = placed(rule("Stop"), depth=1)
    above = placed(rule("Let", "tag is executive", "notify", exception=True), depth=0, policy=2)
    below = placed(rule("Let", "tag is executive", "notify", exception=True), depth=2, policy=2)
    assert conflicts_of([stop], [above])[0].winner is above
    assert conflicts_of([stop], [below])[0].winner is stop
    assert "does not reach" in conflicts_of([stop], [below])[0].why


def test_the_same_action_and_different_limits_are_no_conflict():
    daily = placed(rule("A", beyond={"window": "day"}))
    weekly = placed(rule("B", action="throttle", beyond={"window": "week"}), policy=2)
    assert conflicts_of([daily], [weekly, placed(rule("C"), policy=3)]) == []
