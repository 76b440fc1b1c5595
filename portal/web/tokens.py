"""Tokens of REST clients: made, shown once, revoked."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances.models import Account, Enterprise, Operator
from balances.scope import Scope, Verb
from portal import tokens
from portal.models import ApiToken
from portal.web.context import manages
from portal.web.forms import CivilTimeField, PortalForm, acting, attempt, sent

VERB_WORDS = {
    Verb.VIEW: "Read balances, usage and charges",
    Verb.MANAGE: "Change accounts, lines and thresholds, mend suspense",
    Verb.INGEST: "Send usage",
    Verb.ADMINISTER: "Enterprises, contracts and rates (operator's side)",
}
OF_OPERATOR, OF_ENTERPRISE, OF_ACCOUNT = "operator", "enterprise", "account"


class TokenForm(PortalForm):
    """A new token: a place, and no more there than its maker holds."""

    action = "issue"

    name = forms.CharField(label="Name", max_length=80, help_text="Which client uses it: Mediation, SAP, Power BI.")
    place = forms.ChoiceField(label="Reaches")
    verbs = forms.MultipleChoiceField(label="May", widget=forms.CheckboxSelectMultiple)
    expires_at = CivilTimeField(label="Expires", required=False, help_text="UTC. Empty: when it is revoked.")

    def __init__(self, *arguments, places: list[tuple[str, str]], verbs: list[Verb], **options):
        super().__init__(*arguments, **options)
        self.fields["place"].choices = places
        self.fields["verbs"].choices = [(str(verb), VERB_WORDS[verb]) for verb in verbs]


def token_list(request: HttpRequest) -> HttpResponse:
    """The tokens in reach, and the form for another one. The secret is on the answer to the form, and nowhere else."""
    scope: Scope = request.tenancy.scope
    if not manages(scope):
        raise Http404("No place to make tokens for.")
    form = sent(request, TokenForm, places=_places(scope), verbs=[verb for verb in Verb if _holds(scope, verb)])
    made = attempt(form, lambda values: _issue(request, values))
    context = {"form": form, "tokens": _within(request), "made": made[0] if made else None}
    response = render(request, "tokens/list.html", context | {"secret": made[1] if made else ""})
    response["Cache-Control"] = "no-store"
    return response


def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """Ask, then end a token for good."""
    token = get_object_or_404(_within(request), id=token_id)
    if request.method == "POST":
        tokens.revoke(token=token, **acting(request))
        messages.success(request, f"“{token.name}” is revoked. Its client is turned away within three seconds.")
        return redirect("tokens")
    return render(request, "tokens/revoke.html", {"token": token})


def _issue(request: HttpRequest, values: dict) -> tuple[ApiToken, str]:
    scope: Scope = request.tenancy.scope
    kind, _, number = values["place"].partition("-")
    place_id, enterprise, account = int(number), None, None
    if kind == OF_OPERATOR:
        operator = Operator.objects.get(id=place_id)
    else:
        if kind == OF_ACCOUNT:
            account = Account.objects.within(scope, Verb.VIEW).get(id=place_id)
            place_id = account.enterprise_id
        enterprise = Enterprise.objects.select_related("operator").get(id=place_id)
        operator = enterprise.operator
    return tokens.issue(
        operator=operator,
        enterprise=enterprise,
        account=account,
        name=values["name"],
        verbs=values["verbs"],
        created_by=request.user,
        expires_at=values["expires_at"],
        at=acting(request)["at"],
    )


def _places(scope: Scope) -> list[tuple[str, str]]:
    """Where the user may let a token reach: operators, whole enterprises, the tops of own subtrees."""
    places = [(f"{OF_OPERATOR}-{o.id}", f"{o.name}: all my enterprises") for o in _operators(scope)]
    whole = Enterprise.objects.within(scope, Verb.VIEW)
    places += [(f"{OF_ENTERPRISE}-{enterprise.id}", enterprise.name) for enterprise in whole]
    tops = Account.objects.filter(id__in=scope.account_ids(Verb.MANAGE)).exclude(
        parent_id__in=scope.account_ids(Verb.MANAGE)
    )
    places += [
        (f"{OF_ACCOUNT}-{account.id}", f"{account.enterprise.name}: {account.name} and below")
        for account in tops.select_related("enterprise")
    ]
    return places


def _operators(scope: Scope) -> QuerySet[Operator]:
    return Operator.objects.filter(id__in=scope.operator_ids)


def _holds(scope: Scope, verb: Verb) -> bool:
    return bool(scope.enterprise_ids(verb)) or (verb == Verb.ADMINISTER and bool(scope.operator_ids))


def _within(request: HttpRequest) -> QuerySet[ApiToken]:
    """One's own tokens, and those of enterprises and operators that one runs."""
    scope: Scope = request.tenancy.scope
    reach = (
        Q(created_by=request.user)
        | Q(enterprise_id__in=scope.whole_enterprise_ids(Verb.MANAGE))
        | Q(enterprise__isnull=True, operator_id__in=scope.operator_ids)
    )
    known = ApiToken.objects.filter(reach).select_related("operator", "enterprise", "account", "created_by")
    return known.order_by("revoked_at", "-id")
