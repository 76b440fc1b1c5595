"""Why this charge: one usage record, explained from what is stored with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from balances.models import Account, Line, UsageRecord
from balances.models.counters import Payer
from balances.models.usage import ChargeLine
from balances.scope import Scope
from balances.selectors import charges
from balances.selectors.charges import Draw, Explanation
from balances.selectors.terms import terms_at
from portal import figures, limit_words
from portal.charging import reasons as wording
from portal.web.context import place
from portal.web.reach import found
from portal.web.refused import limits_in


@dataclass(frozen=True, slots=True)
class WordedStretch:
    """One stretch of a charge with its reasons as sentences."""

    line: ChargeLine
    draws: list[Draw]
    reasons: list[str]

    @property
    def drawn_units(self) -> int:
        return self.line.units - self.line.overage_units


def usage(request: HttpRequest, usage_id: int) -> HttpResponse:
    """A usage record, its parts, what each drew, the reasons, and the ledger's entries."""
    scope: Scope = request.tenancy.scope
    explanation = found(charges.explain, scope, usage_id)
    record = explanation.usage
    account = Account.objects.within(scope).select_related("enterprise").filter(id=record.account_id).first()
    place(request, account=account, enterprise=record.enterprise)
    terms = terms_at(record.enterprise_id, record.used_at)
    accounts = {account.id: account.name for account in explanation.path if account}
    names = names_for(scope, [stretch.line.reasons for stretch in explanation.stretches], accounts)
    return render(
        request,
        "charges/page.html",
        {
            "explanation": explanation,
            "stretches": [
                WordedStretch(s.line, s.draws, _sentences(s.line.reasons, explanation, names))
                for s in explanation.stretches
            ],
            "zone": terms.zone,
            "currency": terms.currency,
            "can_see_account": account is not None,
            "can_see_line": Line.objects.within(scope).filter(id=record.line_id).exists(),
            "try_account_id": _may_be_tried_at(scope, record),
            "attributes": json.dumps(record.attributes, indent=2, ensure_ascii=False) if record.attributes else "",
        },
    )


def _may_be_tried_at(scope: Scope, record: UsageRecord) -> int | None:
    """The account at whose rules a record of the company can be tried, changed: that of its line today, in reach."""
    if record.payer != Payer.CORPORATE:
        return None
    lines = Line.objects.within(scope).filter(id=record.line_id, account__in=Account.objects.within(scope))
    return lines.values_list("account_id", flat=True).first()


def _sentences(reasons: str, explanation: Explanation, names: dict[str, str]) -> list[str]:
    """The stored codes as sentences; their arguments as quantities and names instead of numbers."""
    said = dict(names)
    for reason in reasons.split():
        code, _, argument = reason.partition(":")
        if code == "rounded":
            said[reason] = figures.quantity(int(argument), explanation.usage.service)
    return wording.words(reasons, said)


def names_for(scope: Scope, reasons: Sequence[str], accounts: Mapping[int, str] | None = None) -> dict[str, str]:
    """What stands for the arguments of reasons: names of rules, limits and accounts, as far as the reader may know."""
    names, limits = wording.names_of(reasons), limits_in(scope, reasons)
    for reason in {one for line in reasons for one in line.split()}:
        code, _, argument = reason.partition(":")
        if code in ("stopped", "capped"):
            names[reason] = (accounts or {}).get(int(argument), "outside your view")
        elif code.startswith("limit_"):
            limit = limits.get(int(argument))
            names[reason] = f"“{limit_words.title(limit)}”" if limit else "outside your view"
    return names
