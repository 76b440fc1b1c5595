"""What people are told of their own account and of their objections, and managers of objections that wait for them.

Owns: turning PersonalNews and ContestAct into facts. What is personal carries the person, and neither an account nor a
line; what managers are told of an objection is that it waits at an account, and nothing of its record. docs/personal.md
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from balances.models import PersonalAccountKind, PersonalNews, PersonalNewsKind
from balances.periods import cycle_of
from balances.selectors.terms import terms_at
from balances.units import SERVICE_NAMES
from portal.models import ContestAct, ContestActKind, NoticeKind, Severity
from portal.notices.facts import Facts, owner_facts
from portal.notices.found import Found

USED_UP = 100


def tell_news(row: PersonalNews, at: datetime) -> Sequence[Found]:
    """To the person; nothing of an allowance whose month is over."""
    account = row.account
    facts: Facts = {
        "time_zone": account.time_zone, "currency": account.tariff.currency, "tariff": account.tariff.name,
        "as_of": row.recorded_at.isoformat(), "personal_account": account.id,
    }  # fmt: skip
    service = None
    if row.kind == PersonalNewsKind.ALLOWANCE and row.bucket is not None:
        allowance = row.bucket.allowance
        month = cycle_of(row.bucket.period_start, ZoneInfo(account.time_zone), 1)
        if at >= month.ends_at:
            return []
        service = allowance.service
        facts |= {
            "said": "allowance_out" if row.level == USED_UP else "allowance_low", "allowance": allowance.name,
            "service": SERVICE_NAMES[service], "used_units": row.used, "total_units": row.total,
            "percent": row.used * 100 // row.total, "until": month.ends_at.isoformat(),
        }  # fmt: skip
    elif row.kind == PersonalNewsKind.MONEY:
        facts |= _money(row)
    else:
        facts |= {"said": "paid_out", "amount_micros": row.used, "left_micros": row.total}
    severity = Severity.INFO if row.level == 0 else Severity.WARNING
    if row.kind == PersonalNewsKind.MONEY and row.level == USED_UP:
        severity = Severity.CRITICAL
    return [_personal(f"personal:{row.id}", row.account.person_id, row.enterprise_id, row.recorded_at, facts,
                      severity, service)]  # fmt: skip


def _money(row: PersonalNews) -> Facts:
    is_credit = row.account.kind == PersonalAccountKind.POSTPAID
    facts: Facts = {
        "said": ("credit_" if is_credit else "money_") + ("out" if row.level == USED_UP else "low"),
        "left_micros": max(row.total - row.used, 0),
    }
    if row.total > 0:
        facts |= {"used_micros": row.used, "total_micros": row.total, "percent": row.used * 100 // row.total}
    return facts


def tell_act(act: ContestAct, at: datetime) -> Sequence[Found]:
    """An objection that is filed: to who decides it. What becomes of it: to the person."""
    contest = act.contest
    terms = terms_at(contest.enterprise_id, at)
    facts: Facts = {
        "said": act.kind, "contest": contest.id, "as_of": act.at.isoformat(), "time_zone": terms.zone.key,
        "currency": terms.currency,
    }  # fmt: skip
    if act.kind == ContestActKind.FILED:
        filed = Found(
            key=_filed(act), kind=NoticeKind.CONTEST, enterprise_id=act.enterprise_id, account=contest.account,
            line=None, service=None, severity=Severity.WARNING, happened_at=act.at,
            facts=facts | owner_facts(contest.account, None),
        )  # fmt: skip
        return [filed]
    facts["usage_id"] = contest.usage_id
    if act.kind == ContestActKind.CORRECTED:
        facts["amount_micros"] = contest.refunded_micros or 0
        facts["said"] = "corrected" if facts["amount_micros"] else "corrected_free"
    else:
        facts["answer"] = contest.answer
    found = _personal(
        f"contest:{contest.id}:{act.kind}", contest.person_id, act.enterprise_id, act.at, facts, Severity.INFO,
        resolves=_filed(act),
    )  # fmt: skip
    return [found]


def _filed(act: ContestAct) -> str:
    return f"contest:{act.contest_id}"


def _personal(
    key: str, person_id: int, enterprise_id: int, at: datetime, facts: Facts, severity: Severity,
    service: int | None = None, *, resolves: str = "",
) -> Found:  # fmt: skip
    return Found(
        key=key, kind=NoticeKind.PERSONAL, enterprise_id=enterprise_id, account=None, line=None, service=service,
        severity=severity, happened_at=at, facts=facts, person_id=person_id, resolves=resolves,
    )  # fmt: skip
