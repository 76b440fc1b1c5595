"""Whose public holidays rules of who pays mean: the only writer of an enterprise's calendar.

Owns: the calendar that was set, and the one that holds where none was: that of the country of the contract in force,
else of the home network. It holds from the next charge on; what was charged already stays.
"""

from __future__ import annotations

from datetime import datetime

from balances import audit, locks, masking
from balances.errors import Refused
from balances.models import Enterprise
from policies.conditions.calendars import is_calendar
from policies.steering.outcomes import BEGINNING


class HolidaysRefused(Refused):
    """A calendar that nobody knows."""


def set_calendar(*, enterprise: Enterprise, calendar: str, actor: str, at: datetime) -> Enterprise:
    """Say whose public holidays are meant: "DE", "DE-BY"; "": those of the contract's country.

    Opens its own transaction under the enterprise's lock; a trigger raises the configuration version.
    Raises HolidaysRefused, Busy.
    """
    calendar = calendar.strip().upper()
    if calendar and not is_calendar(calendar):
        message = f"The holidays of “{calendar[:20]}” are not known: write a country, DE, or a part of it, DE-BY."
        raise HolidaysRefused(message, field="holiday_calendar")
    with locks.enterprise(enterprise.id):
        known = Enterprise.objects.get(id=enterprise.id)
        before = known.holiday_calendar
        if before == calendar:
            return known
        known.holiday_calendar = calendar
        known.save(update_fields=["holiday_calendar"])
        audit.record(
            enterprise_id=known.id,
            actor=actor,
            action="enterprise.holidays_set",
            subject=known.name,
            detail={"from": before, "to": calendar},
            at=at,
        )
        return known


def calendars_of(enterprise_id: int, home_country: str) -> tuple[tuple[datetime, str], ...]:
    """The calendars that hold, since when, in order; each may be one that nobody knows."""
    chosen = Enterprise.objects.values_list("holiday_calendar", flat=True).get(id=enterprise_id)
    if chosen:
        return ((BEGINNING, chosen),)
    by_contract = masking.countries_of([enterprise_id]).get(enterprise_id, [])
    return tuple((since, country or home_country) for since, country in by_contract) or ((BEGINNING, home_country),)
