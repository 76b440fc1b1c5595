"""How far managers see with whom somebody was connected: what holds, what was declared, and another declaration."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import masking
from balances.errors import Refused
from balances.models import MaskingDeclaration, MaskingRule
from balances.scope import Scope, Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from policies.conditions.words import country_name
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.reach import found

EXAMPLE = "4930901820123"


class DeclareForm(PortalForm):
    """What is declared, and what it shows."""

    action = "declare"

    rule = forms.ChoiceField(label="Numbers are shown", choices=MaskingRule.choices, initial=MaskingRule.CUT_THREE)
    text = forms.CharField(
        label="What is declared, and to whom",
        max_length=masking.TEXT_MOST,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Who informed the staff and when, and how the works council was involved.",
    )


def masking_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The page of an enterprise's top account."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    if account.parent_id is not None:
        raise Http404("It holds for an enterprise as a whole.")
    place(request, account=account)
    manages = scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id)
    if request.method == "POST" and not manages:
        raise Http404("Not in reach.")
    declarations = MaskingDeclaration.objects.within(scope).filter(enterprise_id=account.enterprise_id)
    doing = acting(request)
    form = sent(request, DeclareForm)

    def declare(values: dict) -> MaskingDeclaration:
        return masking.declare(enterprise=account.enterprise, **values, **doing)

    if attempt(form, declare) is not None:
        messages.success(request, "Declared. It holds for usage from now on.")
        return redirect("account-masking", account.id)
    if request.POST.get("action") == "end":
        standing = get_object_or_404(declarations, ended_at__isnull=True)
        try:
            masking.end(declaration=standing, **doing)
            messages.success(request, "Taken back. For usage from now on the country's own rule holds.")
        except Refused as refusal:
            messages.error(request, refusal.message)
        return redirect("account-masking", account.id)
    masks = masking.Masks([account.enterprise_id])
    country = masks.country_at(account.enterprise_id, doing["at"])
    now = masks.at(account.enterprise_id, doing["at"])
    context = {
        "account": account,
        "section": "account-masking",
        "form": form,
        "manages": manages,
        "country": country_name(country),
        "law": masking.rule_of_country(country),
        "example": now.shown(EXAMPLE),
        "is_full": now == masking.FULL,
        "declarations": declarations.order_by("-declared_at", "-id")[:50],
        "standing": declarations.filter(ended_at__isnull=True).first(),
        "zone": terms_at(account.enterprise_id, doing["at"]).zone,
    }
    return render(request, "masking/page.html", context)
