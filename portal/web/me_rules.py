"""When do I pay: the rules that hold for each of my lines in words, and who would pay for an event that one makes up.

A charge of one's own may be the start, to be changed. What a personal account would pay shows only to who is proven to
be the person, and for times at which the line was theirs: of anybody else's account it would tell something.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from babel import Locale
from django import forms
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from balances.errors import Refused
from balances.models import Account, Line, PersonAssignment, UsageRecord, Zone
from balances.selectors import mine
from balances.selectors.terms import Terms, terms_at
from balances.units import SERVICE_NAMES, Service
from policies.conditions.places import country_of
from policies.steering import standing
from policies.steering.loading import catalogue_of
from policies.steering.rules import missing_words, parts_words
from portal import figures
from portal.charging import reasons, steering_trial
from portal.charging.records import read_mapping
from portal.charging.steering_trial import Foreseen, ForeseenLeg
from portal.web import quantities
from portal.web.charges import names_for
from portal.web.forms import CivilTimeField, PortalForm, attempt, sent
from portal.web.me import mine_page, selves
from portal.web.reach import found, read_number

#: How far back and ahead an event may be made up: what charging accepts.
BACK, AHEAD = timedelta(days=60), timedelta(days=366)
#: What of the network's message the form asks for.
_NAMED = ("application", "apn")


@dataclass(frozen=True, slots=True)
class WordedRule:
    """A rule in words and where it stands."""

    name: str
    text: str
    place: str
    is_fixed: bool


@dataclass(frozen=True, slots=True)
class HeldRules:
    """What holds for the lines of an account now, in the order in which it is asked."""

    account: Account
    lines: list[Line]
    rules: list[WordedRule]
    default: str
    default_place: str
    missing: str


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
    held = PersonAssignment.objects.filter(person__in=[one.person.id for one in people], during__contains=now)
    lines = [row.line for row in held.select_related("line__account", "line__enterprise").order_by("line__msisdn")]
    proven = {one.person.id for one in people if one.is_proven}
    proven_ids = {row.line_id for row in held if row.person_id in proven}
    asked = [line for line in lines if line.id in proven_ids]
    context = mine_page(request, "me-rules", rules=[_rules_of(group, now) for group in _by_account(lines)])
    if asked:
        context |= _asking(request, asked, proven, now)
    elif request.GET.get("usage"):
        raise Http404("Not in reach.")
    return render(request, "me/rules.html", context)


def may_be_asked(record: UsageRecord, person_ids: Collection[int]) -> bool:
    """Whether a charge may be the start of a question: it is not too old, and its line is theirs today."""
    now = datetime.now(UTC)
    held = PersonAssignment.objects.filter(line=record.line_id, person__in=person_ids, during__contains=now)
    return record.used_at >= now - BACK and held.exists()


def countries(zones: list[Zone]) -> list[tuple[str, str]]:
    """The countries of an operator's zones abroad, by the code of one of their networks, in order of their names."""
    names, first = Locale("en").territories, {}
    for zone in zones:
        for network in zone.networks if not zone.is_home else ():
            first.setdefault(country_of(network) or network, network)
    return sorted(((network, names.get(code, code)) for code, network in first.items()), key=lambda row: row[1])


def _by_account(lines: list[Line]) -> list[list[Line]]:
    """Lines of one account have the same rules."""
    groups: dict[int, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.account_id, []).append(line)
    return list(groups.values())


def _rules_of(lines: list[Line], now: datetime) -> HeldRules:
    line = lines[0]
    terms = terms_at(line.enterprise_id, now)
    zones = dict(Zone.objects.filter(operator__enterprises=line.enterprise_id).values_list("code", "name"))
    catalogue = catalogue_of(line.enterprise_id)
    along = standing.inherited(line.account, now, catalogue=catalogue)
    said = {"zone_names": zones, "currency": terms.currency, "catalogue": catalogue, "units_words": _units}
    worded = [
        WordedRule(one.rule.name, one.rule.words(**said), one.account.name, one.rule.is_fixed) for one in along.rules
    ]
    place = along.default_of.steering.account.name if along.default_of else ""
    return HeldRules(
        line.account, lines, worded, parts_words(along.default, terms.currency, _units), place,
        missing_words(along.missing, terms.currency),
    )  # fmt: skip


def _units(units: int, service: str) -> str:
    return figures.quantity(units, Service[service.upper()])


def _asking(request: HttpRequest, lines: list[Line], proven: set[int], now: datetime) -> dict[str, Any]:
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


def _begun(request: HttpRequest, proven: set[int], zones: list[Zone]) -> Begun | None:
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
    form: AskForm, values: dict[str, Any], lines: list[Line], proven: set[int], now: datetime, begun: Begun | None
) -> Foreseen:
    """What charging says to the event. Raises Refused."""
    line = next(line for line in lines if str(line.id) == values["line"])
    service = Service[values["service"].upper()]
    units = form.quantity("amount", service) or 0
    starts, ends = values["starts_at"], values["ends_at"]
    if ends is None and service == Service.VOICE:
        ends = starts + timedelta(seconds=min(units, 86_400))
    last = max(starts, ends or starts)
    if not now - BACK <= starts <= last <= now + AHEAD:
        raise Refused("Choose a time within the last 60 days or the next year.", field="starts_at")
    then = PersonAssignment.objects.filter(line=line, during__contains=starts, person__in=proven)
    if not then.filter(during__contains=DateTimeTZRange(starts, last)).exists():
        raise Refused("This line was not yours at that time.", field="starts_at")
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
    return steering_trial.foresee(line=line, usage=read_mapping(said), at=max(now, last))


def _worded(request: HttpRequest, foreseen: Foreseen, terms: Terms) -> list[WordedLeg]:
    names = names_for(request.tenancy.scope, [leg.codes for leg in foreseen.legs])
    return [
        WordedLeg(
            leg, reasons.why(leg.codes, names), reasons.words(leg.codes, names),
            figures.money(leg.amount_micros, terms.currency) if leg.is_personal else "",
        )
        for leg in foreseen.legs
    ]  # fmt: skip
