"""The laws of the one decision, whatever the event and the guards."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances.units import Service
from policies.decision import EXECUTIVE, LENIENT, Action, Context, Guard, decide

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
FREE_UNITS, PRICE = 10, 3  # the allowances' rest, and what each unit beyond it costs


def overage(units: int) -> int:
    return max(units - FREE_UNITS, 0) * PRICE


def event(units: int = 20, **facts) -> Context:
    return Context(service=Service.DATA, zone_id=1, units=units, at=NOON, price=overage, **facts)


def limit(action: Action, used: int, amount: int | None, **rest) -> Guard:
    return Guard("limit", rest.pop("id", 1), action, used, amount, **rest)


guards = st.lists(
    st.builds(
        Guard,
        source=st.sampled_from(["limit", "policy"]),
        id=st.integers(1, 9),
        action=st.sampled_from(Action),
        used=st.integers(0, 60),
        amount=st.none() | st.integers(0, 60),
        distance=st.integers(0, 5),
        counts_money=st.booleans(),
        grace_units=st.sampled_from([0, 0, 5]),
        exempt_by=st.sampled_from([None, None, 4]),
        matches=st.sampled_from([None, lambda context: context.units > 7]),
    ),
    max_size=6,
)
events = st.builds(
    event,
    st.integers(0, 60),
    is_emergency=st.sampled_from([False, False, True]),
    tags=st.sampled_from([frozenset(), frozenset({EXECUTIVE})]),
)


@given(events, guards)
def test_never_more_is_granted_than_was_asked_nor_less_than_nothing(context, guards):
    decision = decide(context, guards)
    assert 0 <= decision.granted_units <= context.units
    assert decision.granted_units + decision.refused_units == context.units


@given(events, guards)
def test_the_strictest_guard_wins(context, guards):
    alone = [decide(context, [guard]) for guard in guards]
    least = min((decision.granted_units for decision in alone), default=context.units)
    assert decide(context, guards).granted_units == least


@given(events, guards, st.randoms())
def test_the_order_of_guards_does_not_matter(context, guards, chance):
    shuffled = list(guards)
    chance.shuffle(shuffled)
    first, second = decide(context, guards), decide(context, shuffled)
    assert (first.granted_units, first.action, first.reasons) == (second.granted_units, second.action, second.reasons)


@given(events, guards)
def test_emergency_traffic_is_granted_whatever_stands(context, guards):
    assert decide(replace(context, is_emergency=True), guards).granted_units == context.units


@given(events, guards)
def test_a_guard_that_stops_now_is_not_passed_by_a_unit(context, guards):
    context = replace(context, is_emergency=False, tags=frozenset())
    granted = decide(context, guards).granted_units
    for guard in guards:
        strict = guard.action not in LENIENT and guard.action is not Action.BLOCK_NEW and guard.exempt_by is None
        if strict and guard.room is not None and (guard.matches is None or guard.matches(context)):
            assert (overage(granted) if guard.counts_money else granted) <= guard.room


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(0, 50))
def test_grace_of_an_executives_meeting_is_bounded_and_needs_room_to_begin_in(units, used, amount, grace):
    meeting = Context(Service.VIDEO_CONFERENCING, 1, units, NOON, tags=frozenset({EXECUTIVE}))
    granted = decide(meeting, [limit(Action.STOP_NOW, used, amount, grace_units=grace)]).granted_units
    assert granted == (min(units, amount - used + grace) if used < amount else 0)


@pytest.mark.parametrize(
    ("action", "used", "granted"),
    [
        (Action.NOTIFY, 100, 20),
        (Action.THROTTLE, 100, 20),
        (Action.OVERAGE, 100, 20),
        (Action.BLOCK_NEW, 99, 20),
        (Action.BLOCK_NEW, 100, 0),
        (Action.STOP_NOW, 95, 5),
        (Action.STOP_NOW, 80, 20),
        (Action.CONSENT, 120, 0),
        (Action.SUSPEND, 99, 1),
        (Action.STEER_PERSONAL, 90, 10),
    ],
)
def test_what_an_action_grants_of_twenty_units_where_the_limit_is_a_hundred(action, used, granted):
    assert decide(event(20), [limit(action, used, 100)]).granted_units == granted


def test_money_grants_the_most_units_whose_overage_fits():
    stops = limit(Action.STOP_NOW, used=0, amount=7, counts_money=True)
    assert decide(event(20), [stops]).granted_units == FREE_UNITS + 2  # 2 cost 6 micros, 3 would cost 9


def test_what_allowances_cover_costs_nothing_and_passes_a_money_limit_that_is_used_up():
    assert decide(event(20), [limit(Action.STOP_NOW, 7, 7, counts_money=True)]).granted_units == FREE_UNITS
    assert decide(event(20), [limit(Action.BLOCK_NEW, 7, 7, counts_money=True)]).granted_units == FREE_UNITS


def test_among_equals_the_stricter_action_then_the_nearer_owner_then_the_lower_id_is_named():
    mild, near = limit(Action.CONSENT, 9, 9, id=1), limit(Action.STOP_NOW, 9, 9, id=5, distance=1)
    lower, far = limit(Action.STOP_NOW, 9, 9, id=4, distance=1), limit(Action.STOP_NOW, 9, 9, id=2, distance=3)
    decision = decide(event(), [mild, far, near, lower])
    assert decision.reasons == ("limit_stop_now:4", "limit_stop_now:5", "limit_stop_now:2", "limit_consent:1")


def test_an_exemption_takes_its_guard_out_and_is_named():
    decision = decide(event(), [limit(Action.STOP_NOW, 9, 9, exempt_by=31)])
    assert (decision.granted_units, decision.guard, decision.reasons) == (20, None, ("exempt:31",))


def test_an_unlimited_consent_leaves_no_bound():
    assert decide(event(), [limit(Action.CONSENT, 10**9, None)]).granted_units == 20


def test_a_rule_without_a_limit_refuses_what_it_matches_and_nothing_else():
    rule = Guard("policy", 3, Action.BLOCK_NEW, matches=lambda context: context.zone_id == 2)
    assert decide(event(), [rule]).granted_units == 20
    assert decide(replace(event(), zone_id=2), [rule]).reasons == ("policy_block_new:3",)
