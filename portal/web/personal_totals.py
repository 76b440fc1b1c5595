"""The part of an account's or a line's page that says how much people paid themselves: coarse totals of cycles over."""

from __future__ import annotations

from datetime import UTC, datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from balances.models import Account
from balances.scope import Scope
from balances.selectors import lines, personal, tree
from balances.selectors.terms import terms_at
from portal.charging import concealing
from portal.web.reach import found


def of_account(request: HttpRequest, account_id: int) -> HttpResponse:
    """Totals of an account and its own lines; nothing where people pay nothing."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    return _shown(request, account.enterprise_id, lambda cycle: personal.of_account(scope, account, cycle))


def of_line(request: HttpRequest, line_id: int) -> HttpResponse:
    """Totals of a line, for those who run its account."""
    scope: Scope = request.tenancy.scope
    line = found(lines.line, scope, line_id)
    if not Account.objects.within(scope).filter(id=line.account_id).exists():
        raise Http404("Not in reach.")
    return _shown(request, line.enterprise_id, lambda cycle: personal.of_line(scope, line, cycle))


def _shown(request: HttpRequest, enterprise_id: int, read) -> HttpResponse:
    now = datetime.now(UTC)
    context: dict[str, object] = {"is_steered": bool(concealing.steered({enterprise_id})), "why": personal.WHY}
    if context["is_steered"]:
        context["cycles"] = [read(cycle) for cycle in personal.cycles_over(enterprise_id, now)]
        context["zone"] = terms_at(enterprise_id, now).zone
    return render(request, "partials/personal_totals.html", context)
