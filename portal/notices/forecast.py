"""Tells that units will run out before the cycle ends: once an owner, service and cycle; again if it comes much sooner.
Tells the same of limits of a week or a cycle: once a period.

Works out facts, stores none: what was told is read from the notices themselves. The estimate is `balances.pace`, of
the same figures as the account's own screen, so that the notice and the screen say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, Sum

from balances.models import Account, Bucket, Counter, Line
from balances.models.buckets import BucketKind
from balances.models.counters import Grain, OwnerKind, Payer
from balances.pace import DayUsage, Estimate, Outlook, estimate
from balances.selectors import overview
from balances.selectors.terms import Terms, snapshot, terms_at
from balances.units import SERVICE_NAMES
from policies import selectors
from policies.models import Measure, Window
from policies.selectors import LimitState
from portal.models import Notice, NoticeKind, Severity
from portal.notices import outbox
from portal.notices.facts import owner_facts, usage_facts, whole
from portal.notices.found import Found
from portal.notices.sources import money_frame, root_of

#: Told again only if it comes sooner by so much, and by this part of the time that was left when it was told last.
LEAST_SOONER = timedelta(days=1)
PART_SOONER = 4
#: Limits of these windows are foreseen, and no period of theirs, nor a cycle, is longer than this.
TOLD_WINDOWS, LONGEST_PERIOD = (Window.WEEK, Window.CYCLE), timedelta(days=40)
#: So many limits are looked at with one question.
AT_ONCE = 500
#: Running out within this is a matter of now.
SOON = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Holding:
    """What an account with those below it, or a line, holds of a service in this cycle, and how long it lasts."""

    account: Account | None
    line: Line | None
    service: int
    held_units: int
    remaining_units: int
    estimate: Estimate

    def name(self, terms: Terms) -> str:
        """What a cycle's notices of it begin with."""
        owner = f"a{self.account.id}" if self.account else f"l{self.line.id if self.line else 0}"
        assert terms.cycle is not None
        return f"forecast:{owner}:{self.service}:{terms.cycle.starts_at:%Y%m%dT%H%M%SZ}"


@dataclass(frozen=True, slots=True)
class _Reached:
    """A limit that is reached before its period ends."""

    state: LimitState
    estimate: Estimate

    def name(self, _terms: Terms | None = None) -> str:
        """What a period's notices of it begin with."""
        return f"forecast:limit{self.state.limit.first_number}:{self.state.period_start:%Y%m%dT%H%M%SZ}"


def tell(*, enterprise_id: int, at: datetime) -> outbox.Told:
    """Tell what runs out in an enterprise and was not told, or comes much sooner. Again at once: nothing."""
    with snapshot():
        terms = terms_at(enterprise_id, at)
        holdings = [h for h in _holdings(enterprise_id, terms, at) if h.estimate.outlook == Outlook.RUNS_OUT]
        reached = list(_limits(enterprise_id, at))
    if not holdings and not reached:
        return outbox.Told()
    return outbox.post(found=list(_news(enterprise_id, [*holdings, *reached], terms, at)), at=at)


def comes_much_sooner(*, told_at: datetime, told: datetime, now_said: datetime) -> bool:
    """Whether a run-out moved ahead so far that it is told again: by a day, and a quarter of the time then left."""
    sooner = told - now_said
    return sooner >= LEAST_SOONER and sooner >= (told - told_at) / PART_SOONER


def _limits(enterprise_id: int, at: datetime) -> Iterator[_Reached]:
    """Limits of a week or a cycle that are reached before it ends; a day's are over before anybody could act."""
    standing = selectors.standing(whole(enterprise_id)).filter(window__in=TOLD_WINDOWS).select_related("line__account")
    rows = list(standing.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at)).select_related("line__person"))
    for first in range(0, len(rows), AT_ONCE):
        for state in selectors.states(rows[first : first + AT_ONCE], at):
            seen = state.outlook(at)
            if seen is not None and seen.outlook == Outlook.RUNS_OUT:
                yield _Reached(state, seen)


def _news(enterprise_id: int, holdings: list[_Holding | _Reached], terms: Terms, at: datetime) -> Iterator[Found]:
    told = Notice.objects.filter(
        enterprise_id=enterprise_id, kind=NoticeKind.FORECAST, created_at__gte=at - LONGEST_PERIOD, is_test=False
    ).order_by("id")
    earlier: dict[str, list[Notice]] = {}
    for notice in told:
        earlier.setdefault(notice.key.rpartition(":")[0], []).append(notice)
    for holding in holdings:
        before = earlier.get(holding.name(terms), [])
        if not before or _is_sooner(before[-1], holding.estimate):
            if isinstance(holding, _Reached):
                yield _found_limit(enterprise_id, holding, len(before), at)
            else:
                yield _found(enterprise_id, holding, len(before), terms, at)


def _is_sooner(last: Notice, seen: Estimate) -> bool:
    told = datetime.fromisoformat(last.facts["runs_out_at"])
    assert seen.runs_out_at is not None
    return comes_much_sooner(told_at=last.happened_at, told=told, now_said=seen.runs_out_at)


def _found(enterprise_id: int, holding: _Holding, number: int, terms: Terms, at: datetime) -> Found:
    seen = holding.estimate
    assert seen.runs_out_at is not None
    usage = usage_facts(
        enterprise_id=enterprise_id, account=holding.account, line=holding.line, service=holding.service,
        used_units=holding.held_units - holding.remaining_units, total_units=holding.held_units, at=at,
    )  # fmt: skip
    figures = {"outlook": seen.outlook.value, "units_per_day": seen.units_per_day,
               "runs_out_at": seen.runs_out_at.isoformat(), "remaining_units": holding.remaining_units,
               "is_again": number > 0}  # fmt: skip
    return Found(
        key=f"{holding.name(terms)}:{number}",
        kind=NoticeKind.FORECAST,
        enterprise_id=enterprise_id,
        account=holding.account,
        line=holding.line,
        service=holding.service,
        severity=Severity.CRITICAL if seen.runs_out_at - at < SOON else Severity.WARNING,
        happened_at=at,
        facts=owner_facts(holding.account, holding.line) | usage | figures,
    )


def _found_limit(enterprise_id: int, reached: _Reached, number: int, at: datetime) -> Found:
    state, seen, limit = reached.state, reached.estimate, reached.state.limit
    assert seen.runs_out_at is not None
    account = limit.account or (None if limit.line else root_of(enterprise_id))
    unit = "units" if limit.measure == Measure.UNITS else "micros"
    facts = owner_facts(account, limit.line) | money_frame(enterprise_id, at) | {
        "limit": limit.first_number, "limit_name": limit.name, "tag": limit.tag, "action": limit.action,
        "measure": limit.measure, "window": limit.window, "percent": state.percent,
        "service": SERVICE_NAMES[limit.service] if limit.service is not None else None,
        f"used_{unit}": state.used, f"total_{unit}": state.bound, f"remaining_{unit}": state.left,
        f"{unit}_per_day": seen.units_per_day, "outlook": seen.outlook.value, "is_again": number > 0,
        "runs_out_at": seen.runs_out_at.isoformat(), "cycle_ends_at": state.ends_at and state.ends_at.isoformat(),
    }  # fmt: skip
    return Found(
        key=f"{reached.name()}:{number}",
        kind=NoticeKind.FORECAST,
        enterprise_id=enterprise_id,
        account=account,
        line=limit.line,
        service=limit.service,
        severity=Severity.CRITICAL if seen.runs_out_at - at < SOON else Severity.WARNING,
        happened_at=at,
        facts=facts,
    )


def _holdings(enterprise_id: int, terms: Terms, at: datetime) -> Iterator[_Holding]:
    """Accounts and lines that hold buckets of their own in the cycle under way."""
    if terms.cycle is None:
        return
    current = Bucket.objects.filter(
        enterprise_id=enterprise_id, cycle_start=terms.cycle.starts_at, valid_from__lte=at, valid_until__gt=at,
        closed_at__isnull=True, remaining_units__gt=0,
    ).exclude(kind=BucketKind.CONTINGENCY)  # fmt: skip
    everything = whole(enterprise_id)
    accounts = Account.objects.filter(id__in=current.filter(account__isnull=False).values("account_id"))
    for account in accounts.select_related("enterprise").order_by("lft"):
        for each in overview.services_of(everything, account, terms, at):
            if not each.is_shared:
                yield _Holding(account, None, each.service, each.held_units, each.remaining_units, each.estimate)
    yield from _of_lines(enterprise_id, current.filter(line__isnull=False), terms, at)


def _of_lines(enterprise_id: int, buckets, terms: Terms, at: datetime) -> Iterator[_Holding]:
    """Lines, all at once: they are counted by cycle alone, so their pace is that of the cycle."""
    assert terms.cycle is not None
    rows = buckets.values("line_id", "service").annotate(
        left=Sum("remaining_units"), held=Sum(F("remaining_units") + F("used_units") + F("reserved_units"))
    )
    rows = list(rows.order_by("line_id", "service"))
    line_ids = {row["line_id"] for row in rows}
    counted = Counter.objects.filter(
        enterprise_id=enterprise_id, owner_kind=OwnerKind.LINE, owner_id__in=line_ids, grain=Grain.CYCLE,
        period_start=terms.cycle.starts_at, payer=Payer.CORPORATE,
    )  # fmt: skip
    used = {
        (row["owner_id"], row["service"]): int(row["units"])
        for row in counted.values("owner_id", "service").annotate(units=Sum("used_units") - Sum("overage_units"))
    }
    lines = Line.objects.select_related("person", "account").in_bulk(line_ids)
    for row in rows:
        days = [DayUsage(terms.cycle.starts_at, at, used.get((row["line_id"], row["service"]), 0))]
        seen = estimate(remaining_units=row["left"], days=days, now=at, ends_at=terms.cycle.ends_at)
        yield _Holding(None, lines[row["line_id"]], row["service"], row["held"], row["left"], seen)
