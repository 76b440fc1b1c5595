"""Rounding, splitting and pricing: integers in, integers out, nothing lost on the way."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances.units import (
    LARGEST_UNITS,
    MIB,
    SERVICE_NAMES,
    SERVICES_BY_NAME,
    UNIT_NAMES,
    Service,
    micros_to_minor,
    price_micros,
    round_up,
    split_in_proportion,
)

quantities = st.integers(0, LARGEST_UNITS)
weights = st.lists(st.integers(0, 10**15), min_size=1, max_size=12)


def test_every_service_has_a_name_and_a_unit():
    assert set(SERVICE_NAMES) == set(UNIT_NAMES) == set(Service)
    assert {name: Service(code) for code, name in SERVICE_NAMES.items()} == SERVICES_BY_NAME


@pytest.mark.parametrize(
    ("units", "increment", "minimum", "wanted"),
    [
        (0, 60, 60, 0),
        (1, 60, 0, 60),
        (60, 60, 0, 60),
        (61, 60, 0, 120),
        (1, 1, 30, 30),
        (31, 1, 30, 31),
        (1, 7, 10, 14),  # the minimum is rounded as well
        (-5, 60, 60, 0),
    ],
)
def test_units_are_rounded_up_to_increments_and_the_minimum(units, increment, minimum, wanted):
    assert round_up(units, increment, minimum) == wanted


@given(quantities, st.integers(1, 10**9), st.integers(0, 10**9))
def test_rounding_adds_less_than_an_increment_beyond_the_minimum(units, increment, minimum):
    rounded = round_up(units, increment, minimum)
    assert rounded % increment == 0
    assert rounded >= units
    assert rounded < max(units, minimum) + increment
    assert (rounded == 0) == (units == 0)


@given(quantities, weights)
def test_parts_sum_to_the_whole_and_stray_less_than_one_unit(units, weights):
    parts = split_in_proportion(units, weights)
    assert sum(parts) == units
    assert len(parts) == len(weights)
    if total := sum(weights):
        assert all(abs(part - Fraction(units * w, total)) < 1 for part, w in zip(parts, weights, strict=True))
        assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)


@given(weights.filter(sum), st.data())
def test_nobody_gets_more_than_their_weight_of_less_than_the_total(weights, data):
    units = data.draw(st.integers(0, sum(weights)))
    assert all(p <= w for p, w in zip(split_in_proportion(units, weights), weights, strict=True))


def test_ties_go_to_the_earlier_part():
    assert split_in_proportion(10, [1, 1, 1]) == [4, 3, 3]
    assert split_in_proportion(2, [1, 1, 1]) == [1, 1, 0]


def test_without_weights_the_first_part_gets_all():
    assert split_in_proportion(5, [0, 0]) == [5, 0]


@pytest.mark.parametrize(
    ("units", "price", "block", "wanted"),
    [
        (MIB, 4_000, MIB, 4_000),
        (1024, 4_000, MIB, 4),  # 3.906
        (1, 1, 2, 1),  # a half goes up
        (1, 1, 3, 0),
        (2, 1, 3, 1),
        (0, 4_000, MIB, 0),
    ],
)
def test_prices_are_rounded_half_up_to_micros(units, price, block, wanted):
    assert price_micros(units, price, block) == wanted


@given(quantities, st.integers(0, 10**9), st.integers(1, 10**12))
def test_a_price_strays_half_a_micro_at_most(units, price, block):
    exact = Fraction(units * price, block)
    assert -Fraction(1, 2) < price_micros(units, price, block) - exact <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("micros", "digits", "minor"),
    [(14_999, 2, 1), (15_000, 2, 2), (-15_000, 2, -2), (1_500_000, 0, 2), (1_499_999, 0, 1), (0, 2, 0)],
)
def test_micros_become_minor_units_once_away_from_zero_at_halves(micros, digits, minor):
    assert micros_to_minor(micros, digits) == minor
