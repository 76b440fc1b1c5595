"""Importing tree, people, devices and lines of an enterprise from CSV."""

from __future__ import annotations

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from balances.models import Enterprise
from balances.scope import Scope, Verb
from portal.models import Job
from portal.provisioning.imports import IMPORTS, TEMPLATES, upload
from portal.web.context import Navigation, place
from portal.web.forms import PortalForm, attempt


class ImportForm(PortalForm):
    """One file of one kind."""

    file = forms.FileField(label="CSV file", widget=forms.ClearableFileInput(attrs={"accept": ".csv,.txt,text/csv"}))


def imports(request: HttpRequest) -> HttpResponse:
    """The four kinds in the order in which they build on each other."""
    scope: Scope = request.tenancy.scope
    enterprises = list(Enterprise.objects.within(scope, Verb.MANAGE).select_related("operator"))
    if not enterprises:
        raise Http404("No enterprise to import into.")
    enterprise = _chosen(request, enterprises)
    place(request, enterprise=enterprise)
    bound = {kind: _form(request, kind) for kind in IMPORTS}
    for kind, form in bound.items():

        def write(values: dict, kind: str = kind) -> Job:
            return upload(kind=kind, file=values["file"], enterprise=enterprise, created_by=request.user)

        job = attempt(form, write)
        if job is not None:
            return redirect("job", job.id)
    context = {
        "enterprise": enterprise,
        "enterprises": enterprises,
        "kinds": [(IMPORTS[kind], form) for kind, form in bound.items()],
    }
    return render(request, "imports/page.html", context)


@require_GET
def template(request: HttpRequest, kind: str) -> HttpResponse:
    """A CSV file with the columns of a kind and one example row."""
    if kind not in TEMPLATES:
        raise Http404("No such import.")
    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
    return HttpResponse(TEMPLATES[kind].template, content_type="text/csv; charset=utf-8", headers=headers)


def _form(request: HttpRequest, kind: str) -> ImportForm:
    is_sent = request.method == "POST" and request.POST.get("kind") == kind
    return ImportForm(request.POST if is_sent else None, request.FILES if is_sent else None, prefix=kind)


def _chosen(request: HttpRequest, enterprises: list[Enterprise]) -> Enterprise:
    """The enterprise that the form or address names, else the one that the user is in."""
    by_id = {str(enterprise.id): enterprise for enterprise in enterprises}
    wanted = request.POST.get("enterprise") or request.GET.get("enterprise")
    if wanted:
        if wanted not in by_id:
            raise Http404("Not in reach.")
        return by_id[wanted]
    current = Navigation(request).enterprise
    return by_id.get(str(current.id) if current else "", enterprises[0])
