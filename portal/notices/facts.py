"""What a notice knows of its matter: owner, usage, pace, what comes next, price beyond. Plain JSON.

Read when the fact is found and kept with the notice, so that its texts say the same for ever. What cannot be worked
out (no contract in force, no rate) is left out: a notice without a forecast is better than none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q, Sum

from balances.models import Account, Bucket, Counter, Line, Rate
from balances.models.buckets import BucketKind
from balances.models.counters import Grain, OwnerKind, Payer
from balances.pace import DayUsage, estimate
from balances.scope import Grant, Scope, Verb
from balances.selectors import overview
from balances.selectors.terms import Terms, terms_at
from balances.units import SERVICE_NAMES
from policies.models import Limit
from portal.notices.turns import once

log = structlog.get_logger(__name__)

Facts = dict[str, Any]


def whole(enterprise_id: int) -> Scope:
    """What the portal itself may read of an enterprise: everything. Who is told decides who reads it."""
    return Scope((Grant(enterprise_id, frozenset({Verb.VIEW})),))


def owner_facts(account: Account | None, line: Line | None) -> Facts:
    """Who it is about, in names as they are now."""
    if line is not None:
        person = line.person
        name = person.name if person else line.label or f"+{line.msisdn}"
        return {"owner": "line", "owner_id": line.id, "owner_name": name, "number": line.msisdn,
                "account_name": line.account.name}  # fmt: skip
    if account is None:
        return {}
    return {"owner": "account", "owner_id": account.id, "owner_name": account.name, "account_name": account.name}


def usage_facts(
    *,
    enterprise_id: int,
    account: Account | None,
    line: Line | None,
    service: int,
    used_units: int,
    total_units: int,
    at: datetime,
) -> Facts:
    """Used of total, as of `at`; the outlook, the next limit and the price beyond, as far as they can be told."""
    facts: Facts = {
        "service": SERVICE_NAMES[service],
        "used_units": used_units,
        "total_units": total_units,
        "percent": used_units * 100 // total_units if total_units else 0,
        "as_of": at.isoformat(),
    }
    try:
        with transaction.atomic():  # a savepoint: what fails in here must not take the notice along
            terms = _terms(enterprise_id, at)
            facts |= {"time_zone": terms.zone.key, "currency": terms.currency}
            if terms.cycle is not None:
                facts["cycle_ends_at"] = terms.cycle.ends_at.isoformat()
                facts |= _outlook(enterprise_id, account, line, service, total_units - used_units, terms, at)
                facts |= _price(terms, service, at)
                facts |= _next_limit(account, line, service, used_units)
    except Exception:
        log.exception("notices.facts_incomplete", enterprise_id=enterprise_id)
    return facts


def _outlook(
    enterprise_id: int,
    account: Account | None,
    line: Line | None,
    service: int,
    remaining_units: int,
    terms: Terms,
    at: datetime,
) -> Facts:
    if terms.cycle is None:
        return {}
    if account is not None:
        days = _days(account.id, enterprise_id, terms, at).get((account.id, service), [])
    else:  # lines are counted by cycle alone
        counters = Counter.objects.filter(
            enterprise_id=enterprise_id, owner_kind=OwnerKind.LINE, owner_id=line.id if line else 0,
            grain=Grain.CYCLE, period_start=terms.cycle.starts_at, service=service, payer=Payer.CORPORATE,
        )  # fmt: skip
        used = sum(counter.used_units for counter in counters)
        days = [DayUsage(terms.cycle.starts_at, max(at, terms.cycle.starts_at + timedelta(seconds=1)), used)]
    seen = estimate(remaining_units=remaining_units, days=days, now=at, ends_at=terms.cycle.ends_at)
    facts: Facts = {"outlook": seen.outlook.value, "units_per_day": seen.units_per_day}
    if seen.runs_out_at is not None:
        facts["runs_out_at"] = seen.runs_out_at.isoformat()
    return facts


_terms = once(terms_at)


@once
def _days(account_id: int, enterprise_id: int, terms: Terms, at: datetime) -> dict:
    return overview.daily_usage(whole(enterprise_id), {account_id}, enterprise_id, terms, at)


def price_facts(enterprise_id: int, service: int, at: datetime) -> Facts:
    """Currency, the price beyond and the end of the cycle, for facts that are not used of total."""
    terms = terms_at(enterprise_id, at)
    facts: Facts = {"currency": terms.currency} | _price(terms, service, at)
    if terms.cycle is not None:
        facts["cycle_ends_at"] = terms.cycle.ends_at.isoformat()
    return facts


def pool_facts(line: Line, service: int, at: datetime) -> Facts:
    """Used of total of what serves a line: its own units, else those of its account or the nearest above. Whose it is.

    Nothing where nobody on the way up holds any; `total_units` is what was held in this cycle.
    """
    terms = terms_at(line.enterprise_id, at)
    if terms.cycle is None:
        return {}
    own = Bucket.objects.filter(
        line=line, service=service, closed_at__isnull=True, valid_from__lte=at, valid_until__gt=at
    ).exclude(kind=BucketKind.CONTINGENCY)
    total = F("remaining_units") + F("used_units") + F("reserved_units")
    mine = own.aggregate(total=Sum(total), left=Sum("remaining_units"))
    if mine["total"]:
        return _used_of(mine["total"], mine["left"], service, "")
    found = overview.services_of(whole(line.enterprise_id), line.account, terms, at)
    seen = next((each for each in found if each.service == service and each.held_units), None)
    if seen is None:
        return {}
    owner = seen.pools[0].owner
    facts = _used_of(seen.held_units, seen.remaining_units, service, owner.name if owner else line.account.name)
    facts["outlook"] = seen.estimate.outlook.value
    if seen.estimate.runs_out_at is not None:
        facts["runs_out_at"] = seen.estimate.runs_out_at.isoformat()
    return facts


def _used_of(total: int, left: int, service: int, owner: str) -> Facts:
    used = total - left
    return {
        "used_units": used, "total_units": total, "percent": used * 100 // total, "pool_owner": owner,
        "pool_service": SERVICE_NAMES[service],
    }  # fmt: skip


@once
def _price(terms: Terms, service: int, at: datetime) -> Facts:
    """What a block costs at home beyond the allowance."""
    if terms.contract_id is None:
        return {}
    rate = (
        Rate.objects.filter(
            version__contract_id=terms.contract_id,
            version__effective_at__lte=at,
            version__state="published",
            service=service,
            zone__is_home=True,
        )
        .order_by("-version__effective_at", "-version_id")
        .first()
    )
    if rate is None:
        return {}
    return {"price_micros": rate.overage_price_micros, "price_block_units": rate.overage_block_units}


def _next_limit(account: Account | None, line: Line | None, service: int, used_units: int) -> Facts:
    """The nearest limit of units on the same owner that has not been reached, and what it does."""
    standing = Limit.objects.filter(
        Q(account=account, line=line), retired_at__isnull=True, measure="units", service=service,
        amount__gt=used_units, tag="",
    )  # fmt: skip
    limit = standing.order_by("amount").first()
    if limit is None:
        return {}
    return {"next_limit": {"id": limit.id, "name": limit.name, "amount": limit.amount, "action": limit.action}}
