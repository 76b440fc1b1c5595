"""The market of an account: offers to it, by it and to all; making, answering and taking them, shown first.

Owns: how an offer is typed and how its effect is shown. What may be is `balances.trading`'s matter. Nothing happens
by the first step; the second sends the same values with a key, so that pressing twice does it once.
"""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from balances import trading
from balances.errors import Refused
from balances.models import Account, Offer, Trade
from balances.models.trading import TradeState
from balances.scope import Scope, Verb
from balances.selectors import market, tree
from balances.selectors.market import MarketPage
from balances.units import SERVICE_NAMES, Service
from portal import figures
from portal.web import market_loans, market_standing, market_terms, quantities
from portal.web.context import place
from portal.web.forms import CivilTimeField, PortalForm, acting
from portal.web.market_effects import effect, effects_seen
from portal.web.reach import found, number_sent, read_number

SERVICES = [(str(int(service)), figures.SERVICE_WORDS[service]) for service in Service]


class OfferForm(PortalForm):
    """Units for units, for a price, or for nothing."""

    action = "offer"
    marks_optional = False

    bucket = forms.ChoiceField(label="Give from", required=False)
    gives = forms.CharField(label="Amount to give", max_length=40, required=False)
    wants_service = forms.ChoiceField(label="For units of", required=False, choices=[("", "nothing"), *SERVICES])
    wants = forms.CharField(label="Amount to get", max_length=40, required=False)
    price = forms.CharField(
        label="Internal price",
        max_length=20,
        required=False,
        help_text="Of one block, see the bands; empty for nothing.",
    )
    to = forms.CharField(
        label="To the account with the code",
        max_length=40,
        required=False,
        help_text="Empty: to all of the enterprise.",
    )
    minimum = forms.CharField(
        label="At least at once",
        max_length=40,
        required=False,
        help_text="Empty: one lot. What is left may be taken whole.",
    )
    expires_at = CivilTimeField(label="Stands until", required=False)
    returns_at = CivilTimeField(
        label="Comes back on", required=False, help_text="Makes it a loan: what is unused then goes back by itself."
    )

    def __init__(self, *arguments: Any, page: MarketPage, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.page = page
        self.fields["bucket"].choices = [("", "nothing: ask for units")] + [
            (
                str(h.bucket.id),
                f"{h.bucket.name}: {figures.quantity_or_none(h.bucket.remaining_units, h.bucket.service)}",
            )
            for h in page.holdings
        ]
        if page.holdings:
            self.fields["bucket"].initial = str(page.holdings[0].bucket.id)

    def wish(self) -> dict[str, Any]:
        """What was typed, as `trading.offer` takes it. Raises Refused."""
        values = self.cleaned_data
        holding = next((h for h in self.page.holdings if str(h.bucket.id) == values["bucket"]), None)
        wants_service = int(values["wants_service"]) if values["wants_service"] else None
        measure = holding.bucket.service if holding else wants_service
        if measure is None:
            raise Refused("Choose what you give, or what you ask for.", field="bucket")
        try:
            price = quantities.read_price(values["price"]) if values["price"].strip() else 0
        except quantities.NotAQuantity as refusal:
            raise Refused(refusal.message, field="price") from None
        return {
            "account": self.page.account,
            "bucket": holding.bucket if holding else None,
            "gives_units": self.quantity("gives", measure, default=0) if holding else 0,
            "wants_service": wants_service,
            "wants_units": self.quantity("wants", wants_service, default=0) if wants_service else 0,
            "price_micros": price,
            "minimum_units": self.quantity("minimum", measure),
            "expires_at": values["expires_at"],
            "returns_at": values["returns_at"],
        }


#: Fields of the write function -> fields of the form.
FORM_FIELDS = {
    "gives_units": "gives", "units": "gives", "wants_units": "wants", "price_micros": "price", "to_account": "to",
    "minimum_units": "minimum",
}  # fmt: skip


def market_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The page; what is sent is shown with its effect (`show-...`) or done."""
    scope: Scope = request.tenancy.scope
    page = found(market.market_page, scope, account_id, now=acting(request)["at"])
    place(request, account=page.account, section="account-market")
    manages = scope.allows(Verb.MANAGE, enterprise_id=page.account.enterprise_id, account_id=page.account.id)
    if request.method == "POST" and not manages:
        raise Http404("Not in reach.")
    action = request.POST.get("action", "") if request.method == "POST" else ""
    answered = _answered(request, scope)
    form = OfferForm(request.POST if action in ("offer", "do-offer") else None, page=page, zone=page.terms.zone)
    context = {
        "account": page.account,
        "breadcrumb": tree.ancestors(scope, page.account),
        "page": page,
        "form": form,
        "answered": answered,
        "standing_form": market_standing.form_of(request, page),
        "terms_form": market_terms.form_of(request, page),
        "terms_services": [(int(service), SERVICE_NAMES[service]) for service in Service],
        "manages": manages,
        "section": "account-market",
        "address": reverse("account-market", args=[page.account.id]),
    }
    try:
        answer = _acted(request, page, form, answered, context, action)
    except Refused as refusal:
        messages.error(request, f"Nothing was done: {refusal.message}")
        return redirect(context["address"])
    return answer or render(request, "market/page.html", context)


def _acted(
    request: HttpRequest, page: MarketPage, form: OfferForm, answered: Offer | None, context: dict, action: str
) -> HttpResponse | None:
    """What an action leads to; None for the page itself. Raises Refused."""
    doing = acting(request)
    scope: Scope = request.tenancy.scope
    if action in ("offer", "do-offer"):
        return _offer(request, page, form, answered, context, is_done=action == "do-offer")
    if action in ("accept", "do-accept"):
        return _accept(request, page, context, is_done=action == "do-accept")
    if action in ("withdraw", "decline"):
        side = {"from_account": page.account} if action == "withdraw" else {"to_account": page.account}
        offer = get_object_or_404(Offer.objects.within(scope), id=number_sent(request, "offer"), **side)
        (trading.withdraw if action == "withdraw" else trading.decline)(offer=offer, **doing)
        messages.success(request, "The offer is withdrawn." if action == "withdraw" else "The offer is refused.")
        return redirect(context["address"])
    if action in ("approve", "refuse"):
        waiting = Trade.objects.within(scope).filter(approver_account=page.account)
        trade = get_object_or_404(waiting, id=number_sent(request, "trade"))
        (trading.approve if action == "approve" else trading.refuse)(trade=trade, **doing)
        messages.success(request, "The trade is settled." if action == "approve" else "The trade is refused.")
        return redirect(context["address"])
    for part in (market_loans, market_standing, market_terms):
        if answer := part.acted(request, page, context, action):
            return answer
    return None


def _offer(
    request: HttpRequest, page: MarketPage, form: OfferForm, answered: Offer | None, context: dict, *, is_done: bool
) -> HttpResponse | None:
    """Show what an offer comes to, or make it."""
    if not form.is_valid():
        return None
    try:
        wish = form.wish()
        wish["counters"] = answered
        wish["to_account"] = answered.from_account if answered else _named(page.account, form.cleaned_data["to"])
        if is_done:
            key = f"screen:{request.user.pk}:{request.POST.get('key', '')[:40]}"
            made = trading.offer(**wish, key=key, **acting(request))
            until = figures.moment(made.expires_at, page.terms.zone)
            messages.success(request, f"The offer stands until {until}. You may withdraw it below.")
            return redirect(context["address"])
        trading.check(**wish, at=acting(request)["at"])
    except Refused as refusal:
        field = FORM_FIELDS.get(refusal.field or "", refusal.field)
        form.add_error(field if field in form.fields else None, refusal.message)
        return None
    service = wish["bucket"].service if wish["bucket"] else None
    changes = {service: -wish["gives_units"]} if service else {}
    if wish["wants_units"]:
        changes[wish["wants_service"]] = wish["wants_units"]
    effects = [effect(page, *change) for change in changes.items()]
    if wish["to_account"]:
        back = {service: -units for service, units in changes.items()}
        effects += effects_seen(request.tenancy.scope, page, wish["to_account"].id, back)
    sent = [(form.add_prefix(name), form.data.get(form.add_prefix(name), "")) for name in form.fields]
    return render(
        request,
        "market/preview.html",
        context
        | {
            "title": "Before it is offered",
            "effects": effects,
            "sent": [*sent, ("answer", answered.id if answered else "")],
            "key": str(uuid.uuid4()),
            "do": "do-offer",
            "to": wish["to_account"],
            "wish": wish,
        },
    )


def _accept(request: HttpRequest, page: MarketPage, context: dict, *, is_done: bool) -> HttpResponse:
    """Show what taking an offer comes to, or take it. Raises Refused."""
    offers = Offer.objects.within(request.tenancy.scope).select_related("from_account")
    offer = get_object_or_404(offers, id=number_sent(request, "offer"))
    typed = request.POST.get("amount", "").strip()
    units = quantities.read(typed, offer.service) if typed else None
    if is_done:
        key = f"screen:{request.user.pk}:{request.POST.get('key', '')[:40]}"
        trade = trading.accept(offer=offer, account=page.account, units=units, key=key, **acting(request))
        if trade.state == TradeState.WAITING:
            messages.success(request, f"This waits for who manages “{trade.approver_account.name}”.")
        else:
            messages.success(request, f"{figures.quantity(trade.units, offer.service)} have changed hands.")
        return redirect(context["address"])
    taken = offer.open_units if units is None else units
    if not 0 < taken <= offer.open_units:
        raise Refused(f"{figures.quantity(offer.open_units, offer.service)} are open.")
    gave, got = trading.portion(offer, taken)
    effects = []
    if gave:
        effects.append(effect(page, offer.gives_service, gave))
    if got:
        effects.append(effect(page, offer.wants_service, -got))
    # What is given lies in escrow already: its giver's free units change by what they get alone.
    theirs = {service: got if service == offer.wants_service else 0 for service in offer.services}
    effects += effects_seen(request.tenancy.scope, page, offer.from_account_id, theirs)
    extra = {
        "title": "Before it is accepted",
        "effects": effects,
        "sent": [("offer", offer.id), ("amount", typed)],
        "key": str(uuid.uuid4()),
        "do": "do-accept",
        "offer": offer,
        "amount_micros": trading.amount(offer, taken),
    }
    return render(request, "market/preview.html", context | extra)


def _answered(request: HttpRequest, scope: Scope) -> Offer | None:
    """The offer that the form answers, if it does."""
    text = request.POST.get("answer") or request.GET.get("answer") or ""
    if not text:
        return None
    offers = Offer.objects.within(scope).select_related("from_account")
    return get_object_or_404(offers, id=read_number(text))


def _named(account: Account, code: str) -> Account | None:
    if not code.strip():
        return None
    other = Account.objects.filter(enterprise_id=account.enterprise_id, code=code.strip(), closed_at=None).first()
    if other is None:
        raise Refused("This enterprise has no open account with this code.", field="to")
    return other
