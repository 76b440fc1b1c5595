"""Tariffs for people: what an operator offers for their own usage, its versions side by side, another version, its end.

What may be is said by `balances.personal_tariffs`; only the operator's account managers come here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from balances import personal_tariffs
from balances.errors import Refused
from balances.models import Operator, PersonalTariff, PersonalTariffVersion, Zone
from balances.selectors import personal_tariffs as selector
from balances.selectors.personal_tariffs import Terms
from portal import figures
from portal.web import tariff_rows
from portal.web.forms import CivilTimeField, PortalForm, acting, attempt, sent
from portal.web.reach import found
from portal.web.tariff_rows import Typed


class TermsForm(PortalForm):
    """From when a version holds; its prices and allowances are sent beside it, in rows."""

    action = "terms"

    effective_at = CivilTimeField(label="Begins", required=False)

    def __init__(self, *arguments, is_first: bool, **options):
        super().__init__(*arguments, **options)
        clocks = f"Clocks of {options['zone'].key}. Empty: at once."
        past = " The first version may begin in the past, so that earlier usage on credit has a price."
        self.fields["effective_at"].help_text = clocks + (past if is_first else "")


class NewTariffForm(TermsForm):
    """The same of a tariff that is new."""

    name = forms.CharField(label="Name", max_length=80, widget=forms.TextInput(attrs={"autofocus": True}))
    currency = forms.CharField(
        label="Currency", min_length=3, max_length=3, initial="EUR", help_text="That of the enterprises' contracts."
    )
    field_order = ["name", "currency", "effective_at"]


def tariff_list(request: HttpRequest) -> HttpResponse:
    """What is offered, what it costs today, and how many people have it."""
    operators, now = operators_of(request), datetime.now(UTC)
    clocks = {operator.id: selector.clocks_of(operator) for operator in operators}
    known = selector.tariffs(request.tenancy.scope)
    rows = [(tariff, selector.timeline(tariff, now), clocks[tariff.operator_id]) for tariff in known]
    return render(request, "personal_tariffs/list.html", {"rows": rows, "operators": operators})


def tariff_new(request: HttpRequest) -> HttpResponse:
    """A tariff with its first version, in one act."""
    operators = operators_of(request)
    named = request.POST.get("operator") or request.GET.get("operator") or str(operators[0].id)
    operator = next((one for one in operators if str(one.id) == named), None)
    if operator is None:
        raise Http404("Not in reach.")
    return _edit(request, operator, None)


def version_new(request: HttpRequest, tariff_id: int) -> HttpResponse:
    """Another version, which begins as it is copied from the latest one."""
    shown = found(selector.tariff, request.tenancy.scope, tariff_id)
    if shown.retired_at is not None:
        raise Http404("This tariff is offered no more.")
    return _edit(request, shown.operator, shown)


def tariff(request: HttpRequest, tariff_id: int) -> HttpResponse:
    """Prices and allowances of today beside those to come, all versions, and the end of the offer."""
    shown = found(selector.tariff, request.tenancy.scope, tariff_id)
    if request.method == "POST" and request.POST.get("action") == "retire":
        personal_tariffs.retire_tariff(tariff=shown, **acting(request))
        messages.success(request, f"“{shown}” is offered no more. Whoever has it keeps it.")
        return redirect("personal-tariff", shown.id)
    now = datetime.now(UTC)
    times = selector.timeline(shown, now)
    columns = selector.terms_of(times.shown)
    context = {
        "tariff": shown,
        "times": times,
        "heads": [_head(terms, times.holds) for terms in columns],
        "sheet": selector.side_by_side(columns, zones_of(shown.operator)),
        "zone": selector.clocks_of(shown.operator),
    }
    return render(request, "personal_tariffs/tariff.html", context)


def operators_of(request: HttpRequest) -> list[Operator]:
    """The operators whose staff the reader is of; 404 for anybody else."""
    own = list(Operator.objects.filter(id__in=request.tenancy.scope.operator_ids).order_by("name"))
    if not own:
        raise Http404("Only for account managers of the operator.")
    return own


def zones_of(operator: Operator) -> list[Zone]:
    """The zones in which prices can be said, home first."""
    return list(Zone.objects.filter(operator=operator).order_by("-is_home", "is_default", "name"))


def _head(terms: Terms, holds: PersonalTariffVersion | None) -> dict[str, Any]:
    version = terms.version
    return {"version": version, "is_today": version is not None and version == holds}


def _edit(request: HttpRequest, operator: Operator, shown: PersonalTariff | None) -> HttpResponse:
    """Type a version, see what it changes, add it."""
    scope, now, clocks = request.tenancy.scope, datetime.now(UTC), selector.clocks_of(operator)
    times = selector.timeline(shown, now) if shown else selector.Timeline(None, [], [])
    latest = selector.terms_of([times.latest])[0] if times.latest else None
    zones = zones_of(operator)
    form = sent(request, NewTariffForm if shown is None else TermsForm, zone=clocks, is_first=times.latest is None)
    typed = tariff_rows.read(request.POST, zones) if form.is_bound else tariff_rows.of_terms(latest, zones)
    do = request.POST.get("do", "")
    preview = None

    def write(values: dict[str, Any]) -> PersonalTariff:
        terms = typed.checked()
        begins = values["effective_at"] or now
        with transaction.atomic():
            tariff = shown or personal_tariffs.create_tariff(
                operator=operator, name=values["name"], currency=values["currency"].upper(), **acting(request)
            )
            version = personal_tariffs.add_version(
                tariff=tariff,
                effective_at=begins,
                rates=terms.rates,
                allowances=terms.allowances,
                **acting(request) | {"at": now},
            )
        when = figures.moment(version.effective_at, clocks)
        messages.success(request, f"Version {version.number} of “{tariff}” holds from {when} on.")
        return tariff

    if do == "add-version" and (made := attempt(form, write)):
        return redirect("personal-tariff", made.id)
    if do == "show-version":
        preview = attempt(form, lambda values: _preview(typed, values, times, zones, now))
    context = {
        "operator": operator,
        "tariff": shown,
        "form": form,
        "typed": typed.with_room(),
        "zones": zones,
        "services": tariff_rows.SERVICES,
        "preview": preview,
        "zone": clocks,
        "currency": shown.currency if shown else (form.data.get("terms-currency") or "EUR").upper(),
        "people": selector.tariff(scope, shown.id).accepted_accounts if shown else 0,
    }
    return render(request, "personal_tariffs/edit.html", context)


def _preview(
    typed: Typed, values: dict[str, Any], times: selector.Timeline, zones: list[Zone], now: datetime
) -> dict[str, Any]:
    """The version beside what holds before it, as columns. Raises Refused."""
    begins = values["effective_at"] or now
    before = [version for version in times.shown if version.effective_at < begins][-1:]
    columns = [*selector.terms_of(before), typed.checked().as_terms()]
    sheet = selector.side_by_side(columns, zones)
    if before and not sheet.has_changes:
        raise Refused(f"Nothing differs from version {before[0].number}.")
    heads = [*(_head(terms, times.holds) for terms in columns[:-1]), {"version": None, "begins": begins}]
    return {"heads": heads, "sheet": sheet, "begins": begins}
