"""What I am told: of my own account and objections, which nobody else sees, and of my lines; and how it is mailed."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from portal.models import Channel, Digest, NoticeKind
from portal.notices import inbox, preferences, words
from portal.web.forms import PortalForm, attempt, sent
from portal.web.me import mine_page

MOST_SHOWN = 50


class MailForm(PortalForm):
    """How what is personal is mailed."""

    action = "mail"
    marks_optional = False

    digest = forms.ChoiceField(
        label="E-mail", choices=Digest.choices,
        help_text="Says that there is news, and never what: others may read a company's mailbox.",
    )  # fmt: skip


def notices(request: HttpRequest) -> HttpResponse:
    """The latest, unread ones marked; the page fetches the list anew whenever the bell moves."""
    scope, user = request.tenancy.scope, request.user
    chosen = next(row[2] for row in preferences.table(user) if row[0] == NoticeKind.PERSONAL)
    form = sent(request, MailForm, initial={"digest": dict(chosen)[Channel.EMAIL.value]})
    kind, channel = NoticeKind.PERSONAL.value, Channel.EMAIL.value
    if attempt(form, lambda values: preferences.prefer(user=user, kind=kind, channel=channel, **values)):
        messages.success(request, "Saved. It holds for what happens from now on.")
        return redirect("me-notices")
    rows = [(row, words.message(row)) for row in inbox.own(scope, user)[:MOST_SHOWN]]
    return render(request, "me/notices.html", mine_page(request, "me-notices", rows=rows, form=form))
