"""Replay of who pays: what a version would have moved over the last 90 days, with progress; published from there.

What may be told is settled by `policies.steering.moves`; what a publication needs by `policies.steering.publishing`.
"""

from __future__ import annotations

from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances.errors import Refused
from balances.scope import Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from balances.units import SERVICES_BY_NAME
from policies.models import PolicyState, SteeringVersion
from policies.steering import publishing
from policies.steering.moves import DAYS_LEAST, PEOPLE_LEAST, RECORDS_LEAST
from portal.models import JobState
from portal.provisioning import steering_replays
from portal.web.context import place
from portal.web.forms import acting, civil_time

#: Rows of a table that are shown.
MOST_SHOWN = 50


def replay(request: HttpRequest, version_id: int) -> HttpResponse:
    """The page of a version's replay; started, watched, and the draft published, from here."""
    version = _version(request, version_id)
    account = version.steering.account
    place(request, account=account)
    manages = _manages(request, version)
    fault = None
    if request.method == "POST":
        if not manages:
            raise Http404("Not in reach.")
        try:
            _act(request, version)
            return redirect("steering-replay", version.id)
        except Refused as refusal:
            fault = refusal.message
    context = {
        "breadcrumb": tree.ancestors(request.tenancy.scope, account),
        "fault": fault,
        "is_draft": version.state == PolicyState.DRAFT,
        "draft_mark": version.made_at.isoformat(),
        **_replayed(request, version, manages=manages),
    }
    return render(request, "steering/replay.html", context)


def progress(request: HttpRequest, version_id: int) -> HttpResponse:
    """The panel of the latest replay, for a page that keeps itself up to date."""
    version = _version(request, version_id)
    return render(
        request, "steering/replay_panel.html", _replayed(request, version, manages=_manages(request, version))
    )


def _version(request: HttpRequest, version_id: int) -> SteeringVersion:
    reach = SteeringVersion.objects.within(request.tenancy.scope).select_related("steering__account__enterprise")
    return get_object_or_404(reach, id=version_id)


def _manages(request: HttpRequest, version: SteeringVersion) -> bool:
    account = version.steering.account
    return account.closed_at is None and request.tenancy.scope.allows(
        Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id
    )


def _act(request: HttpRequest, version: SteeringVersion) -> None:
    """Do what was sent. Raises Refused."""
    doing, action = acting(request), request.POST.get("action", "")
    if action == "replay":
        steering_replays.start(version=version, created_by=request.user, **doing)
    elif action == "publish":
        if request.POST.get("seen") != version.made_at.isoformat():
            raise Refused("The draft was changed meanwhile: look at it, and replay it, again.")
        zone = terms_at(version.enterprise_id, doing["at"]).zone
        effective_at = civil_time(request.POST.get("effective_at", ""), zone, field="effective_at")
        publishing.publish(version=version, effective_at=effective_at, reason=request.POST.get("reason", ""), **doing)
        messages.success(request, f"Version {version.number} is published.")


def _replayed(request: HttpRequest, version: SteeringVersion, *, manages: bool) -> dict:
    account = version.steering.account
    job = steering_replays.of_version(version).first()
    found = job.counts.get("replay") if job and job.state == JobState.DONE else None
    if found:
        for row in (*found["accounts"], *(found["people"] or []), found["leaving"]):
            row["moved"] = _by_service(row["units"] or {})
            row["returned"] = _by_service(row["returned_units"] or {})
        for row in (*found["coming"], *(found["listed"] or [])):
            row["service_code"] = int(SERVICES_BY_NAME[row["service"]])
        for row in found["listed"] or []:
            row["at"] = datetime.fromisoformat(row["used_at"])
        for name in ("accounts", "people", "listed"):
            found[f"shown_{name}"] = (found[name] or [])[:MOST_SHOWN]
    terms = terms_at(account.enterprise_id, job.created_at if job else acting(request)["at"])
    return {
        "version": version,
        "account": account,
        "manages": manages,
        "job": job,
        "replayed": found,
        "is_stale": bool(job and steering_replays.is_stale(job, version)),
        "zone": terms.zone,
        "currency": terms.currency,
        "least": {"records": RECORDS_LEAST, "people": PEOPLE_LEAST, "days": DAYS_LEAST},
    }


def _by_service(units: dict[str, int]) -> list[tuple[int, int]]:
    return [(int(SERVICES_BY_NAME[name]), count) for name, count in units.items() if count]
