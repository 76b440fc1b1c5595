"""Loans and standing transfers as notices: what came back or is owed, and what a run did not give. Both sides are told.

Acts of loans are rows of `OfferAct`, runs rows of `StandingRun`; that a loan is due soon is worked out. What a run
gave is a trade, and is told as one (`portal.notices.trades`). Each side also reads how long its own units last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F

from balances.models import Account, Loan, OfferAct, StandingRun
from balances.models.trading import ActKind, LoanState, RunOutcome
from balances.selectors.terms import terms_at
from balances.units import SERVICE_NAMES
from portal.models import NoticeKind, Severity
from portal.notices.facts import Facts
from portal.notices.found import Found
from portal.notices.trades import own_outlook

#: Acts of loans, and what is said of them; `returned` is also what time did, and then something may stay owed.
ACTS = frozenset({ActKind.RETURNED, ActKind.REPAID, ActKind.FORGIVEN})
#: A loan is told so long before its return, unless it was not made for much longer than that.
SOON = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _News:
    """What one side is told: of how many units, and by what its own units change with it."""

    key: str
    account: Account
    other: Account
    said: str
    service: int
    units: int
    content: Facts
    happened_at: datetime
    severity: Severity = Severity.WARNING
    change: int | None = None
    recorded_at: datetime | None = None


def tell_act(act: OfferAct, at: datetime) -> list[Found]:
    """An act of a loan, to lender and borrower."""
    loan = Loan.objects.select_related("lender", "borrower", "bucket").get(trade=act.trade)
    before = OfferAct.objects.filter(trade=act.trade, kind__in=ACTS, id__lte=act.id)
    settled = sum(before.values_list("units", flat=True))
    owed = loan.units - settled
    # Time brings back what is unused: what was used is owed from then on. By hand, a part may come back before.
    is_owed = act.kind == ActKind.RETURNED and owed > 0 and act.at >= loan.returns_at
    content = _content(loan, act.kind, settled) | {"by": act.actor}
    return [
        _found(
            _News(
                key=f"loan:{act.id}",
                account=account,
                other=other,
                said=f"loan_{'owed' if is_owed else act.kind}_{side}",
                service=loan.service,
                units=owed if is_owed else act.units,
                content=content,
                happened_at=act.at,
                severity=Severity.WARNING if is_owed else Severity.INFO,
                recorded_at=act.recorded_at,
            ),
            at,
        )
        for side, account, other in _sides(loan)
    ]


def due_soon(*, enterprise_id: int, at: datetime) -> list[Found]:
    """Which loans go back within a day, to both sides; the same keys whenever it is asked."""
    due = Loan.objects.filter(
        enterprise_id=enterprise_id, state=LoanState.LENT, returns_at__gt=at, returns_at__lte=at + SOON,
        created_at__lt=F("returns_at") - 2 * SOON,
    )  # fmt: skip
    return list(_due(list(due.select_related("lender", "borrower", "bucket").order_by("id")), at))


def _due(loans: list[Loan], at: datetime) -> Iterator[Found]:
    for loan in loans:
        unused = min(loan.bucket.remaining_units, loan.owed_units)
        content = _content(loan, "due_soon", loan.returned_units) | {"unused_units": unused}
        for side, account, other in _sides(loan):
            news = _News(
                key=f"loan_due:{loan.id}", account=account, other=other, said=f"loan_due_soon_{side}",
                service=loan.service, units=loan.owed_units, content=content, happened_at=at,
                change=unused if side == "lender" else -unused,
            )  # fmt: skip
            yield _found(news, at)


def _sides(loan: Loan) -> tuple[tuple[str, Account, Account], ...]:
    """Each side with its name and the other one."""
    return ("lender", loan.lender, loan.borrower), ("borrower", loan.borrower, loan.lender)


def _content(loan: Loan, act: str, settled_units: int) -> Facts:
    return {
        "act": act, "by": "", "loan": loan.id, "lent_units": loan.units, "owed_units": loan.units - settled_units,
        "settled_units": settled_units, "until": loan.returns_at.isoformat(),
    }  # fmt: skip


def tell_run(run: StandingRun, at: datetime) -> list[Found]:
    """A run that gave less than was meant, to giver and receiver; what it gave is told as a trade."""
    if run.outcome == RunOutcome.MOVED:
        return []
    standing = run.standing
    giver, receiver = standing.from_account, standing.to_account
    cause = "missed" if run.outcome == RunOutcome.MISSED else "short" if run.is_short else "refused"
    content = {
        "act": run.outcome, "by": "", "standing": standing.id, "meant_units": standing.units, "given_units": run.units,
        "cause": cause, "reason": run.why,
    }  # fmt: skip
    sides = ("giver", giver, receiver), ("receiver", receiver, giver)
    return [
        _found(
            _News(
                key=f"standing_run:{run.id}",
                account=account,
                other=other,
                said=f"run_{run.outcome}_{side}",
                service=standing.service,
                units=standing.units - run.units,
                content=content,
                happened_at=run.due_at,
                recorded_at=run.at,
            ),
            at,
        )
        for side, account, other in sides
    ]


def _found(news: _News, at: datetime) -> Found:
    """One side's notice, with how long its own units last."""
    account = news.account
    terms = terms_at(account.enterprise_id, at)
    facts: Facts = news.content | {
        "owner": "account", "owner_id": account.id, "owner_name": account.name, "account_name": account.name,
        "said": news.said, "other_name": news.other.name, "service": SERVICE_NAMES[news.service],
        "units": news.units, "as_of": at.isoformat(), "time_zone": terms.zone.key, "currency": terms.currency,
    }  # fmt: skip
    if terms.cycle is not None:
        facts["cycle_ends_at"] = terms.cycle.ends_at.isoformat()
        facts |= own_outlook(account, news.service, news.change, terms, at)
    return Found(
        key=f"{news.key}:{account.id}",
        kind=NoticeKind.TRADE,
        enterprise_id=account.enterprise_id,
        account=account,
        line=None,
        service=news.service,
        severity=news.severity,
        happened_at=news.happened_at,
        facts=facts,
        recorded_at=news.recorded_at,
    )
