"""More for a limit in the period under way: the forms, what they show, and keeping what they showed.

What is shown (the limit's row, its period, how it stood, the words and the price) travels with the form, signed, and
comes back as it was shown. The effect is said before anything is done: of what the form proposes at once, of another
amount with a first click.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.core import signing
from django.http import HttpRequest

from balances.errors import Refused
from balances.selectors.terms import Terms
from balances.units import MIB, MICROS_PER_MAJOR, Service
from policies import consent, presets
from policies.marks import levels, total
from policies.models import ConsentKind, Measure
from policies.selectors import LimitState
from portal import figures, limit_words
from portal.web.forms import PortalForm

_SALT = "limit-as-shown"
CENT = MICROS_PER_MAJOR // 100
STEPS = {Service.DATA: MIB, Service.VOICE: 60, Service.VIDEO_CONFERENCING: 60}
#: A page older than this is shown anew before anybody agrees to it.
SHOWN_SECONDS = 3600


class MoreForm(PortalForm):
    """More for the period under way; empty: without bound. `seen` is the amount whose effect was shown."""

    action = "extend"

    amount = forms.CharField(label="So much more", max_length=40, required=False, help_text="Empty: without bound.")
    shown = forms.CharField(widget=forms.HiddenInput())
    seen = forms.CharField(required=False, widget=forms.HiddenInput())


class ConsentForm(MoreForm):
    """Agreement that the limit is exceeded."""

    action = "consent"


@dataclass(frozen=True, slots=True)
class AsShown:
    """A limit as it stood on somebody's page, in figures and in words."""

    figures: consent.Shown
    text: str
    price: str

    def signed(self) -> str:
        """For a hidden field: nobody but us can have written it."""
        shown = self.figures
        return signing.dumps(
            [
                shown.limit_id, shown.period_start.isoformat(), shown.number, shown.used, shown.bound, self.text,
                self.price,
            ],
            salt=_SALT, compress=True,
        )  # fmt: skip


def as_shown(state: LimitState, terms: Terms) -> AsShown:
    """What a page shows of a limit to whoever may agree to more."""
    row = state.limit
    price = presets.price_beyond(row, terms.contract_id, terms.currency)
    used, bound = (limit_words.amount(row, figure, terms.currency) for figure in (state.used, state.bound))
    text = (
        f"{limit_words.counted(row)}, {limit_words.window(row)}: {used} of {bound} are used. With this consent usage "
        f"goes on in this period only. {price}"
    )
    return AsShown(consent.Shown(row.id, state.period_start, state.next_number, state.used, state.bound), text, price)


def read_shown(signed: str) -> AsShown:
    """What was shown, from its hidden field. Raises Refused where it is too old or not ours."""
    try:
        limit_id, start, number, used, bound, text, price = signing.loads(signed, salt=_SALT, max_age=SHOWN_SECONDS)
    except (signing.BadSignature, ValueError):
        raise Refused("This page is too old to agree to: look at the figures again, and send it once more.") from None
    return AsShown(consent.Shown(limit_id, datetime.fromisoformat(start), number, used, bound), text, price)


def effect(state: LimitState, more: int | None, terms: Terms) -> list[str]:
    """What so much more would mean, in sentences: before and after, who runs again, when people are told."""
    row = state.limit

    def said(figure: int | None) -> str:
        return limit_words.amount(row, figure, terms.currency)

    if state.bound is None:
        return ["It has no bound in this period already: nothing would change."]
    bound = total(state.bound, [more])
    until = "for good" if state.ends_at is None else f"until {figures.moment(state.ends_at, terms.zone)}"
    if bound is None:
        sentences = [f"Now {said(state.used)} of {said(state.bound)} are used. Then nothing bounds it {until}."]
    else:
        left = said(max(bound - state.used, 0))
        sentences = [
            f"Now {said(state.used)} of {said(state.bound)} are used. Then it is {said(state.used)} of {said(bound)}: "
            f"{left} are left {until}; beyond them, {limit_words.beyond(row)}."
        ]
        ahead = [level for level, _ in levels(bound, row.percents, row.marks) if level > state.used]
        if ahead:
            sentences.append(f"People are told next at {said(min(ahead))}.")
    if state.restricted:
        lines = "1 line that is" if state.restricted == 1 else f"{state.restricted} lines that are"
        sentences.append(f"It lifts the restriction of {lines} restricted now.")
    return sentences


def proposal(state: LimitState) -> int:
    """What the forms for more begin with: fifths of the limit, so many that one is left beyond what is used.

    In whole MiB, minutes or cents, as people write them.
    """
    row = state.limit
    step = CENT if row.measure == Measure.MONEY else STEPS.get(row.service or 0, 1)
    step = step if row.amount >= 5 * step else 1
    fifth = max(-(-row.amount // (5 * step)), 1) * step
    over = max(state.used - state.bound, 0) if state.bound is not None else 0
    return fifth * (1 + -(-over // fifth))


def proposed(form: MoreForm, state: LimitState, terms: Terms, amount: int) -> list[str]:
    """The effect of what an untouched form proposes, so that agreeing to it is one click."""
    form.initial["seen"] = form.initial["amount"]
    return effect(state, amount, terms)


def agree(
    request: HttpRequest, form: MoreForm, state: LimitState, values: dict[str, Any], more: int | None, terms: Terms,
    doing: dict[str, Any],
) -> str | list[str]:  # fmt: skip
    """Do what the form says, where its effect was seen; else the effect. Raises Refused."""
    limit, kind = state.limit, ConsentKind.CONSENT if form.action == ConsentForm.action else ConsentKind.EXTENSION
    if values["seen"] != values["amount"]:
        _show_anew(form, state, values["amount"], terms)
        return effect(state, more, terms)
    try:
        before = read_shown(values["shown"])
        given = consent.consent(
            limit=limit, shown=before.figures, amount=more, channel="portal", kind=kind.value, text_shown=before.text,
            price_shown=before.price, **doing,
        )  # fmt: skip
    except consent.AlreadyConsented as refusal:
        _show_anew(form, state, "", terms)
        first = refusal.first
        whom = first.consented_by.partition(" ")[2] or first.consented_by
        much = limit_words.amount(limit, first.amount, terms.currency)
        more_said = f"{much} more" if first.amount is not None else much
        raise Refused(
            f"{whom} has agreed to {more_said} on {figures.moment(first.consented_at, terms.zone)} "
            f"(number {first.number}). Nothing was added to it. The figures on this page are those of now: agree again "
            "if that is not enough."
        ) from None
    except Refused:
        _show_anew(form, state, "", terms)
        raise
    if kind == ConsentKind.EXTENSION:
        return "The limit has more in this period. What it restricted is lifted."
    return f"Consent {given.number} of this period is on record, by {given.consented_by.partition(' ')[2]}."


def _show_anew(form: MoreForm, state: LimitState, seen: str, terms: Terms) -> None:
    """Let the form be of what the page shows now; `seen` empty: its effect is shown first."""
    form.data = form.data.copy()
    form.data[form.add_prefix("shown")] = as_shown(state, terms).signed()
    form.data[form.add_prefix("seen")] = seen
