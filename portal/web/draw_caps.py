"""Drawing on what lies above: how far usage of an account goes, which tier stops it, and the caps that say so."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import draw_caps
from balances.errors import Refused
from balances.models import Account, DrawCap, Line
from balances.scope import Scope, Verb
from balances.selectors import tiers, tree
from balances.selectors.terms import Terms, progress_of, terms_at
from balances.selectors.tiers import Path
from portal import figures
from portal.web.account_admin import SERVICES
from portal.web.allowance_wishes import named
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.reach import found


class CapForm(PortalForm):
    """A cap for the account, or for somebody below it."""

    action = "cap"
    marks_optional = False

    owner = forms.CharField(label="For", max_length=80, help_text="Code of an account, or number of a line.")
    service = forms.ChoiceField(label="Service", choices=SERVICES)
    amount = forms.CharField(label="At most, each cycle", max_length=40, help_text="10 GiB, 500 min; 0: nothing.")


@dataclass(frozen=True, slots=True)
class CapEffect:
    """What a cap would change, before it is set."""

    owner: Account | Line
    name: str
    service: int
    units: int
    drawn_units: int
    before: Path | None
    after: Path | None


def drawing(request: HttpRequest, account_id: int) -> HttpResponse:
    """The page; a cap that is typed is shown with its effect, then set."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-allowances")
    manages = scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id)
    doing = acting(request)
    terms = terms_at(account.enterprise_id, doing["at"])
    initial = {"owner": account.code if account.parent_id else ""}
    form = sent(request, CapForm, initial=initial)
    effect = None
    if request.method == "POST":
        if not manages:
            raise Http404("Not in reach.")
        if request.POST.get("action") == "remove":
            return _remove(request, account)
        if request.POST.get("confirmed"):
            done = attempt(form, lambda values: _set(request, account, form, values))
            if done:
                return redirect("account-drawing", account.id)
        else:
            effect = attempt(form, lambda values: _effect(request, account, form, values, terms))
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(scope, account),
        "paths": tiers.paths_of(scope, account, terms, doing["at"]),
        "caps": tiers.caps_at(scope, account, terms),
        "terms": terms,
        "as_of": progress_of(account.enterprise_id).as_of,
        "form": form,
        "effect": effect,
        "manages": manages,
    }
    return render(request, "allowances/drawing.html", context)


def _owner(request: HttpRequest, account: Account, text: str) -> Account | Line:
    """Whom a form names, as far as the user runs them. Raises Refused."""
    scope: Scope = request.tenancy.scope
    receiver = named({text.strip()}, account.enterprise_id, scope).get(text.strip())
    if receiver is None:
        raise Refused(f"Nothing that you run has the code or number “{text.strip()}”.", field="owner")
    kind, number = receiver
    if kind == "account":
        return Account.objects.within(scope, Verb.MANAGE).get(id=number)
    return Line.objects.within(scope, Verb.MANAGE).select_related("person").get(id=number)


def _effect(request: HttpRequest, account: Account, form: CapForm, values: dict, terms: Terms) -> CapEffect:
    owner, service = _owner(request, account, values["owner"]), int(values["service"])
    if isinstance(owner, Account) and owner.parent_id is None:
        raise Refused("Nothing lies above the first account.", field="owner")
    units = form.quantity("amount", service)
    paths = tiers.paths_of(request.tenancy.scope, owner, terms, acting(request)["at"])
    before = next((path for path in paths if path.service == service), None)
    drawn = tiers.drawn_so_far(owner, service, terms)
    after = tiers.with_cap(before, units, drawn) if before else None
    name = owner.name if isinstance(owner, Account) else owner.full_name
    return CapEffect(owner, name, service, units, drawn, before, after)


def _set(request: HttpRequest, account: Account, form: CapForm, values: dict) -> DrawCap:
    owner, service = _owner(request, account, values["owner"]), int(values["service"])
    whose = {"account": owner} if isinstance(owner, Account) else {"line": owner}
    cap = draw_caps.set_cap(**whose, service=service, units=form.quantity("amount", service), **acting(request))
    words = figures.quantity_or_none(cap.units, service)
    messages.success(request, f"From the next charge on, at most {words} a cycle are drawn from above.")
    return cap


def _remove(request: HttpRequest, account: Account) -> HttpResponse:
    number = request.POST.get("cap", "")
    mine = DrawCap.objects.within(request.tenancy.scope, Verb.MANAGE).filter(enterprise_id=account.enterprise_id)
    cap = get_object_or_404(mine, id=int(number) if number.isascii() and number.isdigit() else 0)
    try:
        draw_caps.remove_cap(cap=cap, **acting(request))
        messages.success(request, "The cap is removed: from the next charge on, drawing from above has no end.")
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("account-drawing", account.id)
