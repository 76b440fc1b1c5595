"""Loans on the market screen: bringing units back by hand, shown first, and forgiving what is owed."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import loans
from balances.errors import Refused
from balances.models import Bucket, Loan
from balances.models.buckets import BucketKind
from balances.selectors.market import MarketPage
from portal import figures
from portal.web import quantities
from portal.web.forms import acting
from portal.web.market_effects import effect, effects_seen
from portal.web.reach import number_sent


def acted(request: HttpRequest, page: MarketPage, context: dict[str, Any], action: str) -> HttpResponse | None:
    """What an action on a loan leads to; None where it is none. Raises Refused."""
    scope = request.tenancy.scope
    if action == "forgive":
        lent = Loan.objects.within(scope).filter(lender=page.account)
        loan = get_object_or_404(lent, id=number_sent(request, "loan"))
        loans.forgive(loan=loan, **acting(request))
        messages.success(request, "The loan is forgiven: nothing of it is owed any more.")
        return redirect(context["address"])
    if action not in ("repay", "do-repay"):
        return None
    borrowed = Loan.objects.within(scope).filter(borrower=page.account).select_related("lender", "bucket")
    loan = get_object_or_404(borrowed, id=number_sent(request, "loan"))
    source, units = _source(page, request.POST.get("bucket", "")), _units(request, loan)
    wish = {"loan": loan, "units": units, "bucket": source}
    if action == "do-repay":
        key = f"screen:{request.user.pk}:{request.POST.get('key', '')[:40]}"
        after = loans.repay(**wish, key=key, **acting(request))
        left = (
            f"{figures.quantity(after.owed_units, loan.service)} are still owed."
            if after.owed_units
            else "All is back."
        )
        messages.success(request, f"Units went back to {loan.lender.name}. {left}")
        return redirect(context["address"])
    after = loans.check_repay(**wish, at=acting(request)["at"])
    back = loan.owed_units - after.owed_units
    return render(
        request,
        "market/repay.html",
        context
        | {
            "loan": loan,
            "after": after,
            "back_units": back,
            "source": source or loan.bucket,
            "effects": [
                effect(page, loan.service, -back),
                *effects_seen(scope, page, loan.lender_id, {loan.service: back}),
            ],
            "sent": [
                ("loan", loan.id),
                ("bucket", source.id if source else ""),
                ("amount", request.POST.get("amount", "")),
            ],
            "key": str(uuid.uuid4()),
        },
    )


def _source(page: MarketPage, text: str) -> Bucket | None:
    """The account's own bucket that was chosen; None: what is unused of the loan itself."""
    if not text:
        return None
    found = next((h.bucket for h in page.holdings if str(h.bucket.id) == text), None)
    if found is None or found.kind == BucketKind.LOAN:
        raise Refused("Choose one of the account's own buckets.", field="bucket")
    return found


def _units(request: HttpRequest, loan: Loan) -> int | None:
    typed = request.POST.get("amount", "").strip()
    return quantities.read(typed, loan.service) if typed else None
