"""Ready-made policies of an operator: the list, and one with its rules and limits. Only its account managers come here.

What may be is said by `policies.templates`; rules are built as on the page of policies.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from balances.errors import Refused
from balances.models import Operator, Zone
from balances.units import SERVICES_BY_NAME
from policies import templates
from policies.models import Measure, Window
from policies.regulation import LimitTerms, Template
from policies.rules import rules_from_json
from portal import figures
from portal.web import policy_rows, quantities
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.limit_forms import percents_of

#: measure:service of a limit, with what people read.
COUNTED = [
    (f"{Measure.MONEY}:", "Money, all services"),
    *((f"{Measure.MONEY}:{name}", f"Money, {figures.SERVICE_WORDS[code]}") for name, code in SERVICES_BY_NAME.items()),
    *((f"{Measure.UNITS}:{name}", figures.SERVICE_WORDS[code]) for name, code in SERVICES_BY_NAME.items()),
]


class TemplateForm(PortalForm):
    """What a template is called and says; rules and limits are sent beside it, in rows."""

    action = "save"

    name = forms.CharField(label="Name", max_length=80)
    source = forms.CharField(label="Follows", max_length=200, required=False, help_text="A law, a code, a contract.")
    note = forms.CharField(
        label="What to look at before it is published",
        max_length=600,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    is_offered = forms.BooleanField(label="Enterprises can begin with it", required=False, initial=True)


@dataclass(slots=True)
class LimitRow:
    """One limit of a template as it is typed."""

    number: int
    name: str = ""
    counted: str = f"{Measure.MONEY}:"
    where: str = ""
    amount: str = ""
    window: str = Window.CYCLE.value
    marks: str = "80, 100"

    def as_json(self) -> dict[str, Any]:
        """As `policies.templates` reads it. Raises Refused."""
        measure, _, service = self.counted.partition(":")
        if (measure, service) not in {tuple(value.split(":")) for value, _ in COUNTED}:
            raise Refused(f"Limit {self.number + 1}: choose what is counted.", field="limits")
        try:
            if measure == Measure.MONEY:
                amount = quantities.read_price(self.amount)
            else:
                amount = quantities.read(self.amount, SERVICES_BY_NAME[service])
            percents = percents_of(self.marks)
        except Refused as refusal:
            raise Refused(f"Limit {self.number + 1}: {refusal.message}", field="limits") from None
        return {
            "name": self.name, "measure": measure, "service": service, "is_abroad": self.where == "abroad",
            "amount": amount, "window": self.window, "percents": percents,
        }  # fmt: skip


def template_list(request: HttpRequest) -> HttpResponse:
    """What enterprises of an operator may begin with, and what they may not."""
    operator = _operator(request)
    rows = [
        (one, [rule.words() for rule in rules_from_json(list(one.rules))], [limit_words(terms) for terms in one.limits])
        for one in templates.of_operator(operator.id).values()
    ]
    context = {"operator": operator, "operators": _operators(request), "rows": rows, "zone": ZoneInfo("UTC")}
    return render(request, "policy_templates/list.html", context)


def template_new(request: HttpRequest) -> HttpResponse:
    """A template of the operator's own."""
    return _edit(request, _operator(request), None)


def template(request: HttpRequest, key: str) -> HttpResponse:
    """Change a template, built in or not; bring it back to what is built in, or remove it."""
    operator = _operator(request)
    shown = templates.of_operator(operator.id).get(key)
    if shown is None:
        raise Http404("No such template.")
    if request.method == "POST" and request.POST.get("action") == "reset" and shown.changed_at:
        left = templates.reset(operator=operator, key=key, **acting(request))
        messages.success(request, f"“{left.name}” is again as it was." if left else f"“{shown.name}” is removed.")
        return _to_list(operator)
    return _edit(request, operator, shown)


def limit_words(terms: LimitTerms) -> str:
    """ "Roaming data: 50 in the currency of the contract for data abroad, each billing cycle; told at 80, 100 %." """
    service = SERVICES_BY_NAME.get(terms.service)
    words = figures.SERVICE_WORDS[service].lower() if service is not None else "all services"
    if terms.measure == Measure.MONEY or service is None:
        said = f"{quantities.write_price(terms.amount)} in the currency of the contract for {words}"
    else:
        said = f"{quantities.write(terms.amount, service)} of {words}"
    where = " abroad" if terms.is_abroad else ""
    window = Window(terms.window).label.lower()
    told = ", ".join(str(percent) for percent in terms.percents)
    return f"{terms.name or 'Limit'}: {said}{where}, {window}; told at {told} %."


def _edit(request: HttpRequest, operator: Operator, shown: Template | None) -> HttpResponse:
    action = request.POST.get("action", "") if request.method == "POST" else ""
    adds = "more" in request.POST
    form = sent(request, TemplateForm, initial=asdict(shown) if shown else {})
    rules = policy_rows.read(request.POST) if action else None
    limits = _read_limits(request.POST) if action else [_row(n, terms) for n, terms in _numbered(shown)]

    def write(values: dict[str, Any]) -> Template:
        return templates.save(
            operator=operator,
            key=shown.key if shown else templates.free_key(operator.id, values["name"]),
            rules=policy_rows.as_json(rules or []),
            limits=[row.as_json() for row in limits],
            **values,
            **acting(request),
        )

    if not adds and (kept := attempt(form, write)):
        messages.success(request, f"“{kept.name}” is kept. It is for policies that are begun from now on.")
        return _to_list(operator)
    if rules is None:
        rule_forms = policy_rows.forms_of(rules_from_json(list(shown.rules)) if shown else ())
    else:
        rule_forms = [*rules, policy_rows.blank(len(rules))]
    for rule_form in rule_forms:
        while len(rule_form.rows) < 2:
            rule_form.rows.append(policy_rows.Row())
    context = {
        "operator": operator,
        "template": shown,
        "form": form,
        "rule_forms": rule_forms,
        "limit_rows": [*limits, LimitRow(len(limits))],
        "counted": COUNTED,
        "windows": Window.choices,
        "choices": policy_rows,
        "zones": list(Zone.objects.filter(operator=operator).order_by("name").values_list("code", "name")),
        "zone": ZoneInfo("UTC"),
    }
    return render(request, "policy_templates/edit.html", context)


def _numbered(shown: Template | None) -> list[tuple[int, LimitTerms]]:
    return list(enumerate(shown.limits)) if shown else []


def _row(number: int, terms: LimitTerms) -> LimitRow:
    service = SERVICES_BY_NAME.get(terms.service)
    if terms.measure == Measure.MONEY or service is None:
        amount = quantities.write_price(terms.amount)
    else:
        amount = quantities.write(terms.amount, service)
    return LimitRow(
        number, terms.name, f"{terms.measure}:{terms.service}", "abroad" if terms.is_abroad else "", amount,
        terms.window, ", ".join(str(percent) for percent in terms.percents),
    )  # fmt: skip


def _read_limits(posted: QueryDict) -> list[LimitRow]:
    """The rows as they were sent; empty and removed ones are left out."""
    found: list[LimitRow] = []
    for number in range(templates.LIMITS_MOST + 2):
        prefix = f"l{number}-"
        if not posted.get(f"{prefix}amount", "").strip() or posted.get(f"{prefix}remove"):
            continue
        sent_values = {name: posted.get(prefix + name, "").strip() for name in _LIMIT_FIELDS}
        found.append(LimitRow(len(found), **sent_values))
    return found


_LIMIT_FIELDS = ("name", "counted", "where", "amount", "window", "marks")


def _operators(request: HttpRequest) -> list[Operator]:
    return list(Operator.objects.filter(id__in=request.tenancy.scope.operator_ids).order_by("name"))


def _operator(request: HttpRequest) -> Operator:
    """The operator that the page is about: the one named, or the first; 404 for who is of none."""
    named = request.POST.get("operator") or request.GET.get("operator") or ""
    own = _operators(request)
    found = next((one for one in own if str(one.id) == named), None) if named else next(iter(own), None)
    if found is None:
        raise Http404("Only for account managers of the operator.")
    return found


def _to_list(operator: Operator) -> HttpResponse:
    return redirect(f"{reverse('policy-templates')}?operator={operator.id}")
