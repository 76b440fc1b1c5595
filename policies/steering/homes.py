"""Where lines are at home: the clock and the public holidays of accounts. The only writer of AccountHome.

Owns: which home an account has, from which time of use on, as it was known at each charge; who has none is at home
where the account above is, and the top account where the contract is. Rules of who pays read it as the clock `home`;
cycles, budgets' periods, tariffs and limits go by the contract's. A home may begin in the past, for usage that is
charged later; what was charged already stays. Who may say it (`may_set`), as rules that are fixed above are read off
these clocks, too. Each function that writes opens its own transaction under the enterprise's lock; a trigger raises the
configuration version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from balances import audit, locks, masking
from balances.errors import Refused
from balances.models import Account, ChargingState
from balances.scope import Scope, Verb
from balances.selectors.terms import terms_at
from policies.conditions.calendars import is_calendar
from policies.conditions.fields import Home
from policies.models import AccountHome

#: Homes of one account, and of an enterprise, that are kept at once.
HOMES_MOST, ENTERPRISE_MOST = 100, 20_000


class HomeRefused(Refused):
    """A home that cannot be."""


@dataclass(frozen=True, slots=True)
class HomeAt:
    """Where an account is at home at a time. `account`: whose home it is, None: the contract's clock."""

    account: Account | None
    time_zone: str
    holiday_calendar: str
    since: datetime | None


def home_of(row: AccountHome) -> Home | None:
    """What a row says; None: no home of its own."""
    if not row.time_zone:
        return None
    return Home(ZoneInfo(row.time_zone), row.holiday_calendar or masking.country_of_zone(row.time_zone))


def may_set(scope: Scope, account: Account) -> bool:
    """Whether the holder of a scope may set and remove homes of an account: whoever manages the whole enterprise.

    Not who manages a part of it: a rule that is fixed above would be read off a clock of their choice.
    """
    return account.enterprise_id in scope.whole_enterprise_ids(Verb.MANAGE)


def set_home(
    *,
    account: Account,
    time_zone: str,
    holiday_calendar: str = "",
    effective_at: datetime | None = None,
    actor: str,
    at: datetime,
) -> AccountHome:
    """Say where an account and all below are at home, from a time of use on (now, where none is given).

    `time_zone` "": no longer a home of its own. `holiday_calendar` "": the country of the zone. What was said of the
    same second is replaced. Raises HomeRefused, Busy.
    """
    time_zone, calendar = time_zone.strip(), holiday_calendar.strip().upper()
    if time_zone and time_zone not in available_timezones():
        raise HomeRefused(f"“{time_zone[:40]}” is no time zone: write it like Europe/Lisbon.", field="time_zone")
    if calendar and not is_calendar(calendar):
        message = f"The holidays of “{calendar[:20]}” are not known: write a country, DE, or a part of it, DE-BY."
        raise HomeRefused(message, field="holiday_calendar")
    if calendar and not time_zone:
        raise HomeRefused("Public holidays without a time zone are no home: write it, too.", field="time_zone")
    since = (effective_at or at).replace(microsecond=0)  # sessions are cut to the second
    with locks.enterprise(account.enterprise_id):
        if not Account.objects.filter(id=account.id, closed_at__isnull=True).exists():
            raise HomeRefused("This account is closed.", field="account")
        standing = AccountHome.objects.filter(enterprise_id=account.enterprise_id, removed_at__isnull=True)
        mine = standing.filter(account=account)
        before = mine.filter(effective_at=since).first()
        if before is not None and (before.time_zone, before.holiday_calendar) == (time_zone, calendar):
            return before
        if before is None and mine.count() >= HOMES_MOST:
            raise HomeRefused(f"At most {HOMES_MOST} homes of one account are kept: remove past ones.")
        if before is None and standing.count() >= ENTERPRISE_MOST:
            raise HomeRefused(f"At most {ENTERPRISE_MOST:,} homes fit into an enterprise: remove past ones.")
        if before is not None:
            _remove(before, actor, at)
        home = AccountHome.objects.create(
            enterprise_id=account.enterprise_id, account=account, time_zone=time_zone, holiday_calendar=calendar,
            effective_at=since, added_sequence=_sequence(account.enterprise_id), added_at=at, added_by=actor,
        )  # fmt: skip
        _record(home, "home.set", actor, at)
        return home


def remove(*, home: AccountHome, actor: str, at: datetime) -> AccountHome:
    """Take back what was said of an instant: charges from now on know nothing of it. Raises HomeRefused, Busy."""
    with locks.enterprise(home.enterprise_id):
        known = AccountHome.objects.select_related("account").filter(id=home.id, enterprise_id=home.enterprise_id)
        found = known.filter(removed_at__isnull=True).first()
        if found is None:
            raise HomeRefused("This home is removed already.", field="home")
        _remove(found, actor, at)
        _record(found, "home.removed", actor, at)
        return found


def standing_at(account: Account, at: datetime) -> HomeAt:
    """Where lines of an account are at home at a time, by what is known now, and whose home that is."""
    chain = list(account.get_ancestors(ascending=True, include_self=True))
    rows = AccountHome.objects.filter(account__in=chain, removed_at__isnull=True, effective_at__lte=at)
    latest = {row.account_id: row for row in rows.order_by("effective_at")}
    for one in chain:
        row = latest.get(one.id)
        if row is not None and (home := home_of(row)) is not None:
            return HomeAt(one, row.time_zone, home.holidays, row.effective_at)
    return HomeAt(None, terms_at(account.enterprise_id, at).zone.key, "", None)


def _remove(home: AccountHome, actor: str, at: datetime) -> None:
    home.removed_at, home.removed_by, home.removed_sequence = at, actor, _sequence(home.enterprise_id)
    home.save(update_fields=["removed_at", "removed_by", "removed_sequence"])


def _sequence(enterprise_id: int) -> int:
    return ChargingState.objects.get(enterprise_id=enterprise_id).charge_sequence


def _record(home: AccountHome, action: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=home.enterprise_id,
        account_id=home.account_id,
        actor=actor,
        action=action,
        subject=home.account.name,
        detail={
            "time_zone": home.time_zone, "holidays": home.holiday_calendar, "from": home.effective_at.isoformat(),
        },
        at=at,
    )  # fmt: skip
