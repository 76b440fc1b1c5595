"""The rules of an account at any past moment: limits, caps on drawing and policies, as charging went by them then."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from balances.models import Zone
from balances.selectors import tree
from balances.selectors.terms import Terms, terms_at
from policies import past
from policies.models import PolicyVersion
from policies.past import LimitThen
from policies.rules import rules_from_json
from portal import figures, limit_words
from portal.web.as_of import AsOfForm
from portal.web.context import place
from portal.web.forms import acting
from portal.web.reach import found


@dataclass(frozen=True, slots=True)
class Row:
    """A limit as it stood, in words."""

    then: LimitThen
    counted: str
    window: str
    bound: str
    beyond: str
    marks: str
    exempted: list[str]


def rules_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The page; `?as_of=` is the moment, now unless told."""
    scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-limits")
    now = acting(request)["at"]
    form = AsOfForm.of(request, terms_at(account.enterprise_id, now).zone, now)
    held = past.rules_of(scope, account, form.moment or now)
    terms = terms_at(account.enterprise_id, held.at)
    zones = dict(Zone.objects.filter(operator__enterprises=account.enterprise_id).values_list("code", "name"))
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(scope, account),
        "form": form,
        "held": held,
        "zone": terms.zone,
        "rows": [_row(then, terms) for then in held.limits],
        "policies": [(version, _sentences(version, zones)) for version in held.versions],
    }
    return render(request, "rules/page.html", context)


def _row(then: LimitThen, terms: Terms) -> Row:
    row = then.limit
    exempted = [
        f"{one.account.name if one.account else figures.msisdn(one.line.msisdn)} until "
        f"{figures.moment(one.until, terms.zone)}: {one.reason}"
        for one in then.exemptions
    ]
    return Row(
        then, limit_words.counted(row), limit_words.window(row), limit_words.amount(row, then.bound, terms.currency),
        limit_words.beyond(row), limit_words.marks(row, terms.currency), exempted,
    )  # fmt: skip


def _sentences(version: PolicyVersion, zones: dict[str, str]) -> list[str]:
    return [f"{rule.name}: {rule.words(zones)}" for rule in rules_from_json(version.rules)]
