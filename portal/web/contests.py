"""Contests on screen: those of an account and all below it to decide, and filing one of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances.models import Account, Person, UsageRecord
from balances.scope import Scope, Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from portal import contest_words, contests
from portal.models import Contest, ContestState
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.reach import number_sent

MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A contest as managers and its person see it."""

    contest: Contest
    badge: tuple[str, str, str]
    stands: str
    shown: list[tuple[str, str]]
    currency: str

    @property
    def is_open(self) -> bool:
        return self.contest.state == ContestState.OPEN


class DecideForm(PortalForm):
    """Uphold or decline, with an answer to the person."""

    action = "decide"

    contest = forms.IntegerField(widget=forms.HiddenInput())
    answer = forms.CharField(label="Answer", max_length=contests.TEXT_LENGTH, required=False)


class ContestForm(PortalForm):
    """An objection to a charge of one's own."""

    action = "contest"

    reason = forms.CharField(
        label="Why should the company pay it?", max_length=contests.TEXT_LENGTH,
        widget=forms.Textarea(attrs={"rows": 3}),
    )  # fmt: skip
    shown = forms.MultipleChoiceField(
        label="What your manager may see of it", required=False, choices=list(contest_words.LABELS.items()),
        widget=forms.CheckboxSelectMultiple, initial=list(contests.SHOWN_BY_DEFAULT),
    )  # fmt: skip


def row_of(contest: Contest) -> Row:
    """A contest in words."""
    currency = terms_at(contest.enterprise_id, contest.used_at).currency
    stands = contest_words.stands(contest, contests.suspended(contest), currency)
    return Row(contest, contest_words.badge(contest), stands, contest_words.shown(contest), currency)


def of_account(request: HttpRequest, account_id: int) -> HttpResponse:
    """Contests of an account and all below it: open ones first, with their decision."""
    scope: Scope = request.tenancy.scope
    managed = Account.objects.within(scope, Verb.MANAGE).select_related("enterprise")
    account = get_object_or_404(managed, id=account_id)
    place(request, account=account, section="account-contests")
    below = Account.objects.within(scope, Verb.MANAGE).filter(tree.below(account)).order_by().values("id")
    rows = Contest.objects.within(scope, Verb.MANAGE).filter(enterprise=account.enterprise_id, account__in=below)
    if request.method == "POST":
        _decide(request, rows)
        return redirect(request.path)
    rows = rows.select_related("person", "line", "account")
    waiting = list(rows.filter(state=ContestState.OPEN).order_by("filed_at")[:MOST_SHOWN])
    decided = list(rows.exclude(state=ContestState.OPEN).order_by("-decided_at")[:MOST_SHOWN])
    context = {
        "account": account, "breadcrumb": tree.ancestors(scope, account), "section": "account-contests",
        "waiting": [row_of(contest) for contest in waiting], "decided": [row_of(contest) for contest in decided],
        "zone": terms_at(account.enterprise_id, datetime.now(UTC)).zone,
    }  # fmt: skip
    return render(request, "contests/page.html", context)


def _decide(request: HttpRequest, rows) -> None:
    contest = get_object_or_404(rows, id=number_sent(request, "decide-contest"))
    uphold = request.POST.get("verdict") == "uphold"
    form = sent(request, DecideForm)
    decided = attempt(
        form,
        lambda values: contests.decide(contest=contest, uphold=uphold, answer=values["answer"], **acting(request)),
    )
    if decided is not None:
        said = "The company pays it." if uphold else "It stays with the person."
        messages.success(request, f"Decided. {said}")
    for errors in form.errors.values():
        for error in errors:
            messages.error(request, error)


def filing(request: HttpRequest, record: UsageRecord, person: Person | None) -> tuple[ContestForm | None, Any]:
    """The form of a personal charge, or what became of it; (form, contest as a row or None)."""
    known = Contest.objects.within(request.tenancy.scope).filter(usage_id=record.id).first()
    if known is not None:
        return None, row_of(known)
    if person is None:
        return None, None
    form = sent(request, ContestForm)
    made = attempt(
        form,
        lambda values: contests.file(
            usages=[record], person=person, reason=values["reason"], shown=values["shown"], **acting(request)
        ),
    )
    if made:
        messages.success(request, "Your objection is filed. You are told here what becomes of it.")
        return None, row_of(made[0])
    return form, None
