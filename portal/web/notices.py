"""Notices: the inbox with its history, one notice with what can be done about it, preferences, webhooks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances.errors import Refused
from balances.models import Account, Enterprise, Threshold
from balances.scope import Scope, Verb
from balances.selectors import tree
from portal.models import (
    Channel,
    Delivery,
    Digest,
    Escalation,
    Notice,
    NoticeKind,
    NoticeSettings,
    Severity,
    Silence,
    User,
    WebhookEndpoint,
)
from portal.notice_models import WEEKDAYS
from portal.notices import deliver, inbox, webhooks, words
from portal.notices import preferences as wishes
from portal.web import notice_acts
from portal.web.context import manages_whole, place
from portal.web.forms import PortalForm, acting, attempt, sent

A_PAGE = 50
VIEWS = (("unread", "Unread"), ("mine", "Sent to me"), ("all", "Everything here"))
SPANS = (("1", "For 1 hour"), ("24", "For 1 day"), ("168", "For 1 week"), ("720", "For 30 days"))


class SilenceForm(PortalForm):
    """Hear nothing of a place for a while."""

    action = "silence"

    hours = forms.ChoiceField(label="How long", choices=SPANS, initial="24")
    scope = forms.ChoiceField(label="What", choices=[("kind", "Notices of this kind here"), ("all", "Everything here")])
    reason = forms.CharField(label="Why", max_length=200, help_text="Kept in the history, for whoever asks later.")


def notice_list(request: HttpRequest) -> HttpResponse:
    """Notices in reach: unread ones first of all, then all that were sent, then everything that happened."""
    scope, user = request.tenancy.scope, request.user
    view = request.GET.get("view", "")
    view = view if view in dict(VIEWS) else "unread"
    kind, severity = request.GET.get("kind", ""), request.GET.get("severity", "")
    if request.method == "POST" and request.POST.get("action") == "see-all":
        count = inbox.see_all(scope=scope, user=user, at=acting(request)["at"])
        messages.success(request, f"{count} marked as read." if count else "Nothing was unread.")
        return redirect("notices")
    found = inbox.notices(scope, user)
    if view == "unread":
        found = found.filter(delivery_state="sent", seen_at__isnull=True)
    elif view == "mine":
        found = found.filter(delivery_id__isnull=False)
    if kind in NoticeKind.values:
        found = found.filter(kind=kind)
    if severity in Severity.values:
        found = found.filter(severity=severity)
    page = Paginator(found, A_PAGE).get_page(request.GET.get("page"))
    kept = {"view": view, "kind": kind, "severity": severity}
    context = {
        "page_obj": page,
        "rows": [(row, words.message(row)) for row in page],
        "views": [(name, label, urlencode(kept | {"view": name})) for name, label in VIEWS],
        "filters": kept,
        "query": urlencode(kept),
        "kinds": _kinds(scope),
        "severities": Severity.choices,
        "manages_whole": manages_whole(scope),
        "kept_back": inbox.kept_back(scope, user, datetime.now(UTC)) if view == "unread" else 0,
        "unusual": urlencode({"view": "all", "kind": NoticeKind.ANOMALY}),
    }
    return render(request, "notices/list.html", context)


def _kinds(scope: Scope) -> list[tuple[str, str]]:
    """Kinds that there is something of; what is personal only for people."""
    return [kind for kind in NoticeKind.choices if kind[0] != NoticeKind.PERSONAL or scope.person_ids()]


def notice(request: HttpRequest, notice_id: int) -> HttpResponse:
    """One notice: what it says, who was told, what can be done. Opening it counts as reading it."""
    scope, user = request.tenancy.scope, request.user
    found = get_object_or_404(inbox.notices(scope, user), id=notice_id)
    account = found.account or (found.line.account if found.line else None)
    if account and scope.allows(Verb.VIEW, enterprise_id=account.enterprise_id, account_id=account.id):
        place(request, account=account)
    form = sent(request, SilenceForm)
    if request.method == "POST":
        try:
            if done := _act(request, found, form):
                messages.success(request, done)
                return redirect("notice", found.id)
        except Refused as refusal:
            messages.error(request, refusal.message)
    elif found.delivery_id and found.seen_at is None:
        inbox.see(notice=found, user=user, at=acting(request)["at"])
    context = {
        "notice": found,
        "message": words.message(found, why=found.why or "", also=inbox.also_told(found, user)),
        "answers": notice_acts.answers(request, found),
        "more": notice_acts.more(request, found),
        "form": form,
        "actions": notice_acts.links(request, found),
        "told": _told(request, found),
        "silences": Silence.objects.filter(user=user, until__gt=datetime.now(UTC), lifted_at__isnull=True)
        .filter(account=found.account, line=found.line)
        .order_by("until"),
        "breadcrumb": tree.ancestors(scope, account) if account else [],
        "manages_whole": manages_whole(scope),
    }
    return render(request, "notices/page.html", context)


def _act(request: HttpRequest, found: Notice, form: PortalForm) -> str | None:
    doing = acting(request)
    match request.POST.get("action"):
        case "acknowledge":
            inbox.acknowledge(notice=found, user=request.user, **doing)
            return "You take care of it. Nobody further up is called."
        case "silence":
            return attempt(form, lambda values: _silence(request, found, values, doing))
        case "lift":
            own = get_object_or_404(Silence, id=request.POST.get("silence") or 0, user=request.user)
            inbox.lift(silence=own, at=doing["at"])
            return "The silence is ended."
        case "replay":
            delivery = get_object_or_404(
                Delivery.objects.filter(endpoint__in=_endpoints(request)),
                id=request.POST.get("delivery") or 0,
                notice=found,
            )
            deliver.replay(delivery=delivery, at=doing["at"])
            return "It is posted again."
    return None


def _silence(request: HttpRequest, found: Notice, values: dict, doing: dict) -> str:
    until = doing["at"] + timedelta(hours=int(values["hours"]))
    kind = found.kind if values["scope"] == "kind" else ""
    inbox.silence(
        user=request.user, account=found.account, line=found.line, kind=kind, until=until, reason=values["reason"],
        **doing,
    )  # fmt: skip
    return "You hear nothing of it till then; what happens stays in the history."


def _told(request: HttpRequest, found: Notice) -> list[Delivery]:
    """Who was told by which channel: for those who manage the place; others see their own."""
    account = found.account or (found.line.account if found.line else None)
    deliveries = Delivery.objects.filter(notice=found).select_related("user", "endpoint")
    may = account and request.tenancy.scope.allows(
        Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id
    )
    if not may:
        deliveries = deliveries.filter(user=request.user)
    elif not request.tenancy.scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id):
        deliveries = deliveries.filter(endpoint__isnull=True)
    return list(deliveries.order_by("step", "id"))


# --- preferences ------------------------------------------------------------------------------------------------


class ClockForm(PortalForm):
    """Language, clock, and times at which e-mails wait."""

    action = "clock"
    marks_optional = False

    language = forms.ChoiceField(label="Language of e-mails", choices=[("en", "English"), ("de", "Deutsch")])
    time_zone = forms.CharField(label="Time zone", max_length=60, help_text="Like Europe/Berlin.")
    daily_at = forms.TimeField(
        label="Collected e-mails at",
        required=False,
        widget=forms.TimeInput({"type": "time"}),
    )
    weekly_on = forms.TypedChoiceField(
        label="Weekly ones on", choices=WEEKDAYS, coerce=int, required=False, empty_value=None
    )
    mute_from = forms.TimeField(label="No e-mail from", required=False, widget=forms.TimeInput({"type": "time"}))
    mute_until = forms.TimeField(label="until", required=False, widget=forms.TimeInput({"type": "time"}))


class EscalationForm(PortalForm):
    """After how long the next one up is told."""

    action = "escalation"

    account = forms.ModelChoiceField(label="For notices of", queryset=Account.objects.none())
    after_minutes = forms.IntegerField(
        label="Minutes", min_value=0, max_value=10_080, help_text="0: all are told at once."
    )


class FireForm(PortalForm):
    """Try a threshold's notice out."""

    action = "fire"

    threshold = forms.ModelChoiceField(label="Threshold", queryset=Threshold.objects.none())


def preferences(request: HttpRequest) -> HttpResponse:
    """What the user is told by which channel and when; escalation of accounts that they run; tests."""
    user, scope, doing = request.user, request.tenancy.scope, acting(request)
    known = NoticeSettings.objects.filter(user=user).first() or NoticeSettings(user=user)
    clock = sent(
        request,
        ClockForm,
        initial={
            "language": known.language,
            "time_zone": known.time_zone,
            "daily_at": known.daily_at,
            "weekly_on": known.weekly_on,
            "mute_from": known.mute_from,
            "mute_until": known.mute_until,
        },
    )
    escalation, fire = sent(request, EscalationForm), sent(request, FireForm)
    escalation.fields["account"].queryset = Account.objects.within(scope, Verb.MANAGE).order_by("lft")
    fire.fields["threshold"].queryset = marks = Threshold.objects.within(scope, Verb.MANAGE).select_related(
        "account", "line"
    )
    fire.fields["threshold"].label_from_instance = _mark_words
    done = None
    if request.method == "POST":
        done = _save(request, user, doing)
    done = (
        done
        or attempt(clock, lambda values: _set_clock(user, known, values))
        or attempt(escalation, lambda values: wishes.escalate(**values, **doing) or "It holds from the next notice on.")
    )
    if done:
        messages.success(request, done)
        return redirect("notice-preferences")
    if fired := attempt(fire, lambda values: wishes.fire(threshold=values["threshold"], user=user, at=doing["at"])):
        messages.success(request, "This is what it will look like. Only you were told, and it counts nowhere.")
        return redirect("notice", fired.id)
    context = {
        "table": [row for row in wishes.table(user) if row[0] in dict(_kinds(scope))],
        "manages_whole": manages_whole(scope),
        "channels": wishes.CHANNELS,
        "digests": Digest.choices,
        "clock": clock,
        "escalation": escalation if scope.enterprise_ids(Verb.MANAGE) else None,
        "escalations": Escalation.objects.within(scope, Verb.MANAGE).select_related("account"),
        "fire": fire if marks.exists() else None,
        "silences": Silence.objects.filter(user=user, until__gt=doing["at"], lifted_at__isnull=True)
        .select_related("account", "line")
        .order_by("until"),
    }
    return render(request, "notices/preferences.html", context)


def _set_clock(user: User, known: NoticeSettings, values: dict) -> str:
    """Save what was chosen; an hour or a day that was left out stays as it was."""
    kept = {
        name: values[name] if values[name] is not None else getattr(known, name) for name in ("daily_at", "weekly_on")
    }
    wishes.set_clock(user=user, **{**values, **kept})
    return "Saved."


def _mark_words(mark: Threshold) -> str:
    level = f"{mark.percent} %" if mark.percent else f"{mark.units} units"
    return f"{mark.account or mark.line}: {mark.get_service_display()} at {level}"


def _save(request: HttpRequest, user, doing: dict) -> str | None:
    match request.POST.get("action"):
        case "wishes":
            for kind in NoticeKind.values:
                for channel in wishes.CHANNELS:
                    digest = request.POST.get(f"{kind}.{channel}")
                    if digest in Digest.values:
                        wishes.prefer(user=user, kind=kind, channel=channel, digest=digest)
            return "Saved. It holds for what happens from now on."
        case "lift":
            own = get_object_or_404(Silence, id=request.POST.get("silence") or 0, user=user)
            inbox.lift(silence=own, at=doing["at"])
            return "The silence is ended."
    return None


# --- webhooks ---------------------------------------------------------------------------------------------------


class EndpointForm(PortalForm):
    """Where notices are posted."""

    action = "add"

    enterprise = forms.ModelChoiceField(label="Enterprise", queryset=Enterprise.objects.none(), empty_label=None)
    url = forms.CharField(label="Address", max_length=400, help_text="https://…, reachable from the internet.")
    kinds = forms.MultipleChoiceField(
        label="Only these kinds",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[kind for kind in NoticeKind.choices if kind[0] in webhooks.POSTED],
    )


def _endpoints(request: HttpRequest):
    """Endpoints of enterprises that the reader runs as a whole."""
    return WebhookEndpoint.objects.filter(enterprise_id__in=request.tenancy.scope.whole_enterprise_ids(Verb.MANAGE))


def webhook_list(request: HttpRequest) -> HttpResponse:
    """Endpoints of the enterprises that one runs, their last posts, and the form for another one."""
    scope = request.tenancy.scope
    whole = scope.whole_enterprise_ids(Verb.MANAGE)
    if not whole:
        raise Http404("No enterprise to have webhooks for.")
    form = sent(request, EndpointForm)
    form.fields["enterprise"].queryset = Enterprise.objects.filter(id__in=whole).order_by("name")
    doing, made = acting(request), None
    if request.POST.get("action") == "remove":
        webhooks.disable(endpoint=get_object_or_404(_endpoints(request), id=request.POST.get("endpoint") or 0), **doing)
        messages.success(request, "Nothing is posted there any more.")
        return redirect("webhooks")
    if request.POST.get("action") == "replay":
        posted = Delivery.objects.filter(endpoint__in=_endpoints(request), channel=Channel.WEBHOOK)
        deliver.replay(delivery=get_object_or_404(posted, id=request.POST.get("delivery") or 0), at=doing["at"])
        messages.success(request, "It is posted again within seconds, with the same id.")
        return redirect("webhooks")
    if request.POST.get("action") == "send-again":
        failed = get_object_or_404(deliver.given_up(list(whole)), id=request.POST.get("delivery") or 0)
        deliver.replay(delivery=failed, at=doing["at"])
        messages.success(request, "It is tried again within seconds.")
        return redirect("webhooks")
    made = attempt(form, lambda values: webhooks.add(**values, **doing))
    endpoints = _endpoints(request).select_related("enterprise").order_by("disabled_at", "-id")
    log = Delivery.objects.filter(endpoint__in=endpoints).select_related("notice__account", "endpoint")
    page = Paginator(log.order_by("-id"), A_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "made": made,
        "endpoints": endpoints,
        "page_obj": page,
        "given_up": deliver.given_up(list(whole))[:A_PAGE],
    }
    response = render(request, "notices/webhooks.html", context)
    response["Cache-Control"] = "no-store"
    return response
