"""The page of an account (the root's is the home page), and the pieces of the tree."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from balances.scope import Scope
from balances.selectors import pages, tree
from policies.restricting import restricted_below
from portal.live.state import account_state
from portal.web.context import place
from portal.web.reach import chosen_service, found, live_url

SECTIONS = (
    "account", "account-lines", "account-allowances", "account-limits", "account-steering", "account-personal",
    "account-admin",
)  # fmt: skip


def account(request: HttpRequest, account_id: int) -> HttpResponse:
    """What is left, how it goes, who uses most, what needs attention; live."""
    scope: Scope = request.tenancy.scope
    service = chosen_service(request)
    page = found(pages.account_page, scope, account_id, service=service)
    place(request, account=page.account)
    return render(
        request,
        "accounts/page.html",
        {
            "account": page.account,
            "page": page,
            "state": account_state(page, restricted_below(scope, page.account, page.progress.as_of)),
            "breadcrumb": tree.ancestors(scope, page.account),
            "live_url": live_url("accounts", account_id, service, request),
        },
    )


def tree_children(request: HttpRequest, account_id: int) -> HttpResponse:
    """What hangs directly below an account, for the tree to unfold."""
    scope: Scope = request.tenancy.scope
    parent = found(tree.account, scope, account_id)
    level = request.GET.get("level", "1")
    children = tree.children(scope, parent)
    shown = children[: tree.MOST_CHILDREN]
    section = request.GET.get("section")
    return render(
        request,
        "partials/tree_children.html",
        {
            "nodes": [tree.Node(child, int(level) + 1 if level.isdecimal() else 2) for child in shown],
            "has_more": len(children) > len(shown),
            "section": section if section in SECTIONS else "account",
        },
    )


def tree_search(request: HttpRequest, enterprise_id: int) -> HttpResponse:
    """Accounts and lines of an enterprise that fit a text; nothing for nothing."""
    if enterprise_id not in request.tenancy.scope.enterprise_ids():
        raise Http404("Not in reach.")
    text = request.GET.get("q", "").strip()[:80]
    results = tree.search(request.tenancy.scope, enterprise_id, text) if text else None
    return render(request, "partials/found.html", {"text": text, "found": results})
