"""When do I pay: the rules that hold for each of my lines in words, and who would pay for an event that one makes up.

A charge of one's own may be the start, to be changed. `portal.my_rules` says what may be asked, and answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from babel import Locale
from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from balances.errors import Refused
from balances.models import Line, PersonAssignment, UsageRecord, Zone
from balances.selectors import mine
from balances.selectors.terms import Terms, terms_at
from balances.units import SERVICE_NAMES, Service
from policies.conditions.places import country_of
from portal import figures, my_rules
from portal.charging import reasons
from portal.charging.records import read_mapping
from portal.charging.steering_trial import Foreseen, ForeseenLeg
from portal.web import quantities
from portal.web.charges import names_for
from portal.web.forms import CivilTimeField, PortalForm, attempt, sent
from portal.web.me import mine_page, selves
from portal.web.reach import found, read_number

#: What of the network's message the form asks for.
_NAMED = ("application", "apn")


@dataclass(frozen=True, slots=True)
class Begun:
    """A charge of one's own that the form began with; what it does not ask for is as it was."""

    record: UsageRecord
    attributes: Mapping[str, Any]
    initial: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WordedLeg:
    """What one payer would have of a piece of the event."""

    leg: ForeseenLeg
    why: str
    sentences: list[str]
    price: str


class AskForm(PortalForm):
    """An event that is made up."""

    action = "ask"
    marks_optional = False

    usage = forms.CharField(widget=forms.HiddenInput, required=False)
    line = forms.ChoiceField(label="Line")
    service = forms.ChoiceField(
        label="What", choices=[(name, figures.SERVICE_WORDS[code]) for code, name in SERVICE_NAMES.items()]
    )
    amount = forms.CharField(label="How much", max_length=40, help_text="Such as 200 MiB, 5 min or 1 message.")
    starts_at = CivilTimeField(label="When", to_the_second=True)
    ends_at = CivilTimeField(
        label="Until",
        required=False,
        to_the_second=True,
        help_text="Empty: calls last as long as they are, else at once.",
    )
    where = forms.ChoiceField(label="Where", required=False)
    other_party = forms.CharField(label="With which number", max_length=20, required=False)
    application = forms.CharField(label="Application", max_length=80, required=False)
    apn = forms.CharField(label="Access point (APN)", max_length=80, required=False)

    def __init__(self, *arguments, lines: list[Line], zones: list[Zone], **options):
        super().__init__(*arguments, **options)
        self.fields["line"].choices = [(line.id, figures.msisdn(line.msisdn)) for line in lines]
        self.fields["where"].choices = [("", "At home"), *countries(zones)]


def rules(request: HttpRequest) -> HttpResponse:
    """The rules of each of my lines, and the form."""
    now, people = datetime.now(UTC), selves(request)
    held = my_rules.lines_of(people, now)
    context = mine_page(request, "me-rules", rules=my_rules.rules_of(held.lines, now))
    if held.asked:
        context |= _asking(request, held.asked, my_rules.proven_ids(people), now)
    elif request.GET.get("usage"):
        raise Http404("Not in reach.")
    return render(request, "me/rules.html", context)


def may_be_asked(record: UsageRecord, person_ids: Collection[int]) -> bool:
    """Whether a charge may be the start of a question: it is not too old, and its line is theirs today."""
    now = datetime.now(UTC)
    held = PersonAssignment.objects.filter(line=record.line_id, person__in=person_ids, during__contains=now)
    return record.used_at >= now - my_rules.BACK and held.exists()


def countries(zones: list[Zone]) -> list[tuple[str, str]]:
    """The countries of an operator's zones abroad, by the code of one of their networks, in order of their names."""
    names, first = Locale("en").territories, {}
    for zone in zones:
        for network in zone.networks if not zone.is_home else ():
            first.setdefault(country_of(network) or network, network)
    return sorted(((network, names.get(code, code)) for code, network in first.items()), key=lambda row: row[1])


def _asking(request: HttpRequest, lines: list[Line], proven: frozenset[int], now: datetime) -> dict[str, Any]:
    """The form with what it led to."""
    terms = terms_at(lines[0].enterprise_id, now)
    zones = list(Zone.objects.filter(operator__enterprises__in={line.enterprise_id for line in lines}))
    begun = _begun(request, proven, zones)
    initial = {"starts_at": now.replace(second=0, microsecond=0), "service": "data", "amount": "100 MiB"}
    form = sent(
        request, AskForm, lines=lines, zones=zones, zone=terms.zone, initial=begun.initial if begun else initial
    )
    foreseen = attempt(form, lambda values: _foresee(form, values, lines, proven, now, begun))
    return {
        "begun": begun,
        "form": form,
        "legs": _worded(request, foreseen, terms) if foreseen else [],
        "foreseen": foreseen,
        "service_code": Service[form.cleaned_data["service"].upper()] if foreseen else None,
    }


def _begun(request: HttpRequest, proven: frozenset[int], zones: list[Zone]) -> Begun | None:
    """The charge of theirs that the form begins with, both halves of it as one; 404 where it is not theirs."""
    number = request.POST.get("ask-usage") or request.GET.get("usage")
    if not number:
        return None
    usages = [half.charge.usage for half in found(mine.explained, request.tenancy.scope, proven, read_number(number))]
    record = usages[-1]  # a personal half has all that the network said
    attributes = dict(record.attributes or {})
    country = country_of(record.visited_network) if record.visited_network else ""
    return Begun(record, attributes, {
        "usage": record.id, "line": record.line_id, "service": SERVICE_NAMES[record.service],
        "amount": quantities.write(sum(usage.units for usage in usages), record.service),
        "starts_at": min(usage.used_at for usage in usages),
        "ends_at": max((usage.ended_at for usage in usages if usage.ended_at), default=None),
        "where": next((network for network, _ in countries(zones) if country and country_of(network) == country), ""),
        "other_party": record.other_party,
        **{name: value for name in _NAMED if isinstance(value := attributes.get(name), str)},
    })  # fmt: skip


def _foresee(
    form: AskForm, values: dict[str, Any], lines: list[Line], proven: frozenset[int], now: datetime, begun: Begun | None
) -> Foreseen:
    """What charging says to the event. Raises Refused."""
    line = next(line for line in lines if str(line.id) == values["line"])
    service = Service[values["service"].upper()]
    units = form.quantity("amount", service) or 0
    starts, ends = values["starts_at"], values["ends_at"]
    if ends is None and service == Service.VOICE:
        # Not by the clocks of a zone: across a change of them they would be an hour wrong.
        ends = starts.astimezone(UTC) + timedelta(seconds=min(units, 86_400))
    last = max(starts, ends or starts)
    said: dict[str, Any] = {
        "source_record_id": "who-would-pay", "service": values["service"], "msisdn": line.msisdn, "units": units,
        "started_at": starts.isoformat(), "visited_network": values["where"],
        "other_party": "".join(filter(str.isdigit, values["other_party"])),
    }  # fmt: skip
    if ends is not None:
        said["ended_at"] = ends.isoformat()
    attributes = {name: values[name].strip() for name in _NAMED if values[name].strip()}
    if begun is not None:
        attributes = {name: value for name, value in begun.attributes.items() if name not in _NAMED} | attributes
        said["imei"] = begun.record.imei
        if values["where"] == begun.initial["where"]:
            said["visited_network"] = begun.record.visited_network
    if attributes:
        said["attributes"] = attributes
    try:
        usage = read_mapping(said)
        return my_rules.foresee(line=line, proven=proven, usage=usage, starts_at=starts, ends_at=last, now=now)
    except my_rules.NotYours as refusal:
        raise Refused(refusal.message, field="starts_at") from None


def _worded(request: HttpRequest, foreseen: Foreseen, terms: Terms) -> list[WordedLeg]:
    names = names_for(request.tenancy.scope, [leg.codes for leg in foreseen.legs])
    return [
        WordedLeg(
            leg, reasons.why(leg.codes, names), reasons.words(leg.codes, names),
            figures.money(leg.amount_micros, terms.currency) if leg.is_personal else "",
        )
        for leg in foreseen.legs
    ]  # fmt: skip
