"""An account's own buckets, who below has what of one of them, and how long each side lasts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db.models import Q, QuerySet, Sum

from balances import allocation
from balances.allocation_plan import Holding, Receiver, Source
from balances.models import Account, Allocation, Bucket, Line
from balances.models.accounts import LineStatus
from balances.models.buckets import BucketKind
from balances.models.counters import OwnerKind
from balances.pace import DayUsage, Estimate, estimate
from balances.scope import Scope, Verb
from balances.selectors import history, tree
from balances.selectors.overview import cycle_counters, daily_usage
from balances.selectors.terms import Progress, Terms, progress_of, snapshot, terms_at

#: Lines of the account itself that are listed without holding anything.
MOST_IDLE_LINES = 30
#: Lines that hold something of the bucket which are listed; a file has them all.
MOST_HOLDING_LINES = 100
MOST_ACTS = 5


@dataclass(frozen=True, slots=True)
class Receiving:
    """Somebody below who holds units of the bucket, or may."""

    owner: Account | Line
    holding: Holding
    used_units: int  # of the service in the cycle, whatever covered it
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class Shown:
    """The chosen bucket: what it holds, who has what of it, and the latest acts on it."""

    bucket: Bucket
    source: Source
    estimate: Estimate | None
    receivers: list[Receiving]
    acts: list[Allocation]
    has_more_lines: bool
    lines_below: int = 0


@dataclass(frozen=True, slots=True)
class AllowancesPage:
    """An account's buckets of the cycle, by service and order of drawing, and the one that is looked at.

    What is borrowed is used or goes back: it is shown, and nothing is given of it.
    """

    account: Account
    terms: Terms
    progress: Progress
    buckets: list[Bucket]
    slices: list[Bucket]
    shown: Shown | None
    borrowed: list[Bucket] = field(default_factory=list)


def allowances_page(
    scope: Scope,
    account_id: int,
    *,
    bucket_id: int | None = None,
    as_of: datetime | None = None,
    is_whole: bool = False,
    clock: Callable[[], datetime] | None = None,
) -> AllowancesPage:
    """Read the page, as it is or as it was at a past moment; without estimates then, and without acts.

    `is_whole`: with every line that holds something, also where they are many.

    Raises Account.DoesNotExist, or Bucket.DoesNotExist where `bucket_id` is not one of its own.
    """
    with snapshot():
        account = tree.account(scope, account_id)
        progress = progress_of(account.enterprise_id)
        now = clock() if clock else datetime.now(UTC)
        terms = terms_at(account.enterprise_id, as_of or now)
        held = own_buckets(scope, account, as_of or now)
        if as_of is not None:
            history.at_moment(held, as_of)
        buckets = [bucket for bucket in held if bucket.kind not in (BucketKind.CONTINGENCY, BucketKind.LOAN)]
        borrowed = [bucket for bucket in held if bucket.kind == BucketKind.LOAN]
        slices = [bucket for bucket in held if bucket.kind == BucketKind.CONTINGENCY and bucket.remaining_units]
        if as_of is None and bucket_id is not None and bucket_id not in {bucket.id for bucket in buckets}:
            raise Bucket.DoesNotExist
        chosen = next((b for b in buckets if bucket_id in (None, b.id)), buckets[0] if buckets else None)
        shown = None
        if chosen is not None:
            if as_of is None:
                shown = _shown(scope, account, chosen, terms, now, is_whole=is_whole)
            else:
                shown = _shown_then(scope, chosen, as_of)
        return AllowancesPage(account, terms, progress, buckets, slices, shown, borrowed)


def own_buckets(scope: Scope, account: Account, moment: datetime) -> list[Bucket]:
    """What the account holds itself, open at a moment, by service and order of drawing."""
    held = Bucket.objects.within(scope).filter(
        Q(closed_at__isnull=True) | Q(closed_at__gt=moment),
        account_id=account.id,
        valid_from__lte=moment,
        valid_until__gt=moment,
    )
    return list(held.select_related("source__account").order_by("service", "priority", "valid_until", "id"))


def _shown_then(scope: Scope, bucket: Bucket, moment: datetime) -> Shown:
    """The bucket, which has its quantities of the moment already, and who had what of it then."""
    held = Bucket.objects.within(scope).filter(source_id=bucket.id, kind=BucketKind.ALLOCATION)
    rows = history.at_moment(held.select_related("account", "line__person").order_by("id"), moment)
    receivers = [
        Receiving(row.account or row.line, allocation.holding_of(row), 0, None) for row in rows if row.received_units
    ]
    return Shown(bucket, allocation.source_of(bucket), None, receivers, [], has_more_lines=False)


def _shown(
    scope: Scope, account: Account, bucket: Bucket, terms: Terms, now: datetime, *, is_whole: bool = False
) -> Shown:
    owners: dict[Receiver, Account | Line] = {}
    for child in tree.children(scope, account):
        owners["account", child.id] = child
    holding = set(
        Bucket.objects.within(scope)
        .filter(source_id=bucket.id, kind=BucketKind.ALLOCATION)
        .values_list("account_id", "line_id")
        .order_by()
    )
    held_by = {line_id for _, line_id in holding if line_id}
    elsewhere = Account.objects.within(scope).filter(id__in={a for a, _ in holding if a} - {i for _, i in owners})
    for other in elsewhere.order_by("lft"):
        owners["account", other.id] = other
    lines = Line.objects.within(scope).select_related("person", "account")
    idle = lines.filter(account_id=account.id).exclude(status=LineStatus.RETIRED).exclude(id__in=held_by)
    found = list(idle.order_by("msisdn")[: MOST_IDLE_LINES + 1])
    holders = list(lines.filter(id__in=held_by).order_by("msisdn")[: MOST_HOLDING_LINES + 1 if not is_whole else None])
    for line in [*(holders if is_whole else holders[:MOST_HOLDING_LINES]), *found[:MOST_IDLE_LINES]]:
        owners["line", line.id] = line
    known = allocation.situation(bucket.id, owners)
    paces = paces_of(scope, account, bucket, known.holdings, terms, now)
    receivers = [
        Receiving(owner, mine, paces.used(receiver), paces.of_receiver(mine))
        for receiver, owner in owners.items()
        if (mine := known.holdings.get(receiver)) is not None
    ]
    acts = Allocation.objects.within(scope).filter(bucket_id=bucket.id).select_related("undone_by").order_by("-id")
    return Shown(
        bucket,
        known.source,
        paces.of_source(known.source.remaining_units, known.holdings.values()),
        receivers,
        list(acts[:MOST_ACTS]),
        has_more_lines=len(found) > MOST_IDLE_LINES or len(holders) > MOST_HOLDING_LINES,
        lines_below=lines_below(scope, account).count(),
    )


def lines_below(scope: Scope, account: Account, verb: Verb = Verb.VIEW) -> QuerySet[Line]:
    """The active lines at or below an account."""
    return Line.objects.within(scope, verb).filter(tree.below(account, "account__"), status=LineStatus.ACTIVE)


@dataclass(frozen=True, slots=True)
class Paces:
    """How fast an account and those below it use a service, as far as days have been counted."""

    account_id: int
    days: dict[Receiver, list[DayUsage]]
    cycle_units: dict[Receiver, int]
    now: datetime
    ends_at: datetime

    def used(self, receiver: Receiver) -> int:
        """Units used in the cycle, whatever covered them."""
        return self.cycle_units.get(receiver, 0)

    def of_receiver(self, holding: Holding) -> Estimate | None:
        """How long what somebody holds lasts at their own pace; None for who holds nothing."""
        if not holding.allocated_units:
            return None
        return self._estimate(holding.remaining_units, self.days.get(holding.receiver, []))

    def of_source(self, remaining_units: int, holdings: Iterable[Holding]) -> Estimate:
        """How long the rest lasts at the pace of those who draw on it: without those below that have units of their
        own, because they use these first."""
        mine = self.days.get(("account", self.account_id), [])
        others = [self.days.get(h.receiver, []) for h in holdings if h.remaining_units and h.receiver[0] == "account"]
        taken: dict[datetime, int] = {}
        for days in others:
            for day in days:
                taken[day.starts_at] = taken.get(day.starts_at, 0) + day.units
        rest = [DayUsage(day.starts_at, day.ends_at, max(day.units - taken.get(day.starts_at, 0), 0)) for day in mine]
        return self._estimate(remaining_units, rest)

    def _estimate(self, remaining_units: int, days: list[DayUsage]) -> Estimate:
        return estimate(remaining_units=remaining_units, days=days, now=self.now, ends_at=self.ends_at)


def paces_of(
    scope: Scope, account: Account, bucket: Bucket, receivers: Collection[Receiver], terms: Terms, now: datetime
) -> Paces:
    """The paces of an account and of those below it; three queries."""
    account_ids = {number for kind, number in receivers if kind == "account"} | {account.id}
    line_ids = {number for kind, number in receivers if kind == "line"}
    service, ends_at = bucket.service, bucket.valid_until
    if terms.cycle is None:
        return Paces(account.id, {}, {}, now, ends_at)
    daily = daily_usage(scope, account_ids, account.enterprise_id, terms, now)
    days: dict[Receiver, list[DayUsage]] = {("account", owner_id): daily[owner_id, service] for owner_id in account_ids}
    used: dict[Receiver, int] = {}
    for kind, word, ids in ((OwnerKind.ACCOUNT, "account", account_ids), (OwnerKind.LINE, "line", line_ids)):
        counters = cycle_counters(scope, account.enterprise_id, kind, terms).filter(owner_id__in=ids, service=service)
        for row in counters.values("owner_id").annotate(units=Sum("used_units")):
            used[word, row["owner_id"]] = int(row["units"])
    for line_id in line_ids:  # lines are not counted by day: their pace is that of the cycle
        days["line", line_id] = [DayUsage(terms.cycle.starts_at, now, used.get(("line", line_id), 0))]
    return Paces(account.id, days, used, now, ends_at)
