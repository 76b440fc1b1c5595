"""Uploads and imports under way and done: the list, one job, and the fragment by which it stays up to date."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from balances.scope import Scope, Verb
from balances.selectors.terms import terms_at
from portal.models import Job, JobState
from portal.provisioning import imports, uploads
from portal.web.context import manages, place

A_PAGE = 30


def within(request: HttpRequest) -> QuerySet[Job]:
    """Jobs in reach: of enterprises that the user manages, and the user's own for several."""
    scope: Scope = request.tenancy.scope
    reach = Job.objects.within(scope, Verb.MANAGE)
    if manages(scope):
        reach |= Job.objects.filter(enterprise__isnull=True, created_by=request.user)
    return reach.select_related("enterprise", "created_by").defer("errors")


def uploads_list(request: HttpRequest) -> HttpResponse:
    """Files sent so far, newest first, and the ways to send more."""
    page = Paginator(within(request).order_by("-created_at", "-id"), A_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "uploads/list.html",
        {
            "page_obj": page,
            "now": datetime.now(UTC),
            "can_send": bool(request.tenancy.scope.enterprise_ids(Verb.INGEST)),
        },
    )


def job(request: HttpRequest, job_id: int) -> HttpResponse:
    """One job; its progress keeps itself up to date."""
    shown = get_object_or_404(within(request), id=job_id)
    if shown.enterprise:
        place(request, enterprise=shown.enterprise)
    return render(request, "jobs/page.html", _progress(request, shown))


def job_progress(request: HttpRequest, job_id: int) -> HttpResponse:
    """The part of the page that changes; asks for itself again until the job has ended."""
    return render(request, "jobs/progress.html", _progress(request, get_object_or_404(within(request), id=job_id)))


def _progress(request: HttpRequest, shown: Job) -> dict[str, object]:
    outcome = uploads.outcome(shown) if shown.kind == uploads.KIND else None
    has_ended = shown.state in (JobState.DONE, JobState.FAILED) and (outcome is None or outcome.is_final)
    zone = terms_at(shown.enterprise_id, shown.created_at).zone if shown.enterprise_id else ZoneInfo("UTC")
    decided = outcome.accepted - outcome.waiting if outcome else 0
    return {
        "job": shown,
        "errors": uploads.errors_for(shown, request.tenancy.scope, request.user.pk),
        "outcome": outcome,
        "has_ended": has_ended,
        "percent_decided": decided * 100 // outcome.accepted if outcome and outcome.accepted else 0,
        "import": imports.IMPORTS.get(shown.kind),
        "zone": zone,
    }
