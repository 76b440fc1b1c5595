"""Fields that an operator declares for rules of who pays. Only its account managers come here.

What may be is said by `balances.profiles`, and by `policies.steering.declared`, which keeps stored rules as they are.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from balances.errors import Refused
from balances.models import DeclaredField, Operator
from balances.profiles import HINT_LENGTH, KINDS, LABEL_LENGTH
from policies.steering import declared
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.reach import number_sent

KIND_WORDS = {
    "text": "a text", "number": "a whole number", "flag": "yes or no", "name": "a code", "digits": "digits",
}  # fmt: skip


class FieldForm(PortalForm):
    """A field, or one that is said anew."""

    action = "declare"

    name = forms.CharField(label="Field", max_length=71, help_text="profile.NAME or attributes.NAME.")
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
    form = sent(request, FieldForm)
    if request.method == "POST" and request.POST.get("action") == "withdraw":
        return _withdraw(request, operator)

    def write(values: dict[str, Any]) -> DeclaredField:
        choices = values.pop("choices").split(",")
        return declared.declare(operator=operator, choices=choices, **values, **acting(request))

    if made := attempt(form, write):
        messages.success(request, f"Rules of who pays can ask for “{made.label}” now.")
        return _to(operator)
    context = {
        "operator": operator,
        "operators": own,
        "fields": [(field, KIND_WORDS[field.kind]) for field in DeclaredField.objects.filter(operator=operator)],
        "form": form,
        "zone": ZoneInfo("UTC"),
    }
    return render(request, "steering/declared_fields.html", context)


def _withdraw(request: HttpRequest, operator: Operator) -> HttpResponse:
    field = get_object_or_404(DeclaredField, id=number_sent(request, "field"), operator=operator)
    try:
        declared.withdraw(field=field, **acting(request))
        messages.success(request, f"“{field.label}” is withdrawn.")
    except Refused as refusal:
        messages.error(request, refusal.message)
    return _to(operator)


def _to(operator: Operator) -> HttpResponse:
    return redirect(f"{reverse('declared-fields')}?operator={operator.id}")
