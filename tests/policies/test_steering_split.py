"""The laws of the one split, whatever the units, the parts and the budgets."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from balances.units import price_micros
from policies.steering.decision import Price, Share, shared, split
from policies.steering.rules import COMPANY_PAYS, Part, Parts

PAYERS = st.sampled_from(["corporate", "personal"])
units = st.integers(0, 400) | st.integers(0, 2**50)
prices = st.builds(Price, st.integers(0, 2_000_000), st.integers(1, 1_048_576))
#: What is left of a budget; below zero where a version has lowered it.
lefts = st.integers(-50, 400) | st.integers(-(10**6), 2**50)
percents = st.lists(st.integers(1, 40), min_size=1, max_size=5).filter(lambda found: sum(found) < 100)


@st.composite
def parts(draw: st.DrawFn) -> Parts:
    """Up to five bounded parts and the last; percents in a row come to less than a hundred."""
    found: list[Part] = []
    for _ in range(draw(st.integers(1, 5))):
        bound = draw(st.sampled_from(["units", "micros", "percent"]))
        value = 25 if bound == "percent" else draw(st.integers(1, 300))
        if bound == "percent" and [part.percent for part in found[-3:]] == [25, 25, 25]:
            bound = "units"
        found.append(Part(draw(PAYERS), **{bound: value}))
    return (*found, Part(draw(PAYERS)))


class Budgets:
    """What is left, by part, for a split to ask."""

    def __init__(self, left: list[int], before: int):
        self.left, self.before = left, before

    def split(self, amount: int, rule: Parts, price: Price) -> list[Share]:
        return split(
            amount, rule, left_of=lambda number: self.left[number - 1], shared_at=lambda _: self.before, price=price
        )


budgets = st.builds(Budgets, st.lists(lefts, min_size=6, max_size=6), units)


@given(units, parts(), budgets, prices)
def test_shares_sum_to_the_whole_in_the_order_of_the_parts_and_none_is_negative(amount, rule, left, price):
    shares = left.split(amount, rule, price)
    assert sum(share.units for share in shares) == amount
    assert all(share.units > 0 for share in shares) or [share.units for share in shares] == [0]
    assert all(one.number < other.number for one, other in pairwise(shares))
    assert all(share.payer == rule[share.number - 1].payer for share in shares)
    assert shares == left.split(amount, rule, price), "the same again is the same"


@given(units, parts(), budgets, prices)
def test_no_share_passes_its_budget_and_the_next_part_has_some_only_where_none_more_fits(amount, rule, left, price):
    taken = {share.number: share.units for share in left.split(amount, rule, price)}
    rest = amount
    for number, part in enumerate(rule[:-1], start=1):
        mine = taken.get(number, 0)
        if part.units is not None:
            assert mine == min(max(left.left[number - 1], 0), rest)
        elif part.micros is not None:
            room = left.left[number - 1]
            assert mine == 0 or price_micros(mine, *price) <= room or price.micros == 0
            assert mine == rest or price_micros(mine + 1, *price) > room
        rest -= mine


@given(units, units, percents)
def test_percents_take_no_more_than_there_is_and_leave_no_less_than_nothing(amount, before, some):
    taken = shared(amount, before, some)
    assert all(one >= 0 for one in taken)
    assert sum(taken) <= amount


@given(st.lists(st.integers(0, 30), max_size=30), percents)
def test_percents_do_not_depend_on_how_units_come_in_events(events, some):
    before = [0, *accumulate(events)]
    each = [shared(amount, begun, some) for amount, begun in zip(events, before, strict=False)]
    assert [sum(column) for column in zip(*each, strict=True)] == (shared(before[-1], 0, some) if events else [])


@given(st.integers(0, 2**50), percents)
def test_in_the_long_run_every_part_is_within_one_unit_of_its_percentage(total, some):
    """Of one or two percents and the rest; each one more in a row adds at most half a unit."""
    taken = shared(total, 0, some)
    within = max(2, len(some)) * 50  # in hundredths of a unit
    for mine, percent in zip([*taken, total - sum(taken)], [*some, 100 - sum(some)], strict=True):
        assert abs(mine * 100 - percent * total) <= within


@pytest.mark.parametrize("amount", [0, 1, 7])
def test_who_pays_alone_has_it_whole(amount: int):
    assert Budgets([0] * 6, 0).split(amount, COMPANY_PAYS, Price(1, 1)) == [Share(1, "corporate", amount)]


@given(units, st.lists(st.integers(1, 9), min_size=2, max_size=2), prices)
def test_a_hundred_single_units_are_shared_as_one_event_of_a_hundred(begun, some, price):
    assume(sum(some) < 10)
    rule = (Part("corporate", percent=some[0] * 10), Part("personal", percent=some[1] * 10), Part("corporate"))
    counted = [0, 0, 0]
    for number in range(100):
        share = Budgets([0] * 6, begun + number).split(1, rule, price)[0]
        counted[share.number - 1] += 1
    whole = Budgets([0] * 6, begun).split(100, rule, price)
    assert counted == [next((share.units for share in whole if share.number == place), 0) for place in (1, 2, 3)]
