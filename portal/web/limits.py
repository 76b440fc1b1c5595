"""Limits on screen: those of an account or a line, making one with its effect shown first, and one limit with all acts.

An act is tried in a transaction that is rolled back; what it would do is shown, and what was shown is sent along with
the confirmation. Where the form says something else by then, the effect is shown again instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import tags
from balances.errors import Refused
from balances.models import Account, Line, Zone
from balances.scope import Verb
from balances.selectors import tree
from balances.selectors.terms import Terms, terms_at
from balances.units import GIB, Service
from policies import consent, limits, presets, selectors
from policies.models import Consent, Exemption, Limit, LimitCrossing, Measure, Restriction
from policies.selectors import LimitState
from portal import figures, limit_words
from portal.notices import preferences
from portal.web import consenting, quantities
from portal.web.allowance_wishes import named
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.limit_forms import (
    ABROAD,
    BY_ITSELF,
    EVERYWHERE,
    MONEY,
    ChangeForm,
    ExemptForm,
    LimitForm,
    amounts_of,
    amounts_text,
    grace_of,
    percents_of,
    typed,
)

MOST_SHOWN = 200
#: Of limits below an account those that are used most are shown, of so many at most.
MOST_BELOW, MOST_LOOKED_AT = 20, 2000


@dataclass(frozen=True, slots=True)
class Row:
    """A limit in words, for tables."""

    state: LimitState
    used: str
    bound: str
    left: str
    marks: str
    badge: str
    icon: str
    outlook: str = ""

    @property
    def limit(self) -> Limit:
        """The row that stands."""
        return self.state.limit

    @property
    def percent(self) -> int | None:
        """Whole percent used."""
        return self.state.percent

    @property
    def meter(self) -> int:
        """The same, as far as a meter shows it."""
        return min(self.state.percent or 0, 100)

    @property
    def counted(self) -> str:
        """What is counted, and where."""
        return limit_words.counted(self.limit)

    @property
    def window(self) -> str:
        """How often it begins anew."""
        return limit_words.window(self.limit)

    @property
    def beyond(self) -> str:
        """What happens beyond it."""
        return limit_words.beyond(self.limit)


def row_of(state: LimitState, terms: Terms, at: datetime) -> Row:
    """A limit as tables show it."""
    currency = terms.currency
    badge, icon = limit_words.STANDING_BADGES[state.standing]
    used, bound, left = (
        limit_words.amount(state.limit, figure, currency) for figure in (state.used, state.bound, state.left)
    )
    outlook = limit_words.outlook(state.outlook(at), terms.zone)
    return Row(state, used, bound, left, limit_words.marks(state.limit, currency), badge, icon, outlook)


# --- an account's, a line's ------------------------------------------------------------------------------------------


def of_account(request: HttpRequest, account_id: int) -> HttpResponse:
    """Limits on an account and its lines, at the top also on tags; a form for another one."""
    scope = request.tenancy.scope
    account = get_object_or_404(Account.objects.within(scope).select_related("enterprise"), id=account_id)
    place(request, account=account, section="account-limits")
    rows = selectors.of_account(scope, account)
    at_top = account.parent_id is None
    return _page(request, rows, {"account": account, **_below(request, account)}, account, account=account,
                 with_tag=at_top)  # fmt: skip


def _below(request: HttpRequest, account: Account) -> dict[str, Any]:
    """The limits below an account that are used most."""
    now = acting(request)["at"]
    states = selectors.states(list(selectors.below_account(request.tenancy.scope, account)[:MOST_LOOKED_AT]), now)
    states.sort(key=lambda state: (-(state.restricted > 0), -(state.percent or 0), -state.limit.id))
    terms = terms_at(account.enterprise_id, now)
    rows = [row_of(state, terms, now) for state in states[:MOST_BELOW]]
    return {"below": rows, "below_more": len(states) > MOST_BELOW}


def of_line(request: HttpRequest, line_id: int) -> HttpResponse:
    """Every limit that a line's usage counts towards; a form for one of its own."""
    scope = request.tenancy.scope
    line = get_object_or_404(Line.objects.within(scope).select_related("enterprise", "account", "person"), id=line_id)
    account = Account.objects.within(scope).select_related("enterprise").filter(id=line.account_id).first()
    place(request, account=account, enterprise=line.enterprise)
    context = {"line": line, "tags": tags.of(line)}
    return _page(request, selectors.of_line(scope, line), context, account, line=line, with_tag=False)


def _page(request: HttpRequest, rows, context: dict, place_account: Account | None, *, with_tag: bool, **owner):
    scope, doing = request.tenancy.scope, acting(request)
    thing: Account | Line = owner.get("account") or owner["line"]
    terms = terms_at(thing.enterprise_id, doing["at"])
    manages = (
        type(thing).objects.within(scope, Verb.MANAGE).filter(id=thing.id).exists()
        and not getattr(thing, "closed_at", None)
        and terms.is_in_force
    )
    form, effect = None, None
    if manages:
        zones = list(Zone.objects.filter(operator__enterprises=thing.enterprise_id).order_by("name"))
        initial = _proposal(request, owner)
        form = sent(request, LimitForm, zones=zones, with_tag=with_tag, zone=terms.zone, initial=initial)
        made = effect = None
        is_look = "look" in request.POST  # the page asks what it would do, while it is typed
        result = attempt(form, lambda values: _make(form, values, thing, owner, terms, doing, is_look=is_look))
        if isinstance(result, Limit):
            made = result
        elif result is not None:
            effect = result
        if made is not None:
            messages.success(request, f"The limit stands: {limit_words.counted(made)}, {limit_words.window(made)}.")
            return redirect(request.path)
        if not form.is_bound:
            effect = _proposed_effect(form, thing, owner, terms, doing)
        if effect:
            form.data = form.data.copy() if form.is_bound else form.data
            if form.is_bound:
                form.data[form.add_prefix("seen")] = effect["seen"]
            else:
                form.initial["seen"] = effect["seen"]
    found = selectors.states(list(rows[:MOST_SHOWN]), doing["at"])
    context |= {
        "rows": [row_of(state, terms, doing["at"]) for state in found],
        "breadcrumb": [*tree.ancestors(scope, place_account), *([place_account] if "line" in owner else [])]
        if place_account
        else [],
        "form": form,
        "effect": effect,
        "is_look": "look" in request.POST,
        "terms": terms,
        "presets": presets.PRESETS,
        "as_of": found[0].as_of if found else None,
        "section": "account-limits",
    }
    return render(request, "limits/page.html", context)


def _proposal(request: HttpRequest, owner: dict) -> dict[str, Any]:
    """What the form begins with: a ready-made limit that was asked for, or a cap of data."""
    preset = presets.by_key(request.GET.get("preset", ""))
    rare = {"amounts": "", "restricts": BY_ITSELF, "grace": "", "counts_from": "", "ends_at": ""}
    if preset is not None:
        return rare | {
            "counted": MONEY if preset.measure == "money" else str(int(preset.service)),
            "amount": quantities.write_price(preset.amount) if preset.measure == "money"
            else quantities.write(preset.amount, preset.service),
            "window": preset.window, "where": ABROAD if preset.is_abroad else EVERYWHERE, "beyond": preset.action,
            "marks": ", ".join(map(str, preset.percents)), "name": preset.name,
        }  # fmt: skip
    gibs = 5 if "line" in owner else 100
    return rare | {
        "counted": str(int(Service.DATA)), "amount": quantities.write(gibs * GIB, Service.DATA), "window": "cycle",
        "beyond": "stop_now" if "line" in owner else "notify", "marks": "50, 80, 100", "where": EVERYWHERE, "name": "",
    }  # fmt: skip


def _make(
    form: LimitForm, values: dict, thing, owner: dict, terms: Terms, doing: dict, *, is_look: bool = False
) -> Limit | dict:
    """The limit, where its effect was seen and more is wanted than a look; else the effect. Raises Refused."""
    wanted = form.terms(values)
    zone_id = wanted.pop("zone_id")
    wanted["zone"] = Zone.objects.filter(id=zone_id, operator__enterprises=thing.enterprise_id).first()
    if tag := (values.get("tag") or "").strip():
        owner = {"tag": tag, "enterprise_id": thing.enterprise_id}
    shown = form.shown_for(values)
    if values.get("seen") == shown and not is_look:
        return limits.make(**owner, **wanted, **doing)
    return {"seen": shown, "said": foreseen(lambda: limits.make(**owner, **wanted, **doing), terms)}


def _proposed_effect(form: LimitForm, thing, owner: dict, terms: Terms, doing: dict) -> dict | None:
    """The effect of what an untouched form says, so that a cap is one click away."""
    values = {name: str(form.get_initial_for_field(field, name) or "") for name, field in form.fields.items()}
    try:
        effect = _make(form, values | {"seen": ""}, thing, owner, terms, doing)
    except Refused:
        return None
    return effect if isinstance(effect, dict) else None


def foreseen(act: Callable[[], Limit], terms: Terms) -> list[str]:
    """What an act on a limit would do, in sentences: done, read and rolled back. Raises what the act raises."""
    with transaction.atomic():
        limit = act()
        state = selectors.state_of(limit, limit.made_at)
        passed = LimitCrossing.objects.filter(limit=limit, recorded_at=limit.made_at).order_by("level")
        crossed = [
            f"{crossing.percent} %" if crossing.percent else limit_words.amount(limit, crossing.level, terms.currency)
            for crossing in passed
        ]
        transaction.set_rollback(True)
    return limit_words.effect(state, crossed, terms.currency, terms.zone)


# --- one limit -------------------------------------------------------------------------------------------------------


def limit(request: HttpRequest, limit_id: int) -> HttpResponse:
    """One limit: how it stands, what was reached and restricted, and what can be done about it."""
    scope, doing = request.tenancy.scope, acting(request)
    row = get_object_or_404(Limit.objects.within(scope).select_related("account", "line__account", "zone"), id=limit_id)
    try:
        row = limits.standing_row(row)
    except Refused:
        pass  # retired: its history is shown
    terms = terms_at(row.enterprise_id, doing["at"])
    account = row.account or (row.line.account if row.line else None)
    seen_account = Account.objects.within(scope).select_related("enterprise").filter(id=account.id if account else 0)
    place(request, account=seen_account.first(), enterprise=row.enterprise, section="account-limits")
    state = selectors.state_of(row, doing["at"])
    manages = Limit.objects.within(scope, Verb.MANAGE).filter(id=row.id).exists() and row.retired_at is None
    governs = manages and limits.may_change(row, scope, doing["actor"])
    shown = consenting.as_shown(state, terms)
    bound = _forms(request, state, shown, terms) if manages else {}
    effect, agreeing = None, ""
    if request.method == "POST" and manages:
        agreeing = request.POST.get("action", "")
        if agreeing == "fire":
            messages.success(request, "This is what it will look like. Only you were told, and it counts nowhere.")
            return redirect("notice", preferences.fire_limit(limit=row, user=request.user, at=doing["at"]).id)
        done = _act(request, state, bound, terms, doing, governs=governs)
        if isinstance(done, str):
            messages.success(request, done)
            return redirect("limit", limits.standing_row(row).id if request.POST.get("action") != "retire" else row.id)
        effect = done
    history = Limit.objects.filter(first_id=row.first_number) | Limit.objects.filter(id=row.first_number)
    context = {
        "row": row_of(state, terms, doing["at"]), "state": state, "limit": row, "terms": terms, "forms": bound,
        "effect": effect if agreeing == "change" else None,
        "more_effects": _more_effects(bound, state, terms, agreeing, effect),
        "governs": governs, "manages": manages, "breadcrumb": _above(scope, seen_account.first()),
        "beyond": limit_words.beyond(row), "counted": limit_words.counted(row), "window": limit_words.window(row),
        "asks_for_consent": manages and consent.asks_for_consent(row),
        "text": shown.text,
        "refused": figures.quantity(state.refused, row.service) if row.service else "some usage",
        "crossings": [
            (crossing, limit_words.amount(row, crossing.level, terms.currency))
            for crossing in LimitCrossing.objects.filter(first_id=row.first_number).order_by("-id")[:20]
        ],
        "consents": [
            (given, limit_words.amount(row, given.amount, terms.currency)) for given in reversed(state.consents)
        ],
        "restrictions": Restriction.objects.within(scope).filter(limit__in=history).exclude(state="lifted")
        .select_related("line")[:MOST_SHOWN],
        "history": [
            (past, limit_words.amount(past, past.amount, terms.currency), limit_words.beyond(past))
            for past in history.order_by("-id")[:20]
        ],
    }  # fmt: skip
    return render(request, "limits/limit.html", context)


def _above(scope, account: Account | None) -> list[Account]:
    return [*tree.ancestors(scope, account), account] if account else []


def _read(row: Limit, text: str) -> int:
    try:
        if row.measure == Measure.MONEY:
            return quantities.read_price(text)
        return quantities.read(text, row.service or 0)
    except quantities.NotAQuantity as refusal:
        raise Refused(refusal.message, field="amount") from None


def _more_effects(
    bound: dict[str, PortalForm], state: LimitState, terms: Terms, agreeing: str, effect: list | None
) -> dict[str, list[str]]:
    """What each form for more would do: of an untouched one what it proposes, of a sent one what was asked."""
    found = {}
    for name in ("consent", "extend"):
        if name == agreeing and effect:
            found[name] = effect
        elif name in bound and not bound[name].is_bound:
            found[name] = consenting.proposed(bound[name], state, terms, consenting.proposal(state))
    return found


def _forms(request: HttpRequest, state: LimitState, shown: consenting.AsShown, terms: Terms) -> dict[str, PortalForm]:
    row = state.limit
    now = {
        "amount": typed(row, row.amount), "beyond": row.action, "marks": ", ".join(map(str, row.percents)),
        "amounts": amounts_text(row), "grace": typed(row, row.grace_units) if row.grace_units else "",
    }  # fmt: skip
    more = {"shown": shown.signed(), "amount": typed(row, consenting.proposal(state))}
    return {
        "change": sent(request, ChangeForm, initial=now),
        "extend": sent(request, consenting.MoreForm, initial=dict(more)),
        "consent": sent(request, consenting.ConsentForm, initial=dict(more)),
        "exempt": sent(request, ExemptForm, zone=terms.zone),
    }


def _act(request, state: LimitState, bound: dict, terms: Terms, doing: dict, *, governs: bool) -> str | list | None:
    """Do what was sent: words of what is done, the effect to be confirmed, or None with errors in the form."""
    row, name = state.limit, request.POST.get("action", "")
    if name != "consent" and not governs:
        raise PermissionDenied("This limit was set from above: ask there.")
    try:
        if name in _PLAIN:
            return _PLAIN[name](request, row, doing)
        if name in bound:
            form = bound[name]
            return attempt(form, lambda values: _WRITES[name](request, form, state, values, terms, doing))
    except Refused as refusal:
        messages.error(request, refusal.message)
    return None


def _change(request, form: PortalForm, state: LimitState, values: dict, terms: Terms, doing: dict) -> str | list:
    row = state.limit
    wanted = {
        "limit": row, "amount": _read(row, values["amount"]), "action": values["beyond"],
        "percents": percents_of(values["marks"]), "marks_at": amounts_of(values["amounts"], _service_of(row)),
        "grace_units": grace_of(values["grace"], _service_of(row)),
    }  # fmt: skip
    shown = "|".join([*(values[name] for name in ("amount", "beyond", "marks", "amounts", "grace")), str(row.id)])
    if values["seen"] == shown:
        limits.change(**wanted, **doing)
        return "That holds from the next charge on."
    form.data = form.data.copy()
    form.data[form.add_prefix("seen")] = shown
    return foreseen(lambda: limits.change(**wanted, **doing), terms)


def _service_of(row: Limit) -> int | None:
    """The service that a limit's amounts are of; None of money."""
    return None if row.measure == Measure.MONEY else row.service


def _more(values: dict, row: Limit) -> int | None:
    return _read(row, values["amount"]) if values["amount"].strip() else None


def _agree(request, form, state: LimitState, values: dict, terms: Terms, doing: dict) -> str | list[str]:
    return consenting.agree(request, form, state, values, _more(values, state.limit), terms, doing)


def _exempt(request, form, state: LimitState, values: dict, terms: Terms, doing: dict) -> str:
    text, row = values["whom"].strip(), state.limit
    kind, number = named({text}, row.enterprise_id, request.tenancy.scope).get(text, ("", 0))
    if not kind:
        raise Refused("There is no such line or account here.", field="whom")
    owner = Account.objects.get(id=number) if kind == "account" else Line.objects.get(id=number)
    whom = {"account": owner} if isinstance(owner, Account) else {"line": owner}
    limits.exempt(limit=row, **whom, until=values["until"], reason=values["reason"], **doing)
    name = f"{owner.name} with all below it" if isinstance(owner, Account) else figures.msisdn(owner.msisdn)
    return f"{name} is exempted; what is used there still counts."


def _retire(request, row: Limit, doing: dict) -> str:
    limits.retire(limit=row, **doing)
    return "The limit does not stand any more. Its history stays."


def _end_exemption(request, row: Limit, doing: dict) -> str:
    exemption = get_object_or_404(Exemption, id=request.POST.get("exemption") or 0, limit_id=row.first_number)
    limits.end_exemption(exemption=exemption, **doing)
    return "The exemption has ended."


def _revoke(request, row: Limit, doing: dict) -> str:
    given = get_object_or_404(Consent, id=request.POST.get("consent") or 0, limit_id=row.first_number)
    consent.revoke(consent=given, **doing)
    return "The consent is revoked: what it granted stays granted, nothing more is."


def _restriction(request, row: Limit) -> Restriction:
    mine = Restriction.objects.within(request.tenancy.scope, Verb.MANAGE).filter(enterprise_id=row.enterprise_id)
    return get_object_or_404(mine, id=request.POST.get("restriction") or 0)


def _lift(request, row: Limit, doing: dict) -> str:
    limits.lift(restriction=_restriction(request, row), **doing)
    return "The restriction is lifted. The limit still stands, and restricts the line again with the next refusal."


def _approve(request, row: Limit, doing: dict) -> str:
    limits.approve(restriction=_restriction(request, row), **doing)
    return "The limit restricts from the next event on."


_WRITES = {"change": _change, "extend": _agree, "consent": _agree, "exempt": _exempt}
_PLAIN = {
    "retire": _retire, "end-exemption": _end_exemption, "revoke": _revoke, "lift": _lift, "approve": _approve,
}  # fmt: skip
