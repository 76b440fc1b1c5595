"""Where an account is at home, on the page on which it is managed: what holds and whose that is, set and taken back.

Set and taken back by whoever manages the whole enterprise; the others only see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import available_timezones

from django import forms
from django.shortcuts import get_object_or_404

from balances.models import Account
from balances.scope import Scope, Verb
from policies.models import AccountHome
from policies.steering import homes
from portal.web.forms import CivilTimeField, PortalForm

_CONTINENTS = frozenset(
    {"Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}
)


class HomeForm(PortalForm):
    """A home, from a time on."""

    action = "home"

    time_zone = forms.CharField(
        label="Time zone",
        max_length=40,
        required=False,
        help_text="Such as Europe/Lisbon. Empty: that of the account above.",
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
    )
    holiday_calendar = forms.CharField(
        label="Public holidays of",
        max_length=8,
        required=False,
        help_text="PT, or a part of a country, DE-BY. Empty: the country of the zone.",
    )
    effective_at = CivilTimeField(
        label="For usage from",
        required=False,
        help_text="Empty: now. It may be past: what is charged later follows it.",
    )


@dataclass(frozen=True, slots=True)
class ShownHome:
    """Where an account is at home now. `of`: whose home that is, in words; `rows`: what was said of it itself.

    `may_set`: whether the reader sets and takes back.
    """

    time_zone: str
    holiday_calendar: str
    of: str
    since: datetime | None
    rows: list[AccountHome]
    may_set: bool


def shown(scope: Scope, account: Account, at: datetime) -> ShownHome:
    """What holds now, and what was said of this account, latest first."""
    found = homes.standing_at(account, at)
    if found.account is None:
        of = "the contract's"
    elif found.account == account:
        of = "set here"
    elif scope.allows(Verb.VIEW, enterprise_id=account.enterprise_id, account_id=found.account.id):
        of = f"of {found.account.name}"
    else:
        of = "from above your reach"
    rows = AccountHome.objects.within(scope).filter(account=account, removed_at=None).order_by("-effective_at")
    return ShownHome(
        found.time_zone, found.holiday_calendar, of, found.since, list(rows[: homes.HOMES_MOST]),
        homes.may_set(scope, account),
    )  # fmt: skip


def write(account: Account, values: dict, doing: dict) -> str:
    """Set what was typed. Raises Refused."""
    made = homes.set_home(account=account, **values, **doing)
    where = f"at home in {made.time_zone}" if made.time_zone else "at home where the account above is"
    return f"“{account.name}” is {where}, for charges from now on."


def remove(account: Account, home_id: int, doing: dict) -> str:
    """Take one back. Raises Refused."""
    homes.remove(home=get_object_or_404(AccountHome, id=home_id, account=account, removed_at=None), **doing)
    return "The home is taken back, for charges from now on."


def time_zones() -> list[str]:
    """Those to choose from: of places."""
    return sorted(name for name in available_timezones() if name.split("/")[0] in _CONTINENTS)
