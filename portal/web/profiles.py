"""Column profiles: how the operator's own usage files are read. Operators' staff write them; others may look."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances.models import Operator
from balances.scope import Scope, Verb
from balances.units import SERVICE_NAMES
from portal.charging import columns, profiles
from portal.charging.columns import DELIMITERS, ENCODINGS, FIELDS, REQUIRED, ROUNDINGS, UNITS, MissingColumns, RowReader
from portal.charging.records import Unidentifiable, Usage, public
from portal.models import ColumnProfile
from portal.web.forms import PortalForm, acting, attempt, sent

_THOUSANDS = [("", "nothing"), (",", "comma"), (".", "point"), (" ", "space"), ("'", "apostrophe")]
SAMPLE_MOST_ROWS = 5


class ProfileForm(PortalForm):
    """A mapping, field by field. Several columns of one field are parted by +."""

    action = "save"
    marks_optional = False

    name = forms.CharField(label="Name", max_length=60)
    delimiter = forms.ChoiceField(label="Columns are parted by", choices=list(DELIMITERS.items()))
    encoding = forms.ChoiceField(label="Encoding", choices=[(name, name) for name in ENCODINGS])
    time_format = forms.CharField(
        label="Time format", max_length=60, initial="iso", help_text="iso, or like %d.%m.%Y %H:%M:%S."
    )
    time_zone = forms.CharField(
        label="Time zone", max_length=40, required=False, help_text="For times without an offset, like Europe/Berlin."
    )
    decimal = forms.ChoiceField(label="Decimal sign", choices=[(".", "point"), (",", "comma")])
    thousands = forms.ChoiceField(label="Thousands are parted by", choices=_THOUSANDS, required=False)
    rounding = forms.ChoiceField(
        label="Fractions of a unit",
        choices=list(zip(ROUNDINGS, ["wait in suspense", "are rounded up", "are rounded to the nearest"], strict=True)),
    )
    services = forms.CharField(
        label="Service codes",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text="One a line: the file's code = data, voice, messaging or video_conferencing.",
    )
    sample = forms.CharField(
        label="Try it",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false", "wrap": "off"}),
        help_text="Paste the header and a few rows, then choose “Try”. Nothing is kept or charged.",
    )

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for field in FIELDS:
            required = field in REQUIRED
            self.fields[f"column_{field}"] = forms.CharField(
                label=field, required=required and field != "service", max_length=200, widget=_plain()
            )
        self.fields["fixed_service"] = forms.ChoiceField(
            label="or always", required=False, choices=[("", "not fixed"), *((n, n) for n in SERVICE_NAMES.values())]
        )
        for service, words in UNITS.items():
            self.fields[f"unit_{service}"] = forms.ChoiceField(
                label=service.replace("_", " "), choices=[(word, word) for word in words], required=False
            )

    def column_fields(self) -> list[forms.BoundField]:
        """The fields that name columns."""
        return [self[f"column_{field}"] for field in FIELDS]

    def unit_fields(self) -> list[forms.BoundField]:
        """The fields that say what units are counted in."""
        return [self[f"unit_{service}"] for service in UNITS]

    def mapping(self) -> dict[str, Any]:
        """The values as `ColumnProfile.mapping` keeps them."""
        values = self.cleaned_data
        named = {field: values.get(f"column_{field}", "") for field in FIELDS}
        mapping: dict[str, Any] = {
            "columns": {
                field: [part.strip() for part in text.split("+")] for field, text in named.items() if text.strip()
            },
            "services": _read_services(values["services"]),
            "units": {
                s: values[f"unit_{s}"] for s in UNITS if values.get(f"unit_{s}") not in ("", next(iter(UNITS[s])))
            },
        }
        for key in ("delimiter", "encoding", "decimal", "thousands", "rounding", "time_format", "time_zone"):
            mapping[key] = values[key]
        if values["fixed_service"]:
            mapping["constants"] = {"service": values["fixed_service"]}
        return mapping


def _plain() -> forms.TextInput:
    return forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})


def _read_services(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if line.strip())
    return {pair[0].strip(): pair[1].strip() if len(pair) > 1 else "" for pair in pairs}


def _initial(profile: ColumnProfile) -> dict[str, Any]:
    kept = columns.read_profile(profile.mapping)
    return {
        "name": profile.name,
        "delimiter": kept.delimiter,
        "encoding": kept.encoding,
        "time_format": kept.time_format,
        "time_zone": kept.time_zone,
        "decimal": kept.decimal,
        "thousands": kept.thousands,
        "rounding": kept.rounding,
        "services": "\n".join(f"{code} = {service}" for code, service in kept.services.items()),
        "fixed_service": kept.constants.get("service", ""),
        **{f"column_{field}": " + ".join(names) for field, names in kept.columns.items()},
        **{f"unit_{service}": unit for service, unit in kept.units.items()},
    }


def profile_list(request: HttpRequest) -> HttpResponse:
    """The profiles of one's operators."""
    operator = _operator(request)
    own = ColumnProfile.objects.filter(operator=operator).order_by("name")
    rows = [(profile, columns.read_profile(profile.mapping)) for profile in own]
    context = {"operator": operator, "rows": rows, "can_write": operator.id in _writable(request), "fields": FIELDS}
    return render(request, "profiles/list.html", context)


def profile_new(request: HttpRequest) -> HttpResponse:
    """A new profile."""
    operator = _operator(request)
    if operator.id not in _writable(request):
        raise Http404("Not yours to write.")
    return _edit(request, operator, None)


def profile(request: HttpRequest, profile_id: int) -> HttpResponse:
    """Change a profile, try it on a few rows, or remove it."""
    shown = get_object_or_404(_own(request), id=profile_id)
    if request.method == "POST" and request.POST.get("action") == "remove":
        profiles.remove(profile=shown, **acting(request))
        messages.success(request, f"“{shown.name}” is removed.")
        return redirect("profiles")
    return _edit(request, shown.operator, shown)


@dataclass(frozen=True, slots=True)
class Tried:
    """A row of the sample: what it would become, or what is wrong."""

    record: dict[str, Any]
    problem: str


def _edit(request: HttpRequest, operator: Operator, shown: ColumnProfile | None) -> HttpResponse:
    form = sent(request, ProfileForm, initial=_initial(shown) if shown else {})
    is_trial = "try" in request.POST

    def write(values: dict) -> object:
        mapping = form.mapping()
        if is_trial:
            return _try(mapping, values["sample"])
        return profiles.save(operator=operator, profile=shown, name=values["name"], mapping=mapping, **acting(request))

    done = attempt(form, write)
    if done is not None and not is_trial:
        messages.success(request, f"“{form.cleaned_data['name']}” is kept. Choose it when you upload a file.")
        return redirect("profiles")
    context = {"form": form, "operator": operator, "profile": shown, "tried": done if is_trial else None}
    return render(request, "profiles/edit.html", context)


def _try(mapping: dict[str, Any], sample: str) -> list[Tried]:
    """The first rows of a sample by a mapping. Raises ProfileRefused, MissingColumns."""
    kept = columns.read_profile(mapping)
    rows = [row for row in csv.reader(io.StringIO(sample), delimiter=kept.delimiter) if any(row)]
    if len(rows) < 2:
        raise columns.ProfileRefused("Paste the header and at least one row.", field="sample")
    try:
        reader = RowReader(kept, [name.strip() for name in rows[0]])
    except MissingColumns as missing:
        raise columns.ProfileRefused(missing.message, field="sample") from None
    return [_tried(reader, row) for row in rows[1 : SAMPLE_MOST_ROWS + 1]]


def _tried(reader: RowReader, row: list[str]) -> Tried:
    try:
        usage: Usage = reader.read(row)
    except Unidentifiable as error:
        return Tried({}, error.message)
    return Tried(public(usage), usage.raw["detail"] if usage.raw else "")


def _writable(request: HttpRequest) -> frozenset[int]:
    scope: Scope = request.tenancy.scope
    return scope.operator_ids


def _own(request: HttpRequest) -> QuerySet[ColumnProfile]:
    return ColumnProfile.objects.filter(operator_id__in=_writable(request)).select_related("operator")


def _operator(request: HttpRequest) -> Operator:
    """The operator whose profiles the user may use."""
    scope: Scope = request.tenancy.scope
    reach = Operator.objects.filter(id__in=scope.operator_ids) | Operator.objects.filter(
        enterprises__in=scope.whole_enterprise_ids(Verb.INGEST)
    )
    found = reach.distinct().order_by("id").first()
    if found is None:
        raise Http404("No operator in reach.")
    return found
