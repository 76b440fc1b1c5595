"""What a tariff asks: which version, allowances and price hold, and how many units the money pays for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances.personal_pricing import Included, Price, Tariff, Version, most_units, pay
from balances.units import MIB

PRICES = st.builds(
    Price, id=st.just(1), price_micros=st.integers(0, 10**7), block_units=st.sampled_from([1, 7, 60, MIB])
)


def version(number: int, begins: str) -> Version[str]:
    return Version(number, begins, {(1, None): Price(number, 10 * number, 1)}, ())


class TestMost:
    @given(PRICES, st.integers(0, 10**9))
    def test_is_what_the_money_pays_for_and_one_more_is_not(self, price: Price, micros: int) -> None:
        most = price.most(micros)
        if most is None:
            assert price.of(10**15) == 0
        else:
            assert price.of(most) <= micros < price.of(most + 1)

    def test_an_empty_purse_still_pays_for_what_rounds_to_nothing(self) -> None:
        price = Price(1, 4_000, MIB)  # 0.0038 micros an octet
        assert price.most(0) == 131
        assert (price.of(131), price.of(132)) == (0, 1)

    @given(PRICES, st.integers(0, 10**6), st.integers(-1, 10**8))
    def test_by_any_value_is_the_same_as_by_price(self, price: Price, units: int, micros: int) -> None:
        found = most_units(units, micros, price.of)
        if micros < 0:
            assert found == 0
        else:
            most = price.most(micros)
            assert found == (units if most is None else min(units, most))


class TestPay:
    @given(
        st.integers(0, 10**6), st.lists(st.integers(0, 10**6), max_size=3), st.one_of(st.none(), PRICES),
        st.integers(0, 10**7),
    )  # fmt: skip
    def test_units_are_drawn_priced_or_left_and_never_more_than_there_is(
        self, units: int, free: list[int], price: Price | None, money: int
    ) -> None:
        paid = pay(units, free, price, money)
        assert sum(paid.draws) + paid.priced_units + paid.rest == units
        assert all(0 <= drawn <= available for drawn, available in zip(paid.draws, free, strict=True))
        assert 0 <= paid.micros <= money
        if paid.priced_units or paid.rest:
            assert list(paid.draws) == free  # money is asked when the allowances are used up

    def test_goes_through_allowances_in_their_order_then_the_price(self) -> None:
        paid = pay(100, [30, 50], Price(1, 5, 1), 60)
        assert (paid.draws, paid.priced_units, paid.micros, paid.rest) == ((30, 50), 12, 60, 8)


class TestTariff:
    tariff = Tariff(1, (version(1, "2026-01"), version(2, "2026-03-15")))

    @pytest.mark.parametrize(
        ("instant", "number"), [("2025-12", None), ("2026-01", 1), ("2026-03-14", 1), ("2026-03-15", 2)]
    )
    def test_prices_are_those_of_the_version_that_holds(self, instant: str, number: int | None) -> None:
        found = self.tariff.at(instant)
        assert (found and found.id) == number

    @pytest.mark.parametrize(
        ("starts", "ends", "accepted", "number"),
        [
            ("2026-03", "2026-04", "2026-02", 1),  # a month keeps what it began with
            ("2026-04", "2026-05", "2026-02", 2),
            ("2026-03", "2026-04", "2026-03-20", 2),  # it began when the account was accepted
            ("2026-02", "2026-03", "2026-03-20", 1),  # usage from before: of its own month
            ("2025-12", "2026-01", "2026-03-20", None),
            ("2025-12", "2026-01-02", "2025-12", 1),  # the first version begins within the month
        ],
    )
    def test_allowances_are_those_of_the_version_that_the_month_began_with(
        self, starts: str, ends: str, accepted: str, number: int | None
    ) -> None:
        found = self.tariff.of_month(starts, ends, accepted)
        assert (found and found.id) == number

    def test_a_zone_has_its_own_price_or_that_of_all_others(self) -> None:
        held = Version(1, "", {(1, None): Price(1, 5, 1), (1, 9): Price(2, 50, 1), (2, 9): Price(3, 1, 1)}, ())
        found = [held.price(1, 9), held.price(1, 8), held.price(2, 9), held.price(2, 8)]
        assert [price and price.id for price in found] == [2, 1, 3, None]

    def test_allowances_cover_their_service_in_their_zones(self) -> None:
        everywhere, here = Included(1, 1, frozenset(), 5), Included(2, 1, frozenset({9}), 5)
        held = Version(1, "", {}, (everywhere, here))
        assert held.covering(1, 9) == [everywhere, here]
        assert held.covering(1, 8) == [everywhere]
        assert held.covering(2, 9) == []
