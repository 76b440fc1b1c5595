"""Windows of limits: civil weeks, and any 24 hours, also where usage came late."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from policies import windows
from policies.windows import SLOTS

BERLIN = ZoneInfo("Europe/Berlin")


def test_a_week_is_civil_from_monday_and_an_hour_shorter_in_march() -> None:
    week = windows.week_of(datetime(2026, 3, 29, 12, tzinfo=UTC), BERLIN)
    assert week.starts_at == datetime(2026, 3, 22, 23, tzinfo=UTC)
    assert week.ends_at - week.starts_at == timedelta(days=7, hours=-1)


def test_a_slot_begins_with_its_quarter_of_an_hour() -> None:
    slot = windows.slot_of(datetime(2026, 3, 15, 12, 44, 59, tzinfo=UTC))
    assert slot.starts_at == datetime(2026, 3, 15, 12, 30, tzinfo=UTC)
    assert windows.slot_start(windows.slot_number(slot.starts_at)) == slot.starts_at


@given(st.dictionaries(st.integers(0, 400), st.integers(0, 50), max_size=12), st.integers(0, 400))
def test_the_fullest_window_is_the_greatest_of_all_that_hold_the_slot(slots: dict[int, int], slot: int) -> None:
    sums = [
        sum(used for number, used in slots.items() if end - SLOTS + 1 <= number <= end)
        for end in range(slot, slot + SLOTS)
    ]
    assert windows.fullest(slots, slot) == max(sums)
