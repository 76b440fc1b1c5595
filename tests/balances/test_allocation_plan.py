"""Plans of allocations: exact to the unit, never below what is in use, and clear about the row that does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances.allocation_plan import WHOLE, Act, Holding, PlanRefused, Source, Wish, plan, undoing

A, B, C = ("account", 1), ("account", 2), ("line", 3)


def source(remaining: int = 100, held: int = 100) -> Source:
    return Source(7, "Data", held, remaining)


def holding(receiver, allocated: int = 0, remaining: int | None = None, **changes) -> Holding:
    left = allocated if remaining is None else remaining
    return Holding(receiver, f"{receiver[0]} {receiver[1]}", allocated, left, used_units=allocated - left, **changes)


def holdings(*of: Holding) -> dict:
    return {h.receiver: h for h in of} or {r: holding(r) for r in (A, B, C)}


def refused(*arguments, **options) -> list[tuple[int, str]]:
    with pytest.raises(PlanRefused) as refusal:
        plan(*arguments, **options)
    return [(problem.row, problem.code) for problem in refusal.value.problems]


def test_setting_gives_or_takes_back_the_difference():
    known = holdings(holding(A, 30), holding(B, 20, 15), holding(C))
    made = plan(source(50), known, [Wish(1, A, units=10), Wish(2, B, units=25), Wish(3, C, units=0)])
    assert [(row.units, row.after.allocated_units, row.after.remaining_units) for row in made.rows] == [
        (-20, 10, 10),
        (5, 25, 20),
        (0, 0, 0),
    ]
    assert (made.after.remaining_units, made.given_units, made.taken_back_units) == (65, 5, 20)
    assert [move.receiver for move in made.moves] == [A, B]


def test_what_is_taken_back_can_be_given_in_the_same_act():
    known = holdings(holding(A, 30), holding(B))
    made = plan(source(0), known, [Wish(1, B, units=30), Wish(2, A, units=0)])
    assert made.after.remaining_units == 0


def test_nobody_falls_below_what_is_in_use():
    known = holdings(holding(A, 30, 12))
    assert refused(source(), known, [Wish(1, A, units=17)]) == [(1, "in_use")]
    assert plan(source(), known, [Wish(1, A, units=18)]).rows[0].after.remaining_units == 0


def test_the_row_with_which_the_source_runs_out_is_named():
    wishes = [Wish(4, A, Act.GIVE, 60), Wish(5, B, Act.GIVE, 40), Wish(6, C, Act.GIVE, 1)]
    assert refused(source(), holdings(), wishes) == [(6, "not_enough")]


@pytest.mark.parametrize(
    ("wishes", "problems"),
    [
        ([Wish(1, A, units=1), Wish(2, A, units=2)], [(2, "twice")]),
        ([Wish(1, ("account", 99), units=1)], [(1, "not_below")]),
        ([Wish(1, A, percent_hundredths=6000), Wish(2, B, percent_hundredths=4001)], [(2, "over_100_percent")]),
        ([Wish(1, A, units=5, expects_units=3)], [(1, "changed")]),
        ([Wish(1, A, Act.TAKE_BACK, 1), Wish(2, ("account", 99), units=1)], [(1, "in_use"), (2, "not_below")]),
    ],
)
def test_what_cannot_be_is_named_by_row(wishes, problems):
    assert refused(source(), holdings(), wishes) == problems


def test_who_is_closed_may_give_back_but_not_receive():
    known = holdings(holding(A, 10, is_open=False))
    assert refused(source(), known, [Wish(1, A, units=11)]) == [(1, "closed")]
    assert plan(source(), known, [Wish(1, A, units=0)]).rows[0].units == -10


def test_nobody_without_history_shares_by_it():
    wishes = [Wish(1, A, weight=0), Wish(2, B, weight=0)]
    assert refused(source(), holdings(), wishes, shared_units=10) == [(1, "no_history")]


@given(st.integers(0, 2**56), st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_shares_sum_to_what_is_shared(units, weights):
    receivers = [("line", number) for number in range(len(weights))]
    wishes = [Wish(n, r, Act.GIVE, weight=w) for n, (r, w) in enumerate(zip(receivers, weights, strict=True))]
    known = {receiver: holding(receiver) for receiver in receivers}
    if not sum(weights):
        assert refused(source(units, units), known, wishes, shared_units=units)
        return
    made = plan(source(units, units), known, wishes, shared_units=units)
    assert made.given_units == units
    total = sum(weights)
    assert all(
        abs(row.units - units * w / total) < 1 + units / 2**50 for row, w in zip(made.rows, weights, strict=True)
    )


@given(st.integers(0, 2**56), st.lists(st.integers(1, 2_500), min_size=4, max_size=4))
def test_percentages_that_make_a_whole_give_the_whole(held, parts):
    rest = WHOLE - sum(parts)
    receivers = [("line", number) for number in range(5)]
    wishes = [Wish(n, r, percent_hundredths=p) for n, (r, p) in enumerate(zip(receivers, [*parts, rest], strict=True))]
    made = plan(source(held, held), {r: holding(r) for r in receivers}, wishes)
    assert made.given_units == held


@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.sampled_from(Act), st.integers(0, 80)), max_size=8),
)
def test_a_plan_moves_units_and_makes_none(free, rows):
    known = {("line", n): holding(("line", n), used + left, left) for n, (used, left, _, _) in enumerate(rows)}
    wishes = [Wish(n, ("line", n), act, units) for n, (_, _, act, units) in enumerate(rows)]
    held = free + sum(used + left for used, left, _, _ in rows)
    try:
        made = plan(source(free, held), known, wishes)
    except PlanRefused:
        return
    before = free + sum(row.before.remaining_units for row in made.rows)
    assert made.after.remaining_units + sum(row.after.remaining_units for row in made.rows) == before
    assert made.after.remaining_units >= 0
    assert all(row.after.remaining_units >= 0 for row in made.rows)


def test_undoing_takes_back_what_is_unused_and_gives_again_what_there_is():
    known = holdings(holding(A, 30, 10), holding(B, 5))
    wishes = undoing([(A, 25), (B, -20)], source(3), known)
    assert [(w.receiver, w.act, w.units) for w in wishes] == [(A, Act.TAKE_BACK, 10), (B, Act.GIVE, 13)]
