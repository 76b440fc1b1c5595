"""Figures are written in one way everywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from balances.pace import Estimate, Outlook
from balances.selectors.overview import Fill, fill_of, used_percent
from balances.units import GIB, KIB, MIB, Service
from portal import figures

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("units", "service", "words"),
    [
        (0, Service.DATA, "0 B"),
        (1023, Service.DATA, "1023 B"),
        (KIB, Service.DATA, "1 KiB"),
        (1536 * MIB, Service.DATA, "1.5 GiB"),
        (412 * GIB, Service.DATA, "412 GiB"),
        (2048 * GIB, Service.DATA, "2 TiB"),
        (0, Service.VOICE, "0 min"),
        (125, Service.VOICE, "2:05 min"),
        (600, Service.VOICE, "10 min"),
        (60_000_000, Service.VOICE, "1,000,000 min"),
        (1, Service.MESSAGING, "1 message"),
        (12_345, Service.MESSAGING, "12,345 messages"),
        (1800, Service.VIDEO_CONFERENCING, "30 min"),
        (36_000, Service.VIDEO_CONFERENCING, "10 h"),
    ],
)
def test_quantities(units, service, words):
    assert figures.quantity(units, service).replace(figures.NARROW_SPACE, " ") == words


@pytest.mark.parametrize(
    ("micros", "currency", "words"),
    [
        (0, "EUR", "€0.00"),
        (1_269_531, "EUR", "€1.27"),
        (12_283_620_000, "EUR", "€12,283.62"),
        (4_000, "EUR", "<€0.01"),
        (1_500_000, "JPY", "JP¥2"),
    ],
)
def test_money(micros, currency, words):
    assert figures.money(micros, currency) == words


def test_exact_money_keeps_every_digit():
    assert figures.exact_money(7_697_467, "EUR") == "€7.697467"
    assert figures.exact_money(7_000_000, "EUR") == "€7.00"


def test_times_are_in_the_contracts_zone():
    assert figures.clock(NOW, BERLIN) == "13:00:00"
    assert figures.short_moment(NOW - timedelta(hours=1), BERLIN, NOW) == "12:00:00"
    assert figures.short_moment(NOW - timedelta(days=1), BERLIN, NOW) == "22 Nov, 13:00"


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=-5), "0 s ago"),
        (timedelta(seconds=3), "3 s ago"),
        (timedelta(minutes=12), "12 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=9), "9 days ago"),
    ],
)
def test_how_long_ago(passed, words):
    assert figures.ago(NOW - passed, NOW).replace(figures.NARROW_SPACE, " ") == words


def test_the_run_out_is_a_day_and_how_early_it_is():
    ends_at = datetime(2026, 11, 30, 23, tzinfo=UTC)
    later = Estimate(Outlook.RUNS_OUT, 1, datetime(2026, 11, 26, 9, tzinfo=UTC))
    assert figures.outlook(later, ends_at, BERLIN, NOW) == "At this pace it runs out Thu 26 Nov, 5 days early."
    today = Estimate(Outlook.RUNS_OUT, 1, datetime(2026, 11, 23, 16, 30, tzinfo=UTC))
    assert figures.outlook(today, ends_at, BERLIN, NOW) == "At this pace it runs out Mon 23 Nov at 17:30."


@pytest.mark.parametrize(
    ("held", "remaining", "overage", "fill"),
    [
        (0, 0, 0, Fill.NONE),
        (0, 0, 5, Fill.OVER),
        (100, 100, 0, Fill.OK),
        (100, 26, 0, Fill.OK),
        (100, 25, 0, Fill.WATCH),
        (100, 10, 0, Fill.NEAR),
        (1000, 1, 0, Fill.NEAR),
        (100, 0, 0, Fill.USED_UP),
        (100, 0, 1, Fill.OVER),
        (100, 60, 5, Fill.OK),
    ],
)
def test_exactly_everything_is_used_up_and_only_more_is_over(held, remaining, overage, fill):
    assert fill_of(held, remaining, overage) == fill


def test_percent_of_nothing_is_zero_and_hundred_means_all():
    assert used_percent(0, 0) == 0
    assert used_percent(1000, 1) == 99
    assert used_percent(1000, 0) == 100


def test_numbers_are_written_internationally():
    assert figures.msisdn("491701234567") == "+49 170 1234567"
    assert figures.msisdn("1") == "+1"
