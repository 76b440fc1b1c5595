"""Standing transfers on the market screen: made with the first run shown before, paused, resumed and ended."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import standing
from balances.errors import Refused
from balances.models import Account, StandingTransfer
from balances.models.trading import Shortage
from balances.selectors.market import MarketPage
from balances.units import Service
from portal import figures
from portal.web.forms import CivilTimeField, PortalForm, acting
from portal.web.market_effects import effect, effects_seen
from portal.web.reach import number_sent

ACTS = {"pause": standing.pause, "resume": standing.resume, "end": standing.end}
DONE = {"pause": "The standing transfer is paused.", "resume": "It goes on.", "end": "The standing transfer has ended."}


class StandingForm(PortalForm):
    """So much of a service to another account in each cycle."""

    action = "standing"
    marks_optional = False

    to = forms.CharField(label="To the account with the code", max_length=40)
    service = forms.ChoiceField(label="Service", choices=[(str(int(s)), figures.SERVICE_WORDS[s]) for s in Service])
    amount = forms.CharField(label="Amount each cycle", max_length=40)
    day = forms.IntegerField(label="On day of the cycle", min_value=1, max_value=28, initial=1)
    on_shortage = forms.ChoiceField(label="Where there is less", choices=Shortage.choices)
    until = CivilTimeField(label="Until", required=False, help_text="Empty: until it is ended.")

    def wish(self, account: Account) -> dict[str, Any]:
        """What was typed, as `standing.make` takes it. Raises Refused."""
        values = self.cleaned_data
        code = values["to"].strip()
        other = Account.objects.filter(enterprise_id=account.enterprise_id, code=code, closed_at=None).first()
        if other is None:
            raise Refused("This enterprise has no open account with this code.", field="to")
        service = int(values["service"])
        return {
            "account": account,
            "to_account": other,
            "service": service,
            "units": self.quantity("amount", service),
            "day": values["day"],
            "on_shortage": values["on_shortage"],
            "until": values["until"],
        }


def form_of(request: HttpRequest, page: MarketPage) -> StandingForm:
    """The form, bound where this request has sent it."""
    is_sent = request.method == "POST" and request.POST.get("action") in ("standing", "do-standing")
    return StandingForm(request.POST if is_sent else None, zone=page.terms.zone)


def acted(request: HttpRequest, page: MarketPage, context: dict[str, Any], action: str) -> HttpResponse | None:
    """What an action on standing transfers leads to; None where it is none. Raises Refused."""
    if action in ACTS:
        own = StandingTransfer.objects.within(request.tenancy.scope).filter(from_account=page.account)
        row = get_object_or_404(own, id=number_sent(request, "standing"))
        ACTS[action](standing=row, **acting(request))
        messages.success(request, DONE[action])
        return redirect(context["address"])
    form: StandingForm = context["standing_form"]
    if action not in ("standing", "do-standing") or not form.is_valid():
        return None
    try:
        wish = form.wish(page.account)
        if action == "do-standing":
            key = f"screen:{request.user.pk}:{request.POST.get('key', '')[:40]}"
            made = standing.make(**wish, key=key, **acting(request))
            first = figures.moment(made.next_at, page.terms.zone)
            messages.success(request, f"The first run is due on {first}. You may pause or end it below.")
            return redirect(context["address"])
        made = standing.check(**wish, at=acting(request)["at"])
    except Refused as refusal:
        field = {"units": "amount", "to_account": "to"}.get(refusal.field or "", refusal.field)
        form.add_error(field if field in form.fields else None, refusal.message)
        return None
    now_units = wish["units"] - standing.pieces_of(made, acting(request)["at"])[1]
    return render(
        request,
        "market/standing_preview.html",
        context
        | {
            "made": made,
            "to": wish["to_account"],
            "now_units": now_units,
            "effects": [
                effect(page, made.service, -now_units),
                *effects_seen(request.tenancy.scope, page, made.to_account_id, {made.service: now_units}),
            ],
            "sent": [(form.add_prefix(name), form.data.get(form.add_prefix(name), "")) for name in form.fields],
            "key": str(uuid.uuid4()),
        },
    )
