"""Amounts of money as people read them, wherever a sentence holds one: with the currency's sign, to the last micro."""

from __future__ import annotations

from decimal import Decimal

from babel.numbers import format_currency

from balances.units import MICROS_PER_MAJOR

LOCALE = "en_GB"
MINUS = "\u2212"


def exact_money(micros: int, currency: str, locale: str = LOCALE) -> str:
    """An amount with all six decimals that it has, at least two: €0.0005."""
    amount = Decimal(int(micros)) / MICROS_PER_MAJOR
    said = format_currency(amount, currency, format="¤#,##0.00####", locale=locale, currency_digits=False)
    return said.replace("-", MINUS)
