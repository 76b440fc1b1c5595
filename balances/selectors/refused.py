"""Usage that was refused: what a network reported as used, and a limit or a policy did not grant.

It is neither drawn nor priced nor counted. Where the network delivered it all the same it is lost revenue, which
somebody has to see: the operator, and whoever wonders why a line stood still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, QuerySet, Sum

from balances.models import Account, ChargeLine, Line, UsageRecord
from balances.models.counters import Payer
from balances.scope import Scope
from balances.selectors import charges, tree
from balances.selectors.charges import AHEAD, RECENT, Before

#: Lists go back so far; totals are of the last 35 days.
LONGEST = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class RefusedUsage:
    """A usage record of which some was not granted. `units`: those, of all its stretches; `reasons`: their codes."""

    usage: UsageRecord
    units: int
    reasons: str


@dataclass(frozen=True, slots=True)
class RefusedTotal:
    """What was refused of a service in the last 35 days."""

    service: int
    events: int
    units: int


def latest(
    scope: Scope, owner: Account | Line, now: datetime, *, most: int = 50, before: Before | None = None
) -> Sequence[RefusedUsage]:
    """Refused usage of a line, or of an account and all below it, newest first, older than `before`."""
    until = before.used_at if before else now + AHEAD
    lines = _refused(scope, owner, now - LONGEST, until, is_until_included=before is not None)
    found = list(
        lines.values("usage_id", "used_at").annotate(units=Sum("refused_units")).order_by("-used_at", "-usage_id")
        [: most + (1 if before else 0)]
    )  # fmt: skip
    if before:  # equal instants are rare: what the last page showed of them is left out here
        found = [row for row in found if (row["used_at"], row["usage_id"]) < (before.used_at, before.usage_id)][:most]
    if not found:
        return []
    since, until = found[-1]["used_at"], found[0]["used_at"]
    ids = [row["usage_id"] for row in found]
    within = {"used_at__gte": since, "used_at__lte": until}
    records = charges.with_names(UsageRecord.objects.within(scope).filter(id__in=ids, **within))
    usage = {record.id: record for record in records}
    reasons: dict[int, str] = {}
    for line in ChargeLine.objects.filter(usage_id__in=ids, refused_units__gt=0, **within).order_by("number"):
        reasons.setdefault(line.usage_id, line.reasons)
    return [RefusedUsage(usage[row["usage_id"]], int(row["units"]), reasons[row["usage_id"]]) for row in found]


def totals(scope: Scope, owner: Account | Line, now: datetime) -> list[RefusedTotal]:
    """By service, over the last 35 days."""
    lines = _refused(scope, owner, now - RECENT, now + AHEAD)
    rows = lines.values("usage__service").annotate(events=Count("usage_id", distinct=True), units=Sum("refused_units"))
    return [
        RefusedTotal(row["usage__service"], row["events"], int(row["units"])) for row in rows.order_by("usage__service")
    ]


def only(records: QuerySet[UsageRecord], scope: Scope, since: datetime, until: datetime) -> QuerySet[UsageRecord]:
    """Those records of which something was refused; used from `since` until before `until`."""
    lines = ChargeLine.objects.within(scope).filter(refused_units__gt=0, used_at__gte=since, used_at__lt=until)
    return records.filter(id__in=lines.values("usage_id"))


def _refused(
    scope: Scope, owner: Account | Line, since: datetime, until: datetime, *, is_until_included: bool = False
) -> QuerySet[ChargeLine]:
    """Charge lines with something refused. The instants stand for both tables, so that months are left out of both."""
    upper = "lte" if is_until_included else "lt"
    lines = ChargeLine.objects.within(scope).filter(
        enterprise_id=owner.enterprise_id, refused_units__gt=0,
        **{f"{of}used_at__{op}": at for of in ("", "usage__") for op, at in (("gte", since), (upper, until))},
    )  # fmt: skip
    if isinstance(owner, Line):
        return lines.filter(usage__line=owner)
    below = Account.objects.within(scope).filter(tree.below(owner)).order_by()
    accounts = list(below.values_list("id", flat=True))
    return lines.filter(payer=Payer.CORPORATE, usage__account_id__in=accounts)
