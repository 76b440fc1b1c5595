"""When do I pay: the rules that hold for each of my lines in words, and who would pay for an event that one makes up.

What a personal account would pay shows only to who is proven to be the person, and for times at which the line was
theirs: of anybody else's account it would tell something.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from babel import Locale
from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from balances.errors import Refused
from balances.models import Account, Line, PersonAssignment, Zone
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
from portal.web.charges import names_for
from portal.web.forms import CivilTimeField, PortalForm, attempt, sent
from portal.web.me import mine_page, selves

#: How far back and ahead an event may be made up: what charging accepts.
BACK, AHEAD = timedelta(days=60), timedelta(days=366)


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

    line = forms.ChoiceField(label="Line")
    service = forms.ChoiceField(
        label="What", choices=[(name, figures.SERVICE_WORDS[code]) for code, name in SERVICE_NAMES.items()]
    )
    amount = forms.CharField(label="How much", max_length=40, help_text="Such as 200 MiB, 5 min or 1 message.")
    starts_at = CivilTimeField(label="When")
    where = forms.ChoiceField(label="Where", required=False)
    other_party = forms.CharField(label="With which number", max_length=20, required=False)
    application = forms.CharField(label="Application", max_length=80, required=False)

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
    mine = [row.line_id for row in held if row.person_id in proven]
    asked = [line for line in lines if line.id in mine]
    context = mine_page(request, "me-rules", rules=[_rules_of(group, now) for group in _by_account(lines)])
    if asked:
        context |= _asking(request, asked, proven, now)
    return render(request, "me/rules.html", context)


def countries(zones: list[Zone]) -> list[tuple[str, str]]:
    """The countries of an operator's zones abroad, by the code of one of their networks, in order of their names."""
    names, found = Locale("en").territories, {}
    for zone in zones:
        for network in zone.networks if not zone.is_home else ():
            found.setdefault(country_of(network) or network, network)
    return sorted(((network, names.get(code, code)) for code, network in found.items()), key=lambda row: row[1])


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
    found = [
        WordedRule(one.rule.name, one.rule.words(**said), one.account.name, one.rule.is_fixed) for one in along.rules
    ]
    place = along.default_of.steering.account.name if along.default_of else ""
    return HeldRules(
        line.account, lines, found, parts_words(along.default, terms.currency, _units), place,
        missing_words(along.missing, terms.currency),
    )  # fmt: skip


def _units(units: int, service: str) -> str:
    return figures.quantity(units, Service[service.upper()])


def _asking(request: HttpRequest, lines: list[Line], proven: set[int], now: datetime) -> dict[str, Any]:
    """The form with what it led to."""
    terms = terms_at(lines[0].enterprise_id, now)
    zones = list(Zone.objects.filter(operator__enterprises__in={line.enterprise_id for line in lines}))
    form = sent(
        request, AskForm, lines=lines, zones=zones, zone=terms.zone,
        initial={"starts_at": now.replace(second=0, microsecond=0), "service": "data", "amount": "100 MiB"},
    )  # fmt: skip
    foreseen = attempt(form, lambda values: _foresee(form, values, lines, proven, now))
    return {"form": form, "legs": _worded(request, foreseen, terms) if foreseen else [], "foreseen": foreseen,
            "service_code": Service[form.cleaned_data["service"].upper()] if foreseen else None}  # fmt: skip


def _foresee(form: AskForm, values: dict[str, Any], lines: list[Line], proven: set[int], now: datetime) -> Foreseen:
    """What charging says to the event. Raises Refused."""
    line = next(line for line in lines if str(line.id) == values["line"])
    starts = values["starts_at"]
    if not now - BACK <= starts <= now + AHEAD:
        raise Refused("Choose a time within the last 60 days or the next year.", field="starts_at")
    then = PersonAssignment.objects.filter(line=line, during__contains=starts, person__in=proven)
    if not then.exists():
        raise Refused("This line was not yours at that time.", field="starts_at")
    service = Service[values["service"].upper()]
    units = form.quantity("amount", service) or 0
    said: dict[str, Any] = {
        "source_record_id": "who-would-pay", "service": values["service"], "msisdn": line.msisdn, "units": units,
        "started_at": starts.isoformat(), "visited_network": values["where"],
        "other_party": "".join(filter(str.isdigit, values["other_party"])),
    }  # fmt: skip
    if service == Service.VOICE:
        said["ended_at"] = (starts + timedelta(seconds=min(units, 86_400))).isoformat()
    if values["application"].strip():
        said["attributes"] = {"application": values["application"].strip()}
    return steering_trial.foresee(line=line, usage=read_mapping(said), at=max(now, starts))


def _worded(request: HttpRequest, foreseen: Foreseen, terms: Terms) -> list[WordedLeg]:
    names = names_for(request.tenancy.scope, [leg.codes for leg in foreseen.legs])
    return [
        WordedLeg(
            leg, reasons.why(leg.codes, names), reasons.words(leg.codes, names),
            figures.money(leg.amount_micros, terms.currency) if leg.is_personal else "",
        )
        for leg in foreseen.legs
    ]  # fmt: skip
