"""Lines: the list below an account, one's own, one line, and all its charges."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from balances.models import Account
from balances.scope import Scope
from balances.selectors import charges, lines, pages, tree
from balances.selectors.lines import Show
from balances.selectors.terms import progress_of, terms_at
from balances.units import SERVICE_NAMES
from portal import figures
from portal.live.state import as_of, charge_rows, line_state
from portal.web.context import place
from portal.web.reach import before_sent, chosen_service, found, live_url

A_PAGE = 50
MOST_OWN = 100
FILTERS = [
    (Show.ALL, "All"),
    (Show.OVERAGE, "Beyond allowances"),
    (Show.ROAMING, "Roaming"),
    (Show.IDLE, "Unused"),
]


def of_account(request: HttpRequest, account_id: int) -> HttpResponse:
    """The lines of a subtree, searched, filtered, by pages."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-lines")
    terms = terms_at(account.enterprise_id, datetime.now(UTC))
    text = request.GET.get("q", "").strip()[:80]
    show = request.GET.get("show", "")
    show = Show(show) if show in set(Show) else Show.ALL
    matching = lines.lines_of(scope, account, terms, text=text, show=show)
    page = Paginator(matching, A_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "lines/list.html",
        {
            "account": account,
            "breadcrumb": tree.ancestors(scope, account),
            "page_obj": page,
            "rows": lines.with_usage(scope, list(page.object_list), terms),
            "terms": terms,
            "as_of": as_of(progress_of(account.enterprise_id), terms),
            "text": text,
            "show": show,
            "filters": FILTERS,
        },
    )


def mine(request: HttpRequest) -> HttpResponse:
    """The lines that the reader uses."""
    scope: Scope = request.tenancy.scope
    rows = []
    by_enterprise = attrgetter("enterprise_id")
    for enterprise_id, group in groupby(
        sorted(lines.own_lines(scope)[:MOST_OWN], key=by_enterprise), key=by_enterprise
    ):
        terms = terms_at(enterprise_id, datetime.now(UTC))
        progress = progress_of(enterprise_id)
        rows += [
            {
                "line": used.line,
                "by_service": used.by_service,
                "amount_micros": used.amount_micros,
                "terms": terms,
                "as_of": as_of(progress, terms),
            }
            for used in lines.with_usage(scope, list(group), terms)
        ]
    return render(request, "lines/mine.html", {"rows": rows, "proven": bool(scope.person_ids())})


def line(request: HttpRequest, line_id: int) -> HttpResponse:
    """One line: who, where, what it used, what serves it; live."""
    scope: Scope = request.tenancy.scope
    service = chosen_service(request)
    page = found(pages.line_page, scope, line_id, service=service)
    account = Account.objects.within(scope).select_related("enterprise").filter(id=page.line.account_id).first()
    place(request, account=account, enterprise=page.line.enterprise)
    return render(
        request,
        "lines/page.html",
        {
            "line": page.line,
            "page": page,
            "state": line_state(page),
            "services": [(number, SERVICE_NAMES[number]) for number in sorted(page.usage)],
            "can_see_account": account is not None,
            "breadcrumb": [*tree.ancestors(scope, account), account] if account else [],
            "live_url": live_url("lines", line_id, service, request),
        },
    )


def line_charges(request: HttpRequest, line_id: int) -> HttpResponse:
    """All charges of a line, newest first, by pages that do not shift when new ones come."""
    scope: Scope = request.tenancy.scope
    line = found(lines.line, scope, line_id)
    account = Account.objects.within(scope).select_related("enterprise").filter(id=line.account_id).first()
    place(request, account=account, enterprise=line.enterprise)
    terms = terms_at(line.enterprise_id, datetime.now(UTC))
    progress = progress_of(line.enterprise_id)
    before = before_sent(request)
    shown = charges.of_line(scope, line_id, progress.as_of, limit=A_PAGE + 1, before=before)
    older = ""
    if len(shown) > A_PAGE:
        shown = shown[:A_PAGE]
        last = shown[-1].usage
        older = urlencode({"before": last.used_at.isoformat(), "id": last.id})
    state = {
        "rows": {"latest": charge_rows(shown, terms, progress, with_line=False)},
        "as_of": figures.clock(progress.as_of, terms.zone),
    }
    context = {"line": line, "state": state, "older": older, "is_later": before is not None}
    context["breadcrumb"] = [*tree.ancestors(scope, account), account] if account else []
    return render(request, "lines/charges.html", context)
