"""Mine: what the company pays and what I pay, why, and my personal account with its acceptance.

Personal parts show only to who is proven to be the person; others are told how to get a code. Figures carry the time
of which they are. Nothing here decides who pays or what it costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from balances.periods import Period
from balances.scope import Scope
from balances.selectors import mine
from balances.selectors import payer as payers
from balances.selectors.mine import MyCharge
from balances.selectors.payer import Payer
from balances.selectors.terms import Progress, Terms, progress_of, snapshot, terms_at
from portal import acceptance, contest_words, figures, payer_words
from portal.charging import reasons
from portal.models import Contest
from portal.people import Oneself, oneself
from portal.web.charges import names_for
from portal.web.contests import row_of
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent

LATEST = 8


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """A charge in a list: when, and in a sentence why its payer pays it."""

    charge: MyCharge
    when: str
    why: str
    currency: str
    objection: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """What a person reads of one enterprise: both payers, the account, what holds it all."""

    one: Oneself
    terms: Terms
    progress: Progress
    company: list[mine.Part]
    own: list[mine.Part]
    payer: Payer | None
    rows: list[ChargeRow]
    offer: acceptance.Offer | None = None
    form: AcceptForm | None = None
    month: Period | None = None
    returned_micros: int = 0
    words: dict[str, str] = field(default_factory=dict)

    @property
    def own_currency(self) -> str:
        """Of the personal account; the contract's where there is none."""
        return self.payer.currency if self.payer else self.terms.currency

    @property
    def month_last(self) -> datetime | None:
        """An instant in the last civil day of the person's month."""
        return self.month.ends_at - timedelta(seconds=1) if self.month else None

    @property
    def offer_lines(self) -> list[str]:
        """The terms that wait to be accepted."""
        return self.offer.text.splitlines() if self.offer else []

    @property
    def own_zone(self) -> ZoneInfo:
        """The clock of the person's month."""
        return self.payer.zone if self.payer else self.terms.zone

    @property
    def own_micros(self) -> int:
        """What the person's own part of the month came to, without what came back in it."""
        return sum(part.micros for part in self.own) - self.returned_micros


class AcceptForm(PortalForm):
    """Acceptance of tariff, prices and allowances as they were shown: `shown` names that text."""

    action = "accept"

    shown = forms.CharField(widget=forms.HiddenInput())
    account = forms.IntegerField(widget=forms.HiddenInput())


def selves(request: HttpRequest) -> list[Oneself]:
    """The people that the reader is; 404 for whoever is none."""
    found = oneself(request.user, request.tenancy.scope)
    if not found:
        raise Http404("Not in reach.")
    return found


def mine_page(request: HttpRequest, section: str, **context: Any) -> dict[str, Any]:
    """What every page of one's own begins with."""
    place(request)
    return {"section": section, "proven": any(one.is_proven for one in selves(request)), **context}


def home(request: HttpRequest) -> HttpResponse:
    """This cycle in two cards, the personal account, the latest charges."""
    people = selves(request)
    now = datetime.now(UTC)
    if request.method == "POST" and (done := _accept(request, people, now)) is not None:
        return done
    with snapshot():
        sides = [_side(request, one, now) for one in people]
    filed = Contest.objects.within(request.tenancy.scope).filter(person__in=[one.person.id for one in people])
    objections = [row_of(contest) for contest in filed[:LATEST]]
    context = mine_page(request, "me", sides=sides, several=len(sides) > 1, objections=objections)
    return render(request, "me/home.html", context)


def rows_of(scope: Scope, charges: Sequence[MyCharge], now: datetime) -> list[ChargeRow]:
    """Charges as lists show them, each by the clock and in the currency of its enterprise."""
    names = names_for(scope, [charge.reasons for charge in charges])
    terms = {number: terms_at(number, now) for number in {charge.usage.enterprise_id for charge in charges}}
    filed = Contest.objects.within(scope).filter(usage_id__in=[one.usage.id for one in charges if one.is_personal])
    objections = {contest.usage_id: contest_words.badge(contest) for contest in filed}
    rows = []
    for charge in charges:
        held = terms[charge.usage.enterprise_id]
        when = figures.short_moment(charge.usage.used_at, held.zone, now)
        why = reasons.why(charge.reasons, names)
        rows.append(ChargeRow(charge, when, why, held.currency, objections.get(charge.usage.id)))
    return rows


def _side(request: HttpRequest, one: Oneself, now: datetime) -> Side:
    scope: Scope = request.tenancy.scope
    ids, enterprise_id = [one.person.id], one.person.enterprise_id
    progress, terms = progress_of(enterprise_id), terms_at(enterprise_id, now)
    company = mine.company_part(scope, ids, terms.cycle.starts_at, terms.cycle.ends_at) if terms.cycle else []
    account = payers.payer_of(scope, one.person.id, now) if one.is_proven else None
    month = account.month if account else terms.cycle
    own = mine.personal_part(scope, ids, month.starts_at, month.ends_at) if one.is_proven and month else []
    charges = mine.charges_of(scope, ids, now=now, most=LATEST)
    offer = acceptance.offer_of(account, now)
    form = None
    if account is not None and offer is not None:
        form = AcceptForm(initial={"shown": offer.mark, "account": account.account.id})
    returned = payers.returned_micros(scope, account.account, account.month) if account else 0
    return Side(
        one, terms, progress, company, own, account, rows_of(scope, charges, now), offer, form, month, returned,
        payer_words.state(account) if account else {},
    )  # fmt: skip


def _accept(request: HttpRequest, people: Iterable[Oneself], now: datetime) -> HttpResponse | None:
    """Accept an own account by the text that was shown; nobody else can, and nothing is charged before."""
    form = sent(request, AcceptForm)

    def write(values: dict[str, Any]) -> bool:
        scope: Scope = request.tenancy.scope
        accepted = acceptance.accept(
            scope=scope, people=people, account_id=values["account"], mark=values["shown"], **acting(request)
        )
        if accepted is None:
            raise Http404("Not in reach.")
        return True

    if not form.is_bound:
        return None
    if attempt(form, write):
        messages.success(request, "Accepted: your personal account pays for your own usage from now on.")
    for error in form.non_field_errors():
        messages.error(request, error)
    return redirect("me")
