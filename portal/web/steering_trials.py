"""Who would pay?: a form for a made-up event, or a real one of the company as start, and what would become of it."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from balances import masking
from balances.errors import Refused
from balances.models import Line, UsageRecord
from balances.models.counters import Payer
from balances.scope import Scope
from balances.selectors import tree
from balances.selectors.terms import terms_at
from balances.units import SERVICE_NAMES
from policies.models import PolicyState, SteeringVersion
from portal import figures, steering_trials
from portal.charging.suspense import REASON_TEXTS
from portal.steering_trials import Trial
from portal.web import quantities
from portal.web.context import place
from portal.web.forms import CivilTimeField, PortalForm, acting, attempt
from portal.web.reach import found, read_number

#: Lines that are offered by name.
LINES_MOST = 200
ATTRIBUTES_MOST = 4_000


class TrialForm(PortalForm):
    """An event that did not happen."""

    marks_optional = False

    line = forms.CharField(
        label="Line",
        max_length=40,
        help_text="Its number.",
        widget=forms.TextInput(attrs={"list": "lines", "autocomplete": "off"}),
    )
    service = forms.ChoiceField(
        label="Service", choices=[(str(number), figures.SERVICE_WORDS[number]) for number in SERVICE_NAMES]
    )
    amount = forms.CharField(label="How much", max_length=40, help_text="500 MiB, 10 min, 1.")
    starts_at = CivilTimeField(label="Begins", to_the_second=True)
    ends_at = CivilTimeField(label="Ends", required=False, help_text="Empty: at once.", to_the_second=True)
    where = forms.CharField(
        label="Where", max_length=20, required=False, help_text="A country such as FR, or a network such as 20801. "
        "Empty: at home."
    )  # fmt: skip
    other_party = forms.CharField(label="Other party", max_length=40, required=False, help_text="With country code.")
    application = forms.CharField(label="Application", max_length=80, required=False)
    apn = forms.CharField(label="APN or DNN", max_length=80, required=False)
    imei = forms.CharField(label="Device", max_length=20, required=False, help_text="Its IMEI.")
    attributes = forms.CharField(
        label="Other attributes of the network's message",
        max_length=ATTRIBUTES_MOST,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "input mono"}),
        help_text='As JSON: {"rating_group": 100, "rat_type": "NR"}.',
    )
    draft = forms.BooleanField(label="Ask the draft of this account instead of what holds", required=False)

    def clean_attributes(self) -> dict[str, Any]:
        """An object, or nothing."""
        text = self.cleaned_data["attributes"].strip()
        if not text:
            return {}
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            raise forms.ValidationError("This is no JSON.") from None
        if not isinstance(said, dict):
            raise forms.ValidationError("Write an object: names and values in curly brackets.")
        return said


def try_steering(request: HttpRequest, account_id: int) -> HttpResponse:
    """The form, and after it what would become of the event; `?usage=` begins with a real one, `?line=` with a line."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-steering")
    now = acting(request)["at"]
    terms = terms_at(account.enterprise_id, now)
    draft = (
        SteeringVersion.objects.within(scope)
        .filter(steering__account=account, state=PolicyState.DRAFT)
        .select_related("steering")
        .first()
    )
    lines = Line.objects.within(scope).filter(tree.below(account, "account__")).select_related("person")
    start = _start(request, scope, account, lines)
    initial = {"starts_at": now, "amount": "500 MiB", "draft": bool(draft and request.GET.get("draft"))} | start
    form = TrialForm(request.POST if request.method == "POST" else None, zone=terms.zone, initial=initial)
    if draft is None:
        del form.fields["draft"]

    def ask(values: dict[str, Any]) -> Trial:
        return _tried(scope, lines, values, form, draft if values.get("draft") else None, now)

    trial = attempt(form, ask)
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(scope, account),
        "form": form,
        "trial": trial,
        "reason_text": REASON_TEXTS.get(trial.reason) if trial else None,
        "is_of_draft": bool(trial and form.cleaned_data.get("draft")),
        "draft": draft,
        "lines": lines.order_by("msisdn")[:LINES_MOST],
        "began_with": request.GET.get("usage"),
        "zone": terms.zone,
        "currency": terms.currency,
    }
    return render(request, "steering/try.html", context)


def _tried(scope: Scope, lines, values: dict, form: TrialForm, draft: SteeringVersion | None, now) -> Trial:
    digits = "".join(sign for sign in values["line"] if sign.isdigit())
    line = lines.filter(msisdn=digits).first() if digits else None
    if line is None:
        raise Refused("No line of this account or below has this number.", field="line")
    service = int(values["service"])
    attributes = dict(values["attributes"])
    for name in ("application", "apn"):
        if values[name].strip():
            attributes[name] = values[name].strip()
    said = {
        "ended_at": values["ends_at"],
        "visited_network": steering_trials.network(values["where"]),
        "other_party": _digits(values["other_party"]),
        "imei": _digits(values["imei"]),
        "attributes": attributes,
    }
    units = form.quantity("amount", service)
    usage = steering_trials.usage_of(line, service, units, values["starts_at"], said)
    return steering_trials.tried(scope=scope, line=line, usage=usage, now=now, draft=draft)


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


def _start(request: HttpRequest, scope: Scope, account, lines) -> dict[str, Any]:
    """What the form begins with: a real usage record of the company, as far as the reader sees it, or a line."""
    if number := request.GET.get("line"):
        line = lines.filter(id=read_number(number)).first()
        return {"line": f"+{line.msisdn}"} if line else {}
    number = request.GET.get("usage")
    if not number:
        first = lines.filter(person__isnull=False).order_by("msisdn").first() or lines.order_by("msisdn").first()
        return {"line": f"+{first.msisdn}"} if first else {}
    known = UsageRecord.objects.within(scope).filter(payer=Payer.CORPORATE, enterprise_id=account.enterprise_id)
    record = known.filter(id=read_number(number), line__in=lines).select_related("line").first()
    if record is None:
        raise Http404("Not in reach.")
    masking.show([record], scope)
    attributes = dict(record.attributes or {})
    return {
        "line": f"+{record.line.msisdn}",
        "service": str(record.service),
        "amount": quantities.write(record.charged_units, record.service),
        "starts_at": record.used_at,
        "ends_at": record.ended_at,
        "where": record.visited_network,
        "imei": record.imei,
        "application": _text(attributes.pop("application", "")),
        "apn": _text(attributes.pop("apn", "")),
        "attributes": json.dumps(attributes, ensure_ascii=False) if attributes else "",
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
