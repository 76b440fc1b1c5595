"""Personal accounts of an enterprise's people: as the operator's staff runs them, and the little that managers see.

Owns: reading, at the wall (docs/byod.md). Staff reads accounts, sums and entries; of usage never a single event, nor
when it was: what was charged is told by the day. Managers read who has an accepted account, to ask the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import TruncDay

from balances.models import (
    Account,
    Enterprise,
    OpenPersonalUsage,
    OpenState,
    Person,
    PersonalAccount,
    PersonalEntry,
    PersonalEntryKind,
)
from balances.periods import cycle_of
from balances.scope import Scope, Verb
from balances.selectors import tree

#: Entries of a month that are shown, beside its usage by days.
ENTRIES_MOST = 500


class Show(StrEnum):
    """Which people a list holds."""

    ALL = "all"
    WITHOUT = "without"
    WAITING = "waiting"
    OPEN = "open"
    CLOSED = "closed"


class State(StrEnum):
    """Where an account stands in its life."""

    WAITING = "waiting"
    OPEN = "open"
    CLOSED = "closed"


def state_of(account: PersonalAccount) -> State:
    """Where an account stands now."""
    if account.closed_at is not None:
        return State.CLOSED
    return State.OPEN if account.accepted_at is not None else State.WAITING


def runs(scope: Scope, enterprise: Enterprise) -> bool:
    """Whether the principal is of the operator's staff that runs the personal accounts of an enterprise."""
    return enterprise.operator_id in scope.operator_ids and enterprise.id in scope.whole_enterprise_ids(Verb.ADMINISTER)


def accounts(scope: Scope) -> QuerySet[PersonalAccount]:
    """The accounts that the principal runs."""
    mine = PersonalAccount.objects.within(scope, Verb.ADMINISTER)
    return mine.select_related("person", "tariff", "enterprise__operator")


def account(scope: Scope, account_id: int) -> PersonalAccount:
    """One of them; raises PersonalAccount.DoesNotExist."""
    return accounts(scope).get(id=account_id)


def people(scope: Scope, top: Account, *, text: str = "", show: Show = Show.ALL) -> QuerySet[Person]:
    """People of a subtree whose accounts the principal runs, by name."""
    found = _people(scope, top, text)
    theirs = PersonalAccount.objects.within(scope, Verb.ADMINISTER).filter(person=OuterRef("pk"))
    going = Exists(theirs.filter(closed_at__isnull=True))
    match show:
        case Show.WITHOUT:
            return found.filter(~going)
        case Show.WAITING:
            return found.filter(Exists(theirs.filter(closed_at__isnull=True, accepted_at__isnull=True)))
        case Show.OPEN:
            return found.filter(Exists(theirs.filter(closed_at__isnull=True, accepted_at__isnull=False)))
        case Show.CLOSED:
            return found.filter(~going, Exists(theirs))
        case _:
            return found


def latest_of(scope: Scope, shown: list[Person]) -> dict[int, PersonalAccount]:
    """The account of each person of a page that was opened last: an open one where there is any."""
    mine = accounts(scope).filter(person__in=shown).order_by("opened_at", "id")
    return {account.person_id: account for account in mine}


def _people(scope: Scope, top: Account, text: str) -> QuerySet[Person]:
    found = Person.objects.within(scope, Verb.MANAGE).filter(tree.below(top, "account__")).select_related("account")
    if text:
        found = found.filter(Q(name__icontains=text) | Q(number__istartswith=text))
    return found.order_by("name", "id")


# --- what managers see -----------------------------------------------------------------------------------------------


def _accepted() -> Exists:
    """Past the wall on purpose: that a person has an accepted account, and nothing else of it."""
    theirs = PersonalAccount.objects.filter(person=OuterRef("pk"), closed_at__isnull=True, accepted_at__isnull=False)
    return Exists(theirs)


def accepted_count(scope: Scope, top: Account) -> tuple[int, int]:
    """How many people of a subtree have an accepted account, and how many people there are."""
    found = _people(scope, top, "").order_by()
    return found.filter(_accepted()).count(), found.count()


def without_accepted(scope: Scope, top: Account, *, text: str = "") -> QuerySet[Person]:
    """People of a subtree who have none: those whom a manager may ask."""
    return _people(scope, top, text).filter(~_accepted())


# --- one account -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OnCredit:
    """What a person has on credit of a service for one reason: sums only. `value_micros`: at the company's rates."""

    service: int
    reason: str
    rows: int
    units: int
    value_micros: int
    ids: list[int]


def on_credit(scope: Scope, account: PersonalAccount, *, verb: Verb = Verb.ADMINISTER) -> list[OnCredit]:
    """What the person of an account has on credit, in sums."""
    rows = OpenPersonalUsage.objects.within(scope, verb).filter(
        enterprise_id=account.enterprise_id, person_id=account.person_id, state=OpenState.OPEN
    )
    sums = (
        rows.order_by()
        .values("service", "reason")
        .annotate(rows=Count("id"), units_sum=Sum("units"), value=Sum("value_micros"))
    )
    ids: dict[tuple[int, str], list[int]] = {}
    for row_id, service, reason in rows.order_by("id").values_list("id", "service", "reason"):
        ids.setdefault((service, reason), []).append(row_id)
    return [
        OnCredit(
            row["service"],
            row["reason"],
            row["rows"],
            int(row["units_sum"]),
            int(row["value"]),
            ids.get((row["service"], row["reason"]), []),
        )
        for row in sorted(sums, key=lambda row: (row["service"], row["reason"]))
    ]


@dataclass(frozen=True, slots=True)
class Booked:
    """Money that moved: an entry, or a day's usage in one (`at` None). `balance_micros`: at the end of its day."""

    day: datetime
    kind: str
    micros: int
    at: datetime | None = None
    actor: str = ""
    note: str = ""
    balance_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Month:
    """A civil month of an account, newest first; `earlier` and `later` are instants in its neighbours, if any."""

    starts_at: datetime
    rows: list[Booked]
    earlier: datetime | None
    later: datetime | None


def month_of(scope: Scope, account: PersonalAccount, within: datetime, now: datetime) -> Month:
    """What moved in the month that an instant is in."""
    zone = ZoneInfo(account.time_zone)
    month = cycle_of(within, zone, 1)
    mine = PersonalEntry.objects.within(scope, Verb.ADMINISTER).filter(account=account)
    entries = mine.filter(at__gte=month.starts_at, at__lt=month.ends_at).annotate(day=TruncDay("at", tzinfo=zone))
    used = entries.filter(kind=PersonalEntryKind.CHARGE).order_by()
    acts = entries.exclude(kind=PersonalEntryKind.CHARGE).order_by("-id")[:ENTRIES_MOST]
    last = dict(entries.order_by().values_list("day").annotate(last=Max("id")))
    ends = dict(mine.filter(id__in=last.values()).values_list("id", "balance_after_micros"))
    by_day = used.values_list("day").annotate(Sum("micros"))
    rows = [Booked(day, PersonalEntryKind.CHARGE, int(micros)) for day, micros in by_day]
    rows += [Booked(one.day, one.kind, one.micros, one.at, one.actor, one.note) for one in acts]
    rows.sort(key=lambda row: (row.day, row.at or row.day), reverse=True)
    seen: set[datetime] = set()
    shown = []
    for row in rows:
        balance = None if row.day in seen else ends[last[row.day]]
        seen.add(row.day)
        shown.append(Booked(row.day, row.kind, row.micros, row.at, row.actor, row.note, balance))
    earlier = month.starts_at - timedelta(seconds=1) if account.opened_at < month.starts_at else None
    later = month.ends_at if month.ends_at <= now else None
    return Month(month.starts_at, shown, earlier, later)
