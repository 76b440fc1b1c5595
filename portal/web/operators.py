"""The operator's side: the enterprises that an account manager looks after."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from balances.selectors import operators
from portal.web.context import is_operator


def enterprises(request: HttpRequest) -> HttpResponse:
    """Every enterprise in reach, at a glance."""
    scope = request.tenancy.scope
    if not is_operator(scope):
        raise Http404("Only for the operator's side.")
    now = datetime.now(UTC)
    rows = operators.enterprises_at_a_glance(scope, now)
    return render(
        request,
        "operators/enterprises.html",
        {"rows": rows, "as_of": now, "zone": ZoneInfo("UTC"), "may_create": bool(scope.operator_ids)},
    )
