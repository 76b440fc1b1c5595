"""Usage that was refused, of a line or of an account with all below it: when, whose, how much, and what refused it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from balances.models import Account, Line
from balances.scope import Scope
from balances.selectors import refused, tree
from balances.selectors.refused import RefusedUsage
from balances.selectors.terms import progress_of, terms_at
from policies.models import Limit, PolicyVersion
from policies.resolution import NUMBERS
from portal import figures, limit_words
from portal.web.context import place
from portal.web.reach import before_sent

A_PAGE = 50
#: Reasons that name what else was looked at, not what refused.
_BYSTANDERS = ("limit_throttle", "rule_throttle")


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One record: `why` in words, `address` of the limit or policy that refused it, where it is in reach."""

    refused: RefusedUsage
    granted_units: int
    when: str
    why: str
    address: str


def of_account(request: HttpRequest, account_id: int) -> HttpResponse:
    """Refused usage of an account and all below it."""
    scope: Scope = request.tenancy.scope
    account = get_object_or_404(Account.objects.within(scope).select_related("enterprise"), id=account_id)
    place(request, account=account, section="account-refused")
    return _page(request, account, {"account": account, "breadcrumb": tree.ancestors(scope, account)})


def of_line(request: HttpRequest, line_id: int) -> HttpResponse:
    """Refused usage of a line."""
    scope: Scope = request.tenancy.scope
    line = get_object_or_404(Line.objects.within(scope).select_related("enterprise", "person"), id=line_id)
    account = Account.objects.within(scope).select_related("enterprise").filter(id=line.account_id).first()
    place(request, account=account, enterprise=line.enterprise)
    breadcrumb = [*tree.ancestors(scope, account), account] if account else []
    return _page(request, line, {"line": line, "breadcrumb": breadcrumb})


def _page(request: HttpRequest, owner: Account | Line, context: dict) -> HttpResponse:
    scope: Scope = request.tenancy.scope
    now = datetime.now(UTC)
    terms, progress, before = terms_at(owner.enterprise_id, now), progress_of(owner.enterprise_id), before_sent(request)
    shown = refused.latest(scope, owner, now, most=A_PAGE + 1, before=before)
    older = ""
    if len(shown) > A_PAGE:
        shown = shown[:A_PAGE]
        last = shown[-1].usage
        older = urlencode({"before": last.used_at.isoformat(), "id": last.id})
    why = refusers(scope, (one.reasons for one in shown))
    rows = [
        RefusedRow(
            one, one.usage.charged_units - one.units, figures.moment(one.usage.used_at, terms.zone),
            *_refuser(one.reasons, why),
        )
        for one in shown
    ]  # fmt: skip
    context |= {
        "rows": rows, "totals": refused.totals(scope, owner, now), "older": older, "is_later": before is not None,
        "as_of": figures.clock(progress.as_of, terms.zone), "section": "account-limits",
    }  # fmt: skip
    return render(request, "refused/page.html", context)


def refusers(scope: Scope, reasons: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Reason -> what refused in words, and its address; of limits and policies within the scope."""
    found: dict[str, tuple[str, str]] = {}
    codes = {reason for line in reasons for reason in line.split()}
    versions = {_argument(code) // NUMBERS for code in codes if code.startswith("rule_")}
    rows = limits_in(scope, codes)
    policies = PolicyVersion.objects.within(scope).select_related("policy").in_bulk(versions)
    for code in codes:
        if code.startswith("limit_") and (row := rows.get(_argument(code))):
            found[code] = f"{limit_words.title(row)}: {limit_words.beyond(row)}", reverse("limit", args=[row.id])
        elif code.startswith("rule_") and (version := policies.get(_argument(code) // NUMBERS)):
            said = f"Rule {_argument(code) % NUMBERS} of “{version.policy.name}”, version {version.number}"
            found[code] = said, reverse("account-policies", args=[version.policy.account_id])
    return found


def limits_in(scope: Scope, reasons: Iterable[str]) -> dict[int, Limit]:
    """The limits within the scope that reasons name, by id."""
    codes = {reason for line in reasons for reason in line.split() if reason.startswith("limit_")}
    return Limit.objects.within(scope).select_related("zone").in_bulk({_argument(code) for code in codes})


def _refuser(reasons: str, why: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """What refused, by the reasons of one charge; a limit above the reader's view has neither name nor address."""
    for reason in reasons.split():
        if reason.startswith(("limit_", "rule_")) and not reason.startswith(_BYSTANDERS):
            return why.get(reason, ("A limit or policy outside your view", ""))
    return "", ""


def _argument(code: str) -> int:
    argument = code.partition(":")[2]
    return int(argument) if argument.isdigit() else 0
