"""Deciding by sieves and segments says what asking every rule in order says, whatever was asked before."""

from datetime import datetime
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.conditions import Node, compile_known, unknown_fields, zone_there
from policies.conditions.tree import made_test
from policies.decision import Context
from policies.steering import sieves
from policies.steering.book import SteeringBook
from policies.steering.outcomes import BEGINNING, NEVER, StandingVersion
from policies.steering.rules import COMPANY_PAYS, REFUSE, SteeringRule, Terms
from policies.steering.sieves import Sieve
from tests.policies.test_conditions_properties import AROUND, BERLIN, HOUR, T0, conditions, events


def _book(nodes: list[Node]) -> SteeringBook:
    rules = tuple(SteeringRule(f"Rule {place}", node, COMPANY_PAYS, False) for place, node in enumerate(nodes))
    return SteeringBook([StandingVersion(1, 1, 1, Terms(rules, None, REFUSE), BEGINNING, NEVER)], AROUND)


def _one_by_one(nodes: list[Node], event: Context) -> tuple[int, tuple[str, ...]]:
    """Number of the rule that decides, 0 for none, and the first field for want of which an earlier one did not."""
    unknown: tuple[str, ...] = ()
    for number, node in enumerate(nodes, start=1):
        held = compile_known(node, AROUND)(event)
        if held:
            return number, unknown
        if held is None and not unknown:
            unknown = unknown_fields(node, AROUND, event)[:1]
    return 0, unknown


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(conditions, min_size=1, max_size=12), st.lists(events, min_size=1, max_size=8))
def test_sieves_let_through_what_decides(nodes, asked):
    _agree(nodes, asked)


def test_a_sieve_that_lets_nothing_through_is_found(monkeypatch):
    """The control."""
    nodes = [made_test("apn", "is", ["corp"])]
    event = Context(1, 2, 0, datetime(2026, 3, 28, 22, tzinfo=BERLIN), attributes={"apn": "corp"})
    _agree(nodes, [event])
    monkeypatch.setattr(Sieve, "_find", lambda *_: (0, 0))
    with pytest.raises(AssertionError):
        _agree(nodes, [event])


def test_who_never_was_a_colleague_costs_rules_on_colleagues_one_look():
    """Also where numbers come into the directory and leave it: those that do are asked, at each time."""
    book = _book([made_test("directory", "is", True), made_test("list", "is", ["suppliers"])])
    rules = book.along((1,), frozenset(), 1, 2)

    def decided(other_party: str, hours: int) -> tuple[int | None, int]:
        """The rule that sieves alone tell, and the one that decides."""
        event = Context(1, 2, 0, T0 + hours * HOUR, other_party=other_party)
        usage = SimpleNamespace(other_party=other_party)
        segment = rules.segment(event.at, BERLIN, None)
        told = segment.settled(usage, 0)
        return told and told.outcome.number, segment.decide(usage, 0, event).outcome.number

    assert [decided("4930123456", hours) for hours in (-10, 0, 3, 11)] == [(None, 2), (None, 1), (None, 2), (None, 1)]
    assert [decided("88", hours) for hours in (0, 1, 11)] == [(None, 0), (0, 0), (0, 0)]


def test_a_new_value_asks_a_part_once_however_many_versions_have_it(monkeypatch):
    made = []
    monkeypatch.setattr(sieves, "compile_known", lambda *given: made.append(given) or compile_known(*given))
    nodes = [made_test("apn", "is", [name]) for name in ("corp", "guest", "corp", "corp")]
    event = Context(1, 2, 0, datetime(2026, 3, 28, 22, tzinfo=BERLIN), attributes={"apn": "guest"})
    _agree(nodes, [event])
    assert len(made) == 2


def _agree(nodes: list[Node], asked: list[Context]) -> None:
    book = _book(nodes)
    lines: list[tuple] = []
    for event in asked:
        event = _at(event)
        rules = book.along((1,), event.tags, event.service, event.zone_id)
        line = (event.line_id, repr(event.profile), event.person_id)
        if line not in lines:
            lines.append(line)
        usage = SimpleNamespace(
            attributes=event.attributes, visited_network=event.visited_network, other_party=event.other_party,
            imei=event.device,
        )  # fmt: skip
        segment = rules.segment(event.at, BERLIN, zone_there(event, AROUND))
        decided = segment.settled(usage, lines.index(line)) or segment.decide(usage, lines.index(line), event)
        assert (decided.outcome.number, decided.unknown[:1]) == _one_by_one(nodes, event)


def _at(event: Context) -> Context:
    """The event on the one place in the tree whose rules are asked for; its role is one of its tags."""
    known = {name: getattr(event, name) for name in event.__slots__}
    return Context(**{**known, "role": ""})
