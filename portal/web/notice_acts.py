"""What a notice lets its reader do at once: answer an offer, give more, look, restrict; only what the reader may do.

Owns: which acts stand on a notice's page, filled in as far as they can be. Each is done by the screen that it is sent
to, which shows the effect first where units move.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.http import HttpRequest
from django.urls import reverse

from balances.errors import Refused
from balances.models import Account, Bucket, Line
from balances.models.buckets import BucketKind
from balances.scope import Scope, Verb
from balances.selectors.terms import terms_at
from policies import consent, limits, selectors
from policies.models import Limit, Measure
from portal.models import Notice, NoticeKind
from portal.notices import trades
from portal.web import consenting, quantities
from portal.web.allowance_wishes import code_of

PARTS = {"": "The market", "#loans": "Loans", "#standing": "Standing transfers"}
ABOUT_UNITS = (NoticeKind.THRESHOLD, NoticeKind.FORECAST)
ABOUT_LIMITS = (NoticeKind.LIMIT, NoticeKind.RESTRICTION, NoticeKind.FORECAST)


@dataclass(frozen=True, slots=True)
class Answer:
    """A button that answers an offer, or decides a trade, at the market of the account that was told."""

    label: str
    action: str
    field: str
    number: int
    address: str
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class More:
    """A form that gives more: `hidden` goes along, `name` is the field of the amount, `amount` what it begins with."""

    title: str
    says: str
    button: str
    action: str
    name: str
    amount: str
    address: str
    hidden: list[tuple[str, str]]


def links(request: HttpRequest, found: Notice) -> list[tuple[str, str]]:
    """Where to act: (label, address)."""
    scope, account, line = request.tenancy.scope, found.account, found.line
    at = account or (line.account if line else None)
    if found.kind == NoticeKind.PERSONAL:
        usage_id = found.facts.get("usage_id")
        charge = [("The charge", reverse("me-charge", args=[usage_id]))] if usage_id else []
        return [*charge, ("My personal account", reverse("me")), ("My statement", reverse("me-statement"))]
    if at is None:
        return []
    here = {"enterprise_id": at.enterprise_id, "account_id": at.id}
    found_links = []
    if found.kind == NoticeKind.CONTEST and scope.allows(Verb.MANAGE, **here):
        found_links.append((f"Objections of {at.name}", reverse("account-contests", args=[at.id])))
    if scope.allows(Verb.VIEW, **here):
        found_links.append((f"Look at {at.name}", reverse("account", args=[at.id])))
    if line is not None:
        found_links.append(("Look at the line", reverse("line", args=[line.id])))
    if usage_id := found.facts.get("usage_id"):
        found_links.append(("The record that reached it", reverse("usage", args=[usage_id])))
    if found.kind == NoticeKind.TRADE:
        market = reverse("account-market", args=[at.id])
        part = "#loans" if "loan" in found.facts else "#standing" if "standing" in found.facts else ""
        found_links.append((f"{PARTS[part]} of {at.name}", f"{market}{part}"))
        if found.facts["said"] in trades.ASKING - {"approval"} and scope.allows(Verb.MANAGE, **here):
            found_links.append(("Answer with another offer", f"{market}?answer={found.facts['offer']}#make"))
        return found_links
    if limit := _limit_of(scope, found):
        found_links.append(("Look at the limit", reverse("limit", args=[limit.id])))
    if scope.allows(Verb.MANAGE, **here):
        found_links.append(("Restrict: cap what is drawn from above", reverse("account-drawing", args=[at.id])))
        limits_at = reverse("line-limits", args=[line.id]) if line else reverse("account-limits", args=[at.id])
        found_links.append(("Restrict: set a limit", limits_at))
        address = reverse("line-admin", args=[line.id]) if line else reverse("account-admin", args=[at.id])
        found_links.append(("Thresholds and settings", address))
    return found_links


def answers(request: HttpRequest, found: Notice) -> list[Answer]:
    """What is still to be answered, for who manages the account; accepting shows its effect first."""
    account, facts = found.account, found.facts
    if found.kind != NoticeKind.TRADE or account is None or not trades.still_open(facts, datetime.now(UTC)):
        return []
    if not request.tenancy.scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id):
        return []
    address = reverse("account-market", args=[account.id])
    if facts["said"] == "approval":
        choices = [("Approve", "approve"), ("Do not approve", "refuse")]
        field, number = "trade", facts["trade"]
    else:
        choices = [("See what accepting comes to", "accept"), ("Refuse", "decline")]
        field, number = "offer", facts["offer"]
    return [Answer(label, act, field, number, address, is_first=not at) for at, (label, act) in enumerate(choices)]


def more(request: HttpRequest, found: Notice) -> More | None:
    """The form that gives more of what runs short: a limit's period, or units of a pool above. None without a way."""
    if found.is_test:
        return None
    scope: Scope = request.tenancy.scope
    if limit := _limit_of(scope, found):
        return _more_of_limit(request, scope, limit)
    if found.kind in ABOUT_UNITS and found.service is not None:
        return _more_units(scope, found.account or found.line, found.service)
    return None


def _limit_of(scope: Scope, found: Notice) -> Limit | None:
    """The limit that a notice is about, as it stands now."""
    if found.kind not in ABOUT_LIMITS or not found.facts.get("limit"):
        return None
    limit = (
        Limit.objects.within(scope).select_related("account", "line", "zone").filter(id=found.facts["limit"]).first()
    )
    try:
        return limits.standing_row(limit) if limit else None
    except Refused:
        return None  # it was retired since


def _more_of_limit(request: HttpRequest, scope: Scope, limit: Limit) -> More | None:
    now = datetime.now(UTC)
    if not Limit.objects.within(scope, Verb.MANAGE).filter(id=limit.id).exists():
        return None
    actor = f"user:{request.user.pk} {request.user}"
    governs, asks = limits.may_change(limit, scope, actor), consent.asks_for_consent(limit)
    if not (governs or asks):
        return None
    state, terms = selectors.state_of(limit, now), terms_at(limit.enterprise_id, now)
    action = "extend" if governs else "consent"
    proposed = consenting.proposal(state)
    amount, shown = _typed(limit, proposed), consenting.as_shown(state, terms)
    return More(
        title="More in this period",
        says=" ".join(consenting.effect(state, proposed, terms)),
        button="Extend by so much" if governs else "I consent to so much more",
        action=action,
        name=f"{action}-amount",
        amount=amount,
        address=reverse("limit", args=[limit.id]),
        hidden=[(f"{action}-shown", shown.signed()), (f"{action}-seen", amount)],
    )


def _typed(limit: Limit, figure: int) -> str:
    if limit.measure == Measure.MONEY:
        return quantities.write_price(figure)
    return quantities.write(figure, limit.service or 0)


def _more_units(scope: Scope, owner: Account | Line | None, service: int) -> More | None:
    """Units out of the nearest pool above that the reader runs and that has some; shown first, then given."""
    bucket = _pool_above(scope, owner, service) if owner else None
    if owner is None or bucket is None or bucket.account is None:
        return None
    part = quantities.write(_round(bucket.remaining_units // 10, service), service)
    return More(
        title=f"More from {bucket.account.name}",
        says=f"“{bucket.name}” has {quantities.write(_round(bucket.remaining_units, service), service)} available. "
        "Nothing moves before you have seen what it comes to.",
        button="Show what it comes to",
        action="preview",
        name="other-amount",
        amount=f"+{part}",
        address=reverse("account-allowances", args=[bucket.account_id]),
        hidden=[("bucket", str(bucket.id)), ("other", code_of(owner))],
    )


def _round(units: int, service: int) -> int:
    """Down to whole units of the largest word that leaves at least one: what people would type."""
    words, _ = quantities.UNITS[service]
    step = next((size for size in words.values() if units >= size and (size % 1000 or size == 1)), 1)
    return max(units // step * step, 1)


def _pool_above(scope: Scope, owner: Account | Line, service: int) -> Bucket | None:
    now = datetime.now(UTC)
    start = owner.account if isinstance(owner, Line) else owner.parent
    chain = list(start.get_ancestors(include_self=True, ascending=True)) if start else []
    held = Bucket.objects.within(scope, Verb.MANAGE).filter(
        account__in=chain, service=service, closed_at__isnull=True, valid_from__lte=now, valid_until__gt=now,
        remaining_units__gt=0,
    )  # fmt: skip
    buckets = held.exclude(kind__in=(BucketKind.CONTINGENCY, BucketKind.LOAN)).select_related("account")
    by_account = sorted(buckets, key=lambda bucket: -bucket.remaining_units)
    return next((bucket for account in chain for bucket in by_account if bucket.account_id == account.id), None)
