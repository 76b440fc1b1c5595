"""Contests in words: where one stands, and what of its record managers are shown. Pure formats, for screens."""

from __future__ import annotations

from datetime import date

from babel import Locale

from balances.models import SuspendedUsage
from balances.models.usage import SuspenseState
from balances.units import SERVICES_BY_NAME
from portal import figures
from portal.models import Contest, ContestState

#: What a person may show of a record, as the form asks.
LABELS = {
    "service": "What it was (call, message, data)",
    "day": "The day",
    "units": "How much",
    "time": "The time of day",
    "country": "The country",
    "amount": "What I paid",
    "number": "The other number",
}
_BADGES = {
    ContestState.OPEN: ("watch", "clock", "Objected, not decided yet"),
    ContestState.UPHELD: ("info", "clock", "Upheld, the correction is on its way"),
    ContestState.CORRECTED: ("ok", "check", "Upheld and given back"),
    ContestState.DECLINED: ("near", "x", "Declined"),
}


def badge(contest: Contest) -> tuple[str, str, str]:
    """Colour, icon and words of its state."""
    return _BADGES[ContestState(contest.state)]


def stands(contest: Contest, waiting: SuspendedUsage | None, currency: str) -> str:
    """What happens next, or has happened, in a sentence."""
    if contest.state == ContestState.OPEN:
        return "Whoever manages the cost centre decides it."
    if contest.state == ContestState.DECLINED:
        return "It stays as it was charged."
    if contest.state == ContestState.CORRECTED:
        back = contest.refunded_micros or 0
        return f"The company pays it; {figures.money(back, currency)} came back to the personal account."
    if waiting is None:
        return "The company is being charged; what it cost the person comes back with that."
    if waiting.state == SuspenseState.WRITTEN_OFF:
        return "The correction could not be charged and was given up: ask the mobile operator."
    return "The correction could not be charged to the company yet. It waits in suspense and nothing is lost."


def shown(contest: Contest) -> list[tuple[str, str]]:
    """What the person lets managers see, by label."""
    said, found = contest.disclosed, []
    service = SERVICES_BY_NAME.get(said.get("service", ""))
    if service is not None:
        found.append(("What", figures.SERVICE_WORDS[service]))
    if "day" in said:
        found.append(("Day", figures.civil_day(date.fromisoformat(said["day"]))))
    if "time" in said:
        found.append(("Time", said["time"]))
    if "units" in said:
        much = figures.quantity(said["units"], service) if service is not None else figures.count(said["units"])
        found.append(("How much", much))
    if "country" in said:
        found.append(("Where", Locale("en").territories.get(said["country"], said["country"])))
    if "amount" in said:
        found.append(("Paid", figures.money(said["amount"]["micros"], said["amount"]["currency"])))
    if "number" in said:
        found.append(("With", said["number"]))
    return found
