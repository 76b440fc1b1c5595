"""When a limit begins anew: its periods, in civil time of the contract's zone. Pure: no Django, reads no clock.

A sliding window of 24 hours is kept in slots of a quarter of an hour. The window of an instant is the 96 slots before
its own, and its own: nothing younger than 24 hours is left out, nothing older than 24 h 15 min counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from balances.periods import Period, cycle_of, day_of, midnight

SLOT = timedelta(minutes=15)
#: Slots of a sliding window, the one under way included.
SLOTS = 97
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


def week_of(instant: datetime, zone: ZoneInfo) -> Period:
    """The civil week, from Monday, that holds an instant."""
    today = instant.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    return Period(midnight(monday, zone), midnight(monday + timedelta(days=7), zone))


def slot_of(instant: datetime) -> Period:
    """The quarter of an hour that holds an instant; aligned in every time zone."""
    start = datetime.fromtimestamp(int(instant.timestamp()) // 900 * 900, UTC)
    return Period(start, start + SLOT)


def period_of(window: str, instant: datetime, zone: ZoneInfo, anchor_day: int, counts_from: datetime) -> Period:
    """The period of a window that holds an instant; of a sliding one its slot, of a lifetime all from `counts_from`."""
    if window == "day":
        return day_of(instant, zone)
    if window == "week":
        return week_of(instant, zone)
    if window == "cycle":
        return cycle_of(instant, zone, anchor_day)
    if window == "sliding_24h":
        return slot_of(instant)
    return Period(counts_from, FOREVER)


def fullest(slots: Mapping[int, int], slot: int) -> int:
    """The use of the fullest sliding window that holds a slot: units added there come on top of it.

    Slots are numbered (`slot_number`). Usage may come late, so windows that end after the slot count as well as the one
    that ends with it.
    """
    reach = SLOTS - 1
    near = sorted(number for number in slots if slot - reach <= number <= slot + reach)
    most, oldest, running = 0, 0, 0
    for place, number in enumerate(near):
        if number > slot and place and near[place - 1] <= slot:
            most = running  # the window that ends with the slot
        running += slots[number]
        while near[oldest] < number - reach:
            running -= slots[near[oldest]]
            oldest += 1
        if number >= slot:
            most = max(most, running)
    return most if near and near[-1] >= slot else running


def slot_number(instant: datetime) -> int:
    """The number of the slot that holds an instant."""
    return int(instant.timestamp()) // 900


def slot_start(number: int) -> datetime:
    """When a slot begins."""
    return datetime.fromtimestamp(number * 900, UTC)
