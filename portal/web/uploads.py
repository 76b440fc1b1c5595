"""Sending a usage file: source, column profile, enterprise."""

from __future__ import annotations

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from balances.models import Enterprise, Operator, UsageSource
from balances.scope import Scope, Verb
from portal.charging import profiles
from portal.charging.columns import FIELDS, REQUIRED
from portal.models import Job
from portal.provisioning import uploads
from portal.web.forms import PortalForm, attempt, sent

BY_NUMBER = ""
MOST_SOURCES = 50


class UploadForm(PortalForm):
    """A usage file and how to read it."""

    action = "upload"

    file = forms.FileField(
        label="File",
        help_text="CSV, or CSV packed with gzip, of any length. You may drop it here.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.gz,.txt,text/csv,application/gzip"}),
    )
    source = forms.CharField(
        label="Source",
        max_length=60,
        help_text="Who reports. Ids of records are unique within a source: choose the same one every time.",
        widget=forms.TextInput(attrs={"list": "sources", "autocomplete": "off"}),
    )
    profile = forms.ChoiceField(label="Column profile", help_text="What the columns of this file mean.")
    enterprise = forms.ChoiceField(label="Enterprise", required=False)

    def __init__(self, *arguments, names: list[str], enterprises: list[Enterprise], **options):
        super().__init__(*arguments, **options)
        self.fields["profile"].choices = [(name, name) for name in names]
        choices = [(str(enterprise.id), enterprise.name) for enterprise in enterprises]
        if len(enterprises) > 1:
            choices.insert(0, (BY_NUMBER, "Each record's own, by the number of its line"))
        self.fields["enterprise"].choices = choices


def upload(request: HttpRequest) -> HttpResponse:
    """The form; what is sent becomes a job, whose page follows it."""
    scope: Scope = request.tenancy.scope
    enterprises = list(Enterprise.objects.within(scope, Verb.INGEST).select_related("operator"))
    operators = {enterprise.operator_id: enterprise.operator for enterprise in enterprises}
    if not operators:
        raise Http404("Nothing to send usage for.")
    operator = _operator(request, operators)
    enterprises = [enterprise for enterprise in enterprises if enterprise.operator_id == operator.id]
    last = Job.objects.filter(created_by=request.user, kind=uploads.KIND).order_by("-id").first()
    known = last.parameters if last else {}
    form = sent(
        request,
        UploadForm,
        names=profiles.names(operator.id),
        enterprises=enterprises,
        initial={"source": known.get("source", ""), "profile": known.get("profile", profiles.STANDARD_NAME)},
    )
    by_id = {str(enterprise.id): enterprise for enterprise in enterprises}

    def write(values: dict) -> Job:
        chosen = by_id.get(values["enterprise"]) or (enterprises[0] if len(enterprises) == 1 else None)
        return uploads.upload(
            file=values["file"],
            source=values["source"],
            profile=values["profile"],
            operator=operator,
            enterprise=chosen,
            scope=scope,
            created_by=request.user,
        )

    job = attempt(form, write)
    if job is not None:
        return redirect("job", job.id)
    context = {
        "form": form,
        "operator": operator,
        "operators": operators.values(),
        "sources": _sources(scope, operator),
        "fields": [(field, field in REQUIRED) for field in FIELDS],
        "example": _EXAMPLE,
    }
    return render(request, "uploads/new.html", context)


def _operator(request: HttpRequest, operators: dict[int, Operator]) -> Operator:
    """The operator whose profiles and sources are offered; most people have one."""
    wanted = request.GET.get("operator", "")
    if wanted.isdecimal() and int(wanted) in operators:
        return operators[int(wanted)]
    return next(iter(operators.values()))


def _sources(scope: Scope, operator: Operator) -> list[str]:
    """Names of sources to choose from: all of the operator for its own staff, for others none but what they type."""
    if operator.id not in scope.operator_ids:
        return []
    return list(
        UsageSource.objects.filter(operator=operator).order_by("name").values_list("name", flat=True)[:MOST_SOURCES]
    )


_EXAMPLE = """source_record_id,service,msisdn,units,started_at,ended_at,visited_network
cdr-1,data,491701000001,1048576,2026-03-10T09:00:00+01:00,,26201
cdr-2,voice,491701000002,125,2026-03-10T09:02:10+01:00,2026-03-10T09:04:15+01:00,26201"""
