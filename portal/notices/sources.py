"""Where facts come from: each source names its rows and says what one of them means.

A source's rows are written under their enterprise's lock, in ascending ids: `portal.notices.outbox` relies on it. To
tell another kind of fact, add a `Source` to `SOURCES`; facts that are worked out, not stored, go through `outbox.post`.
"""

from __future__ import annotations

from datetime import datetime

from balances.models import Account, Crossing, Line, OfferAct, PersonalNews, StandingRun
from balances.selectors.terms import terms_at
from balances.units import SERVICE_NAMES
from policies.models import Consent, LimitCrossing, Measure, Restriction
from portal.models import ContestAct, NoticeKind, Severity
from portal.notices import loans, people, trades
from portal.notices.facts import Facts, owner_facts, usage_facts
from portal.notices.found import Found, Source

WARNING_PERCENT = 75


def severity_of(percent: int) -> Severity:
    """All of it is a matter of now, three quarters one to watch."""
    if percent >= 100:
        return Severity.CRITICAL
    return Severity.WARNING if percent >= WARNING_PERCENT else Severity.INFO


def _crossing(row: Crossing, at: datetime) -> list[Found]:
    total = row.base_units or row.level_units
    usage = usage_facts(
        enterprise_id=row.enterprise_id, account=row.account, line=row.line, service=row.service,
        used_units=row.used_units, total_units=total, at=at,
    )  # fmt: skip
    mark = {"level_units": row.level_units, "mark_percent": row.threshold.percent, "threshold": row.threshold_id,
            "usage_id": row.usage_id, "as_of": row.recorded_at.isoformat()}  # fmt: skip
    found = Found(
        key=f"threshold:{row.threshold_id}:{row.period_start:%Y%m%dT%H%M%SZ}",
        kind=NoticeKind.THRESHOLD,
        enterprise_id=row.enterprise_id,
        account=row.account,
        line=row.line,
        service=row.service,
        severity=severity_of(row.level_units * 100 // total if total else 100),
        happened_at=row.crossed_at,
        facts=owner_facts(row.account, row.line) | usage | mark,
        recorded_at=row.recorded_at,
    )
    return [found]


def _limit_crossing(row: LimitCrossing, at: datetime) -> list[Found]:
    limit = row.limit
    account, line = _owner_of_limit(row)
    facts: Facts = owner_facts(account, line)
    facts |= {
        "limit": row.first_id, "limit_name": limit.name, "tag": limit.tag, "action": limit.action,
        "measure": limit.measure, "window": limit.window, "usage_id": row.usage_id, "mark_percent": row.percent,
    }  # fmt: skip
    percent = row.level * 100 // row.amount if row.amount else 100
    if limit.measure == Measure.UNITS and limit.service is not None:
        facts |= usage_facts(
            enterprise_id=row.enterprise_id, account=account, line=line, service=limit.service,
            used_units=row.used, total_units=row.amount, at=at,
        )  # fmt: skip
    else:
        facts |= {"used_micros": row.used, "total_micros": row.amount, "percent": row.used * 100 // (row.amount or 1)}
        facts |= money_frame(row.enterprise_id, at)
    found = Found(
        key=f"limit:{row.first_id}:{row.period_start:%Y%m%dT%H%M%SZ}:{row.level}",
        kind=NoticeKind.LIMIT,
        enterprise_id=row.enterprise_id,
        account=account,
        line=line,
        service=limit.service,
        severity=severity_of(percent),
        happened_at=row.crossed_at,
        facts=facts | {"as_of": row.recorded_at.isoformat()},
        recorded_at=row.recorded_at,
    )
    return [found]


def _owner_of_limit(row: LimitCrossing) -> tuple[Account | None, Line | None]:
    """Account or line that the limit is on; a tag's crossing belongs to the line that caused it, or to the root."""
    limit = row.limit
    if limit.account is not None or limit.line is not None:
        return limit.account, limit.line
    if row.line is not None:
        return None, row.line
    return Account.objects.filter(enterprise_id=row.enterprise_id, parent__isnull=True).first(), None


def money_frame(enterprise_id: int, at: datetime) -> Facts:
    """Zone, currency and end of the cycle for facts that are not about units of a service."""
    terms = terms_at(enterprise_id, at)
    frame: Facts = {"time_zone": terms.zone.key, "currency": terms.currency, "as_of": at.isoformat()}
    if terms.cycle is not None:
        frame["cycle_ends_at"] = terms.cycle.ends_at.isoformat()
    return frame


def _restriction(row: Restriction, at: datetime) -> list[Found]:
    facts = owner_facts(None, row.line) | money_frame(row.enterprise_id, at)
    facts |= {
        "action": row.action, "state": row.state, "limit": row.limit_id,
        "limit_name": row.limit.name if row.limit else "",
        "until": row.until.isoformat() if row.until else None,
        "service": SERVICE_NAMES[row.service] if row.service is not None else None,
    }  # fmt: skip
    found = Found(
        key=f"restriction:{row.id}",
        kind=NoticeKind.RESTRICTION,
        enterprise_id=row.enterprise_id,
        account=None,
        line=row.line,
        service=row.service,
        severity=Severity.CRITICAL,
        happened_at=row.starts_at,
        facts=facts,
    )
    return [found]


def _consent(row: Consent, at: datetime) -> list[Found]:
    limit = row.limit
    facts = owner_facts(limit.account, limit.line) | money_frame(row.enterprise_id, at)
    facts |= {
        "limit": limit.id, "limit_name": limit.name, "tag": limit.tag, "consent": row.kind, "amount": row.amount,
        "measure": limit.measure, "by": row.consented_by, "price_shown": row.price_shown,
        "service": SERVICE_NAMES[limit.service] if limit.service is not None else None,
    }  # fmt: skip
    found = Found(
        key=f"consent:{row.id}",
        kind=NoticeKind.CONSENT,
        enterprise_id=row.enterprise_id,
        account=limit.account or (None if limit.line else root_of(row.enterprise_id)),
        line=limit.line,
        service=limit.service,
        severity=Severity.INFO,
        happened_at=row.consented_at,
        facts=facts,
    )
    return [found]


def root_of(enterprise_id: int) -> Account | None:
    """The top account: what tells of a tag belongs to it."""
    return Account.objects.filter(enterprise_id=enterprise_id, parent__isnull=True).first()


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "crossing",
            lambda: Crossing.objects.select_related("threshold", "account", "line__person", "line__account"),
            _crossing,
        ),
        Source(
            "limit_crossing",
            lambda: LimitCrossing.objects.select_related(
                "limit__account", "limit__line__person", "limit__line__account", "line__person", "line__account"
            ),
            _limit_crossing,
        ),
        Source(
            "restriction",
            lambda: Restriction.objects.select_related("limit", "line__person", "line__account"),
            _restriction,
        ),
        Source(
            "consent",
            lambda: Consent.objects.select_related("limit__account", "limit__line__person", "limit__line__account"),
            _consent,
        ),
        Source(
            "offer_act",
            lambda: OfferAct.objects.select_related(
                "offer__from_account", "offer__to_account", "offer__bucket", "trade__account", "trade__approver_account"
            ),
            lambda act, at: (loans.tell_act if act.kind in loans.ACTS else trades.tell)(act, at),
        ),
        Source(
            "standing_run",
            lambda: StandingRun.objects.select_related("standing__from_account", "standing__to_account"),
            loans.tell_run,
        ),
        Source(
            "personal_news",
            lambda: PersonalNews.objects.select_related("account__tariff", "bucket__allowance"),
            people.tell_news,
        ),
        Source("contest_act", lambda: ContestAct.objects.select_related("contest__account"), people.tell_act),
    )
}
