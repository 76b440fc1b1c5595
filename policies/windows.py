"""When a limit begins anew: its periods, in civil time of the contract's zone. Pure: no Django, reads no clock.

A sliding window of 24 hours is kept in slots of a quarter of an hour. The window of an instant is the 96 slots before
its own, and its own: nothing younger than 24 hours is left out, nothing older than 24 h 15 min counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def fullest(slots: Mapping[datetime, int], slot: datetime) -> int:
    """The use of the fullest sliding window that holds a slot: units added there come on top of it.

    Usage may come late, so windows that end after the slot count as well as the one that ends with it.
    """
    reach = SLOT * (SLOTS - 1)
    near = sorted(start for start in slots if slot - reach <= start <= slot + reach)
    ends: Iterable[datetime] = {slot, *(start for start in near if start > slot)}
    return max(sum(slots[start] for start in near if end - reach <= start <= end) for end in ends)
