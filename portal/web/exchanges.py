"""Exchanging units of a bucket for another service: what it comes to first, then one click."""

from __future__ import annotations

import uuid

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import exchange
from balances.exchange import Quote
from balances.models import Account, Bucket, Exchange
from balances.scope import Verb
from balances.selectors import history, tree
from balances.selectors.terms import progress_of, terms_at
from portal import figures
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent


class ExchangeForm(PortalForm):
    """How much, and for what."""

    action = "exchange"
    marks_optional = False

    amount = forms.CharField(label="Give", max_length=40)
    service = forms.ChoiceField(label="For")

    def __init__(self, *arguments, services: list[int], **options):
        super().__init__(*arguments, **options)
        self.fields["service"].choices = [(str(number), figures.SERVICE_WORDS[number]) for number in services]


def bucket_exchange(request: HttpRequest, bucket_id: int) -> HttpResponse:
    """The rates, the form, and what was typed with its effect; done once it is confirmed."""
    scope = request.tenancy.scope
    owners = ("account__enterprise", "line__person", "enterprise")
    bucket = get_object_or_404(Bucket.objects.within(scope, Verb.MANAGE).select_related(*owners), id=bucket_id)
    account_id = bucket.account_id or bucket.line.account_id
    account = Account.objects.within(scope).select_related("enterprise").filter(id=account_id).first()
    place(request, account=account, enterprise=bucket.enterprise, section="account-allowances")
    doing = acting(request)
    rates = [r for r in exchange.rates_at(bucket.enterprise_id, doing["at"]) if r.from_service == bucket.service]
    form = sent(request, ExchangeForm, services=[rate.to_service for rate in rates])
    quote: Quote | None = None
    if request.POST.get("confirmed"):
        done = attempt(form, lambda values: _do(request, bucket, form, values))
        if done:
            return redirect("bucket", done.to_bucket_id)
    else:
        quote = attempt(form, lambda values: _quote(bucket, form, values, doing))
    context = {
        "bucket": bucket,
        "owner": history.owner_name(bucket),
        "account": account,
        "breadcrumb": [*tree.ancestors(scope, account), account] if account else [],
        "rates": rates,
        "form": form,
        "quote": quote,
        "left_units": bucket.remaining_units - quote.given_units if quote else None,
        "key": uuid.uuid4(),
        "zone": terms_at(bucket.enterprise_id, doing["at"]).zone,
        "as_of": progress_of(bucket.enterprise_id).as_of,
    }
    return render(request, "allowances/exchange.html", context)


def _quote(bucket: Bucket, form: ExchangeForm, values: dict, doing: dict) -> Quote:
    units = form.quantity("amount", bucket.service) or 0
    return exchange.quote(bucket_id=bucket.id, to_service=int(values["service"]), units=units, at=doing["at"])


def _do(request: HttpRequest, bucket: Bucket, form: ExchangeForm, values: dict) -> Exchange:
    done = exchange.exchange(
        bucket_id=bucket.id,
        to_service=int(values["service"]),
        units=form.quantity("amount", bucket.service) or 0,
        key=f"screen:{request.user.pk}:{request.POST.get('key', '')[:40]}",
        **acting(request),
    )
    given = figures.quantity(done.given_units, bucket.service)
    received = figures.quantity(done.received_units, int(values["service"]))
    messages.success(request, f"{given} of “{bucket.name}” exchanged for {received}.")
    return done
