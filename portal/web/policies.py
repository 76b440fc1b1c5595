"""Policies of an account: begun from a template, built row by row, checked, replayed, published, taken back.

Every act is a form of one page, which works without script. What may be is said by `policies.publishing`.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from balances.errors import Refused
from balances.models import Account, Zone
from balances.scope import Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from policies import publishing, templates
from policies.models import Policy, PolicyState, PolicyVersion
from policies.rules import changes, rules_from_json
from portal.models import JobState
from portal.provisioning import replays
from portal.web import policy_rows
from portal.web.context import place
from portal.web.forms import acting, civil_time
from portal.web.reach import found

#: Lines and accounts of a replay that are listed.
MOST_SHOWN = 50


def policies_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The page of an account's policies; `?policy=` opens one."""
    scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-policies")
    manages = scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id)
    typed = fault = None
    if request.method == "POST":
        if not manages:
            raise Http404("Not in reach.")
        if request.POST.get("action") in ("save", "add-row"):
            typed = policy_rows.read(request.POST)
        try:
            if answer := _act(request, account, typed):
                return answer
        except Refused as refusal:
            fault = refusal.message
    policy = _chosen(request, account)
    return render(request, "policies/page.html", _context(request, account, policy, typed, fault, manages=manages))


def replay_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The panel of the latest replay, for a page that keeps itself up to date."""
    account = found(tree.account, request.tenancy.scope, account_id)
    policy = _chosen(request, account)
    version = _shown(policy)[0] if policy else None
    return render(request, "policies/replay.html", {"account": account, "policy": policy, **_replay(version, account)})


def _chosen(request: HttpRequest, account: Account) -> Policy | None:
    number = request.POST.get("policy") or request.GET.get("policy") or ""
    if not number:
        return None
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise Http404("No such policy.")
    return get_object_or_404(Policy.objects.select_related("account__enterprise"), id=number, account=account)


def _shown(policy: Policy) -> tuple[PolicyVersion, list[PolicyVersion]]:
    """The version in work, or else the latest; and all, latest first."""
    versions = list(policy.versions.order_by("-number"))
    for version in versions:
        version.policy = policy
    draft = next((version for version in versions if version.state == PolicyState.DRAFT), None)
    return draft or versions[0], versions


def _context(request, account: Account, policy: Policy | None, typed, fault: str | None, *, manages: bool) -> dict:
    now = acting(request)["at"]
    terms = terms_at(account.enterprise_id, now)
    zones = dict(Zone.objects.filter(operator__enterprises=account.enterprise_id).values_list("code", "name"))
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(request.tenancy.scope, account),
        "manages": manages and account.closed_at is None,
        "policies": _listed(Policy.objects.filter(account=account), now),
        "above": _listed(_above(request, account), now),
        "templates": templates.offered_to(account.enterprise_id).values(),
        "writes_templates": account.enterprise.operator_id in request.tenancy.scope.operator_ids,
        "policy": policy,
        "fault": fault,
        "now": now,
        "zone": terms.zone,
        "terms": terms,
        "zones": zones.items(),
        "choices": policy_rows,
    }
    if policy is not None:
        context |= _policy(policy, typed, zones, account)
    return context


def _policy(policy: Policy, typed, zones: dict[str, str], account: Account) -> dict:
    version, versions = _shown(policy)
    rules = rules_from_json(version.rules)
    is_draft = version.state == PolicyState.DRAFT
    standing = next((one for one in versions if one.state == PolicyState.PUBLISHED), None)
    if is_draft:
        conflicts = [conflict.words for conflict in publishing.conflicts(version, rules)]
    else:
        conflicts = [conflict["words"] for conflict in version.conflicts]
    forms = [*typed, policy_rows.blank(len(typed))] if typed is not None else policy_rows.forms_of(rules)
    for form in forms:
        while len(form.rows) < 2:
            form.rows.append(policy_rows.Row())
    history = []
    for newer, older in zip(versions, [*versions[1:], None], strict=True):
        before = rules_from_json(older.rules) if older else ()
        history.append((newer, changes(before, rules_from_json(newer.rules), zones)))
    return {
        "version": version,
        "is_draft": is_draft,
        "standing": standing,
        "sentences": [(rule.name, rule.words(zones), rule.hint) for rule in rules],
        "conflicts": conflicts,
        "rule_forms": forms,
        "history": history,
        **_replay(version, account),
    }


def _replay(version: PolicyVersion | None, account: Account) -> dict:
    job = replays.of_version(version).first() if version is not None else None
    replayed = job.counts.get("replay") if job and job.state == JobState.DONE else None
    if replayed:
        for row in replayed["lines"]:
            row["first"] = datetime.fromisoformat(row["first_at"])
        replayed["shown_lines"] = replayed["lines"][:MOST_SHOWN]
        replayed["shown_accounts"] = replayed["accounts"][:MOST_SHOWN]
    at = job.created_at if job else None
    terms = terms_at(account.enterprise_id, at) if at else None
    return {
        "job": job,
        "replayed": replayed,
        "is_stale": bool(job and version and job.parameters.get("rules") != version.rules),
        "replay_zone": terms.zone if terms else ZoneInfo("UTC"),
        "currency": terms.currency if terms else "",
    }


def _above(request, account: Account):
    ids = [one.id for one in tree.ancestors(request.tenancy.scope, account)]
    return Policy.objects.within(request.tenancy.scope).filter(account_id__in=ids)


def _listed(policies, now: datetime) -> list[tuple[Policy, str, PolicyVersion | None]]:
    """Policies with their state in words, by name."""
    listed = []
    for policy in policies.select_related("account").prefetch_related("versions").order_by("account__lft", "name"):
        versions = list(policy.versions.all())
        published = next((one for one in versions if one.state == PolicyState.PUBLISHED), None)
        draft = next((one for one in versions if one.state == PolicyState.DRAFT), None)
        state = "Retired"
        if published is not None:
            state = "Published" if published.effective_at <= now else "Published, begins later"
        if draft is not None:
            state = f"{state}, draft in work" if published else "Draft"
        listed.append((policy, state, published))
    return listed


def _act(request: HttpRequest, account: Account, typed) -> HttpResponse | None:
    """Do what was sent and lead to its result; None where the form is to be shown again. Raises Refused."""
    doing, action = acting(request), request.POST.get("action", "")
    if action == "template":
        made = publishing.create_from_template(account=account, template=request.POST.get("template", ""), **doing)
        messages.success(request, "Drafted. Nothing happens before you publish it.")
        return _to(made.policy)
    policy = _chosen(request, account)
    if policy is None or action == "add-row":
        return None
    version, _ = _shown(policy)
    note = request.POST.get("note", "")
    if action == "save":
        publishing.save_draft(policy=policy, rules=policy_rows.as_json(typed), note=note, **doing)
        messages.success(request, "The draft is saved and checked. Nothing happens before you publish it.")
    elif action == "publish":
        zone = terms_at(account.enterprise_id, doing["at"]).zone
        effective_at = civil_time(request.POST.get("effective_at", ""), zone, field="effective_at")
        publishing.publish(version=version, effective_at=effective_at, reason=request.POST.get("reason", ""), **doing)
        messages.success(request, f"Version {version.number} is published.")
    elif action == "undo":
        made = publishing.undo_publication(policy=policy, **doing)
        messages.success(request, f"Version {made.number} holds what held before." if made else "Nothing holds now.")
    elif action == "retire":
        publishing.retire(policy=policy, reason=request.POST.get("reason", ""), **doing)
        messages.success(request, "The policy does not hold any more.")
    elif action == "discard":
        publishing.discard(version=version, **doing)
        messages.success(request, "The draft is thrown away.")
        if not Policy.objects.filter(id=policy.id).exists():
            return redirect("account-policies", account.id)
    elif action == "replay":
        replays.start(version=version, created_by=request.user, at=doing["at"])
        return redirect(f"{reverse('account-policies', args=[account.id])}?policy={policy.id}#replay")
    return _to(policy)


def _to(policy: Policy) -> HttpResponse:
    return redirect(f"{reverse('account-policies', args=[policy.account_id])}?policy={policy.id}")
