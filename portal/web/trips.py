"""Business trips of the people below an account: who travels where and when, declared and removed."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances.errors import Refused
from balances.models import Account, Person
from balances.scope import Scope, Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from policies.conditions.words import country_name
from policies.models import Trip
from policies.steering import trips
from portal.web.context import place
from portal.web.forms import CivilTimeField, PortalForm, acting, attempt, sent
from portal.web.reach import found, number_sent

PAGE = 100


class TripForm(PortalForm):
    """A trip to be declared."""

    action = "declare"

    person = forms.CharField(
        label="Who",
        max_length=80,
        help_text="Personnel number; begin with a name to choose one.",
        widget=forms.TextInput(attrs={"list": "people", "autocomplete": "off"}),
    )
    starts_at = CivilTimeField(label="From")
    ends_at = CivilTimeField(label="Until")
    countries = forms.CharField(
        label="Countries", max_length=250, required=False, help_text="Two letters each: FR, US. Empty: anywhere."
    )
    note = forms.CharField(label="Note", max_length=200, required=False)


def trips_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The trips of people below an account, those to come and under way first."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-steering")
    manages = scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id)
    now = acting(request)["at"]
    terms = terms_at(account.enterprise_id, now)
    form = sent(request, TripForm, zone=terms.zone)
    if request.method == "POST":
        if not manages:
            raise Http404("Not in reach.")
        if request.POST.get("action") == "remove":
            return _remove(request, account)
        if attempt(form, lambda values: _declare(request, account, values)):
            return redirect("account-trips", account.id)
    known = trips.declared(Trip.objects.within(scope).filter(tree.below(account, "person__account__")))
    page = Paginator(known, PAGE).get_page(request.GET.get("page"))
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(scope, account),
        "page": page,
        "rows": [(trip, [country_name(code) for code in trip.countries], _state(trip, now)) for trip in page],
        "people": Person.objects.within(scope, Verb.MANAGE).filter(tree.below(account, "account__"))[:500]
        if manages
        else [],
        "form": form if manages else None,
        "zone": terms.zone,
    }
    return render(request, "steering/trips.html", context)


def _state(trip: Trip, now) -> str:
    if trip.ends_at <= now:
        return "past"
    return "under way" if trip.starts_at <= now else "to come"


def _declare(request: HttpRequest, account: Account, values: dict) -> Trip:
    people = Person.objects.within(request.tenancy.scope, Verb.MANAGE).filter(enterprise_id=account.enterprise_id)
    person = people.filter(number=values["person"].strip()).first()
    if person is None:
        raise Refused(f"Nobody whom you run has the number “{values['person'].strip()}”.", field="person")
    values = {key: values[key] for key in ("starts_at", "ends_at", "countries", "note")}
    trip = trips.declare(person=person, **values, **acting(request))
    messages.success(request, f"{person.name} is on a business trip then, for charges from now on.")
    return trip


def _remove(request: HttpRequest, account: Account) -> HttpResponse:
    mine = Trip.objects.within(request.tenancy.scope, Verb.MANAGE).filter(enterprise_id=account.enterprise_id)
    trip = get_object_or_404(mine, id=number_sent(request, "trip"))
    try:
        trips.remove(trip=trip, **acting(request))
        messages.success(request, "The trip is removed: charges from now on know nothing of it.")
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("account-trips", account.id)
