"""Terms of trading on the market screen: said for an account and those below it, with what then holds shown before."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from balances import trading_terms
from balances.errors import Refused
from balances.models import TradingTerms
from balances.selectors.market import MarketPage
from balances.trading_terms import TermsInForce
from balances.units import SERVICES_BY_NAME, Service
from portal import figures
from portal.web import quantities
from portal.web.forms import PortalForm, acting
from portal.web.reach import chosen_service

INHERITED = "as the account above says"
ANSWERS = [("", INHERITED), ("yes", "yes"), ("no", "no")]
LABELS = {
    "may_trade": "May trade",
    "may_regift": "May trade on what came by a trade",
    "floor_units": "Keeps at least",
    "lot_units": "Trades in lots of",
    "approval_above_units": "Approval above",
}


class TermsForm(PortalForm):
    """What an account says about one service; what is left empty is said by the accounts above."""

    action = "terms"
    marks_optional = False

    service = forms.CharField(widget=forms.HiddenInput)
    may_trade = forms.ChoiceField(label=LABELS["may_trade"], choices=ANSWERS, required=False)
    may_regift = forms.ChoiceField(label=LABELS["may_regift"], choices=ANSWERS, required=False)
    floor_units = forms.CharField(label=LABELS["floor_units"], max_length=40, required=False)
    lot_units = forms.CharField(label=LABELS["lot_units"], max_length=40, required=False)
    approval_above_units = forms.CharField(label=LABELS["approval_above_units"], max_length=40, required=False)

    def clean_service(self) -> int:
        """The service by its name."""
        number = SERVICES_BY_NAME.get(self.cleaned_data["service"])
        if number is None:
            raise forms.ValidationError("There is no such service.")
        return int(number)

    def wish(self) -> dict[str, Any]:
        """What was typed, as `set_terms` takes it. Raises Refused."""
        values, service = self.cleaned_data, self.cleaned_data["service"]
        wish: dict[str, Any] = {"service": service}
        for name in ("may_trade", "may_regift"):
            wish[name] = None if not values[name] else values[name] == "yes"
        for name in ("floor_units", "lot_units", "approval_above_units"):
            wish[name] = self.quantity(name, service)
        return wish


def form_of(request: HttpRequest, page: MarketPage) -> TermsForm:
    """The form: as sent, or with what the account itself says of the service that the address names."""
    if request.method == "POST" and request.POST.get("action") in ("terms", "do-terms"):
        return TermsForm(request.POST)
    service = chosen_service(request) or Service.DATA
    said = TradingTerms.objects.filter(account=page.account, service=service).first()
    initial: dict[str, Any] = {"service": service.name.lower()}
    for name in trading_terms.FIELDS if said else ():
        value = getattr(said, name)
        if isinstance(value, bool):
            initial[name] = "yes" if value else "no"
        elif value is not None:
            initial[name] = quantities.write(value, service)
    return TermsForm(initial=initial)


def acted(request: HttpRequest, page: MarketPage, context: dict[str, Any], action: str) -> HttpResponse | None:
    """What saying terms leads to; None where it is something else, or cannot be read."""
    form: TermsForm = context["terms_form"]
    if action not in ("terms", "do-terms") or not form.is_valid():
        return None
    try:
        wish = form.wish()
        if action == "do-terms":
            trading_terms.set_terms(account=page.account, **wish, **acting(request))
            messages.success(request, "The terms hold for what is offered and accepted from now on.")
            return redirect(context["address"])
        after = trading_terms.check_terms(account=page.account, **wish, at=acting(request)["at"])
    except Refused as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return None
    service = wish["service"]
    before = trading_terms.terms_of(page.account, service)
    return render(
        request,
        "market/terms_preview.html",
        context
        | {
            "service": service,
            "rows": [(LABELS[n], _words(before, n, service), _words(after, n, service)) for n in trading_terms.FIELDS],
            "sent": [(form.add_prefix(name), form.data.get(form.add_prefix(name), "")) for name in form.fields],
        },
    )


def _words(terms: TermsInForce, name: str, service: int) -> str:
    """A field in words, and who says so."""
    value, place = getattr(terms, name), terms.said_by[name]
    if value is None:
        words = "never needed"
    elif isinstance(value, bool):
        words = "yes" if value else "no"
    else:
        words = figures.quantity_or_none(value, service)
    return f"{words}, says {place.name}" if place is not None else f"{words}, nobody says otherwise"
