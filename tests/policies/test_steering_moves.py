"""What a draft of who pays would move: sums that are exact for the company's own usage, and veiled for people's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.steering.moves import DAYS_LEAST, LISTED_MOST, Freed, Leaving, Moves, Rated, fives, freed, two_digits

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def leaving(usage: int, saved: int = 100, person: int | None = 1, tariff: int | None = 30, **said) -> Leaving:
    values = {"line_id": 7, "account_id": 3, "service": 1, "units": 4, "of_units": 10, **said}
    return Leaving(usage, NOW, person_id=person, freed=Freed(saved, 1), tariff_micros=tariff, **values)


def coming(moves: Moves, people: list[int], units: int = 10, days: int = 90) -> dict:
    for person in people:
        moves.come(service=1, person_id=person, units=units, value_micros=units * 7)
    return moves.as_data(days=days)["coming"][0]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (10, Freed(0, 0)), (8, Freed(0, 0)), (7, Freed(200, 0)), (5, Freed(600, 0)), (4, Freed(600, 1)),
        (0, Freed(600, 5)),
    ],
)  # fmt: skip
def test_what_was_refused_goes_first_then_overage_then_what_allowances_covered(left: int, expected: Freed):
    """Of 10 units 8 were granted, of which 3 were overage at 200 a unit."""
    assert freed(Rated(8, 3, 600, 200, 1), 10, left) == expected


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 150))
def test_no_more_is_freed_than_there_was(covered: int, overage: int, refused: int, left: int):
    rated = Rated(covered + overage, overage, overage * 30, 30, 1)
    found = freed(rated, covered + overage + refused, left)
    assert 0 <= found.saved_micros <= rated.amount_micros
    assert 0 <= found.returned_units <= covered


def test_sums_are_by_account_and_by_line_and_person():
    moves = Moves()
    for usage, person, account in ((1, 1, 3), (2, 1, 3), (3, 2, 4)):
        moves.leave(leaving(usage, person=person, account_id=account))
    data = moves.as_data(days=90)
    assert data["leaving"] == {
        "events": 3, "units": {"data": 12}, "returned_units": {"data": 3}, "saved_micros": 300,
    }  # fmt: skip
    assert [(row["account"], row["events"]) for row in data["accounts"]] == [(3, 2), (4, 1)]
    assert [(row["person"], row["saved_micros"]) for row in data["people"]] == [(1, 200), (2, 100)]


def test_the_dearest_events_are_listed_and_memory_is_bounded():
    moves = Moves()
    for usage in range(LISTED_MOST + 50):
        moves.leave(leaving(usage, saved=usage))
    listed = moves.as_data(days=90)["listed"]
    assert [row["usage"] for row in listed] == list(range(LISTED_MOST + 49, 49, -1))


@pytest.mark.parametrize(
    ("people", "days"), [([], 90), ([1], 90), ([1, 2, 3, 4], 90), ([1] * 50, 90), ([1, 2, 3, 4, 5], DAYS_LEAST - 1)]
)
def test_of_whom_somebody_called_nothing_and_too_little_look_the_same(people: list[int], days: int):
    """A draft that names a number, and a person, asks for digits that are masked."""
    moves = Moves()
    for usage, person in enumerate(people):
        moves.leave(leaving(usage, person=person))
    assert moves.as_data(days=days, asks_numbers=True) == Moves().as_data(days=days, asks_numbers=True)


def test_of_whom_many_called_rounded_sums_are_told_and_no_account_is_what_the_others_lack():
    moves = Moves()
    for usage in range(23):
        moves.leave(leaving(usage, saved=111, person=usage % 8 + 1, account_id=3 + usage % 2, tariff=None))
    moves.leave(leaving(99, person=9, account_id=5))
    data = moves.as_data(days=90, asks_numbers=True)
    assert data["leaving"] == {
        "events": 25, "units": {"data": 96}, "returned_units": {"data": 24}, "saved_micros": 2700,
    }  # fmt: skip
    assert data["accounts"] == []
    assert (data["people"], data["people_count"], data["listed"]) == (None, None, None)
    assert data["tariff"] == {"events": None, "unpriced_events": None, "micros": None}


def test_accounts_of_many_people_are_told_although_rules_ask_whom_somebody_called():
    moves = Moves()
    for usage in range(27):
        moves.leave(leaving(usage, person=usage + 1, account_id=3 + usage % 2))
    rows = moves.as_data(days=90, asks_numbers=True)["accounts"]
    assert [(row["account"], row["events"], row["saved_micros"]) for row in rows] == [(3, 15, 1400), (4, 15, 1300)]


def test_what_people_have_is_told_of_many_only_and_rounded():
    assert coming(Moves(), [1, 2, 3, 4, 5, 6, 6], units=123) == {
        "service": "data", "records": 5, "units": 860, "value_micros": 6000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("people", "days"), [([], 90), ([1], 90), ([1, 2, 3, 4], 90), ([1] * 50, 90), ([1, 2, 3, 4, 5], DAYS_LEAST - 1)]
)
def test_nothing_and_too_little_look_the_same(people: list[int], days: int):
    """So that nobody learns whether a person called a number by drafting a rule about it."""
    nothing = {"service": "data", "records": None, "units": None, "value_micros": None}
    assert coming(Moves(), people, days=days) == nothing


def test_nothing_is_told_where_somebody_has_most_of_it():
    """Else it would be told of them, about."""
    crowd = [1, 2, 3, 4, 5]
    assert coming(Moves(), [*crowd, *[6] * 5])["records"] == 10
    assert coming(Moves(), [*crowd, *[6] * 6])["records"] is None
    one_is_large = Moves()
    one_is_large.come(service=1, person_id=6, units=51, value_micros=1)
    assert coming(one_is_large, crowd)["units"] is None
    one_is_half = Moves()
    one_is_half.come(service=1, person_id=6, units=50, value_micros=1)
    assert coming(one_is_half, crowd)["units"] == 100


@pytest.mark.parametrize("asks", ["asks_numbers", "names_one"])
def test_nothing_is_told_of_people_where_rules_could_put_one_of_them_among_decoys(asks: str):
    moves = Moves()
    coming(moves, list(range(1, 30)))
    told = moves.as_data(days=90, **{asks: True})
    assert told["coming"] == Moves().as_data(days=90)["coming"]
    assert told["coming_is_withheld"]


def test_lines_that_nobody_is_known_to_use_are_no_crowd():
    moves = Moves()
    for usage in range(20):
        moves.leave(leaving(usage, person=None, line_id=usage))
    moves.leave(leaving(20, person=1))
    assert moves.as_data(days=90, asks_numbers=True) == Moves().as_data(days=90, asks_numbers=True)


def test_what_people_would_pay_is_told_of_many_only():
    few, many = Moves(), Moves()
    for person in range(1, 5):
        few.leave(leaving(person, person=person))
    for person in range(1, 6):
        many.leave(leaving(person, person=person, tariff=33))
    many.leave(leaving(9, person=9, tariff=None))
    assert few.as_data(days=90)["tariff"] == {"events": 4, "unpriced_events": 0, "micros": None}
    assert many.as_data(days=90)["tariff"] == {"events": 5, "unpriced_events": 1, "micros": 170}


@given(st.integers(0, 10**15))
def test_rounded_figures_keep_two_digits_and_counts_go_by_fives(amount: int):
    rounded = two_digits(amount)
    assert abs(rounded - amount) * 20 <= max(amount, 1)
    assert not str(rounded)[2:].strip("0")
    assert fives(amount) % 5 == 0
    assert abs(fives(amount) - amount) <= 2
