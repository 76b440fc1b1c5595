"""Public holidays of a country or a part of it, by year. Pure; the `holidays` package knows the calendars.

A country alone has the holidays that all of it keeps; those of a part ("DE-BY") are those and its own.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

import holidays

_CODE = re.compile(r"([A-Z]{2})(?:-([A-Z0-9]{1,4}))?")


def is_calendar(code: str) -> bool:
    """Whether the holidays of a country ("DE"), or of a part of it as ISO 3166-2 codes it ("DE-BY"), are known."""
    found = _CODE.fullmatch(code)
    if not found:
        return False
    parts = holidays.list_supported_countries().get(found[1])
    return parts is not None and (found[2] is None or found[2] in parts)


@lru_cache(maxsize=1024)
def public_holidays(code: str, year: int) -> frozenset[date] | None:
    """The public holidays of a year; None where the calendar, or that of the year, is not known."""
    if not is_calendar(code):
        return None
    country, _, part = code.partition("-")
    calendar = holidays.country_holidays(country, subdiv=part or None, expand=False)
    if not calendar.start_year <= year <= calendar.end_year:
        return None
    return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year, expand=False))


def is_holiday(code: str, day: date) -> bool | None:
    """Whether a civil day is a public holiday; None where the calendar is not known."""
    found = public_holidays(code, day.year)
    return None if found is None else day in found
