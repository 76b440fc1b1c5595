"""Fields that an operator declares for rules of who pays, or whoever manages an enterprise for that one.

What may be is said by `balances.profiles`, and by `policies.steering.declared`, which keeps stored rules as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from balances.errors import Refused
from balances.models import DeclaredField, Enterprise, Operator
from balances.profiles import HINT_LENGTH, KINDS, LABEL_LENGTH, NAME_LENGTH
from balances.scope import Scope, Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from policies.steering import declared
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.reach import found, number_sent

KIND_WORDS = {
    "text": "a text", "number": "a whole number", "flag": "yes or no", "name": "a code", "digits": "digits",
}  # fmt: skip


class FieldForm(PortalForm):
    """A field, or one that is said anew."""

    action = "declare"

    name = forms.CharField(label="Field", max_length=NAME_LENGTH, help_text="profile.NAME or attributes.NAME.")
    kind = forms.ChoiceField(label="It holds", choices=[(kind, KIND_WORDS[kind]) for kind in KINDS])
    label = forms.CharField(label="What managers read", max_length=LABEL_LENGTH)
    hint = forms.CharField(label="Hint", max_length=HINT_LENGTH, required=False, help_text="What to write as value.")
    choices = forms.CharField(
        label="Its values",
        max_length=4_000,
        required=False,
        help_text="With commas, where there are no others; of a text or a code.",
    )


def declared_fields(request: HttpRequest) -> HttpResponse:
    """The fields of an operator, and a form for another one."""
    own = list(Operator.objects.filter(id__in=request.tenancy.scope.operator_ids).order_by("name"))
    named = request.POST.get("operator") or request.GET.get("operator") or ""
    operator = next((one for one in own if str(one.id) == named), None) if named else next(iter(own), None)
    if operator is None:
        raise Http404("Only for account managers of the operator.")
    fields = DeclaredField.objects.filter(operator=operator, enterprise=None)
    form = sent(request, FieldForm)
    if _done(request, form, fields, operator=operator):
        return redirect(f"{reverse('declared-fields')}?operator={operator.id}")
    context = {
        "operator": operator, "operators": own, "fields": _worded(fields), "form": form, "zone": ZoneInfo("UTC"),
        "may_change": True,
    }  # fmt: skip
    return render(request, "steering/declared_fields.html", context)


def own_fields(request: HttpRequest, account_id: int) -> HttpResponse:
    """The fields that an enterprise declares for itself, beside its operator's; by whoever manages all of it."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-steering")
    enterprise = account.enterprise
    known = declared.within(DeclaredField.objects.filter(operator=enterprise.operator_id), scope)
    fields = known.filter(enterprise=enterprise)
    may_change = enterprise.id in scope.whole_enterprise_ids(Verb.MANAGE)
    if request.method == "POST" and not may_change:
        raise Http404("Only for those who manage the whole enterprise.")
    form = sent(request, FieldForm)
    if _done(request, form, fields, enterprise=enterprise):
        return redirect("account-declared-fields", account.id)
    context = {
        "account": account, "breadcrumb": tree.ancestors(scope, account), "fields": _worded(fields),
        "operators_fields": _worded(known.filter(enterprise=None)), "form": form, "may_change": may_change,
        "zone": terms_at(enterprise.id, acting(request)["at"]).zone,
    }  # fmt: skip
    return render(request, "steering/own_fields.html", context)


def _worded(fields: Iterable[DeclaredField]) -> list[tuple[DeclaredField, str]]:
    """Fields with what they hold in words."""
    return [(field, KIND_WORDS[field.kind]) for field in fields]


def _done(
    request: HttpRequest, form: PortalForm, fields: QuerySet[DeclaredField], **whose: Operator | Enterprise
) -> bool:
    """Declare or withdraw one, as was sent; whether the page is to be read anew. The form keeps what was refused."""
    if request.method == "POST" and request.POST.get("action") == "withdraw":
        field = get_object_or_404(fields, id=number_sent(request, "field"))
        try:
            declared.withdraw(field=field, **acting(request))
            messages.success(request, f"“{field.label}” is withdrawn.")
        except Refused as refusal:
            messages.error(request, refusal.message)
        return True

    def write(values: dict[str, Any]) -> DeclaredField:
        choices = values.pop("choices").split(",")
        return declared.declare(**whose, choices=choices, **values, **acting(request))

    made = attempt(form, write)
    if made:
        messages.success(request, f"Rules of who pays can ask for “{made.label}” now.")
    return made is not None
