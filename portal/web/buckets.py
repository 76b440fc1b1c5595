"""A bucket: why it holds what it holds, entry by entry, now or at a past moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from balances.models import Account
from balances.scope import Scope
from balances.selectors import history, tree
from balances.selectors.history import Told
from balances.selectors.terms import progress_of, snapshot, terms_at
from portal import entry_words
from portal.web.as_of import AsOfForm
from portal.web.context import place
from portal.web.forms import acting
from portal.web.reach import found

ON_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Worded:
    """An entry with its sentence."""

    told: Told
    sentence: str


def bucket(request: HttpRequest, bucket_id: int) -> HttpResponse:
    """Figures and entries, latest first; `?moves=1` leaves usage out, `?as_of=` shows both as they were."""
    scope: Scope = request.tenancy.scope
    now: datetime = acting(request)["at"]
    with snapshot():
        shown = found(history.bucket, scope, bucket_id)
        terms = terms_at(shown.enterprise_id, min(now, shown.valid_until))
        form = AsOfForm.of(request, terms.zone, now)
        with_usage = "moves" not in request.GET
        entries = history.entries_of(scope, shown, with_usage=with_usage)
        if form.moment:
            entries = entries.filter(at__lte=form.moment)
            history.at_moment([shown], form.moment)
        before = request.GET.get("before", "")
        if before:
            if not (before.isascii() and before.isdigit() and len(before) < 19):
                raise Http404("No such entry.")
            entries = entries.filter(id__lt=int(before))
        page = list(entries.select_related("bucket")[: ON_A_PAGE + 1])
        told = history.told(scope, page[:ON_A_PAGE])
        progress = progress_of(shown.enterprise_id)
    account_id = shown.account_id or shown.line.account_id
    account = Account.objects.within(scope).select_related("enterprise").filter(id=account_id).first()
    place(request, account=account, enterprise=shown.enterprise)
    context = {
        "bucket": shown,
        "account": account,
        "owner": history.owner_name(shown),
        "breadcrumb": [*tree.ancestors(scope, account), account] if account else [],
        "source_owner": _source_owner(scope, shown),
        "rows": [Worded(each, entry_words.sentence(each)) for each in told],
        "older": page[ON_A_PAGE - 1].id if len(page) > ON_A_PAGE else None,
        "is_later": bool(before),
        "with_usage": with_usage,
        "form": form,
        "zone": terms.zone,
        "as_of": form.moment or progress.as_of,
    }
    return render(request, "allowances/bucket.html", context)


def _source_owner(scope: Scope, shown) -> str:
    """From whose bucket the units came; "" where there is none."""
    if shown.source is None or shown.source.account_id == shown.account_id:
        return ""
    account = Account.objects.within(scope).filter(id=shown.source.account_id).first()
    return account.name if account else "an account outside your view"
