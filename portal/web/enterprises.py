"""The operator's side of one enterprise: made, and run: contracts, people who sign in, ways to bring data in."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import hierarchy
from balances.models import Account, Contract, ContractVersion, Enterprise, Line, Operator, Person
from balances.scope import Scope, Verb
from portal import members
from portal.models import Membership, Role, User
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent


class EnterpriseForm(PortalForm):
    """A new customer."""

    action = "create"

    operator = forms.ChoiceField(label="Operator")
    name = forms.CharField(label="Name", max_length=120, widget=forms.TextInput(attrs={"autofocus": True}))
    number = forms.CharField(
        label="Customer number", max_length=32, help_text="Unique with the operator; files and the API refer to it."
    )

    def __init__(self, *arguments, operators: list[Operator], **options):
        super().__init__(*arguments, **options)
        self.fields["operator"].choices = [(str(operator.id), operator.name) for operator in operators]
        if len(operators) == 1:
            self.fields["operator"].widget = forms.HiddenInput()
            self.fields["operator"].initial = str(operators[0].id)


class MemberForm(PortalForm):
    """Somebody who shall run the enterprise."""

    action = "invite"

    email = forms.CharField(label="E-mail", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    name = forms.CharField(label="Name", max_length=120, required=False)
    role = forms.ChoiceField(
        label="Role", choices=[(Role.OWNER, Role.OWNER.label), (Role.OPERATOR, Role.OPERATOR.label)]
    )


def enterprise_new(request: HttpRequest) -> HttpResponse:
    """Make an enterprise; whoever makes it looks after it."""
    scope: Scope = request.tenancy.scope
    operators = list(Operator.objects.filter(id__in=scope.operator_ids).order_by("name"))
    if not operators:
        raise Http404("Only for account managers of an operator.")
    form = sent(request, EnterpriseForm, operators=operators)

    def write(values: dict) -> Enterprise:
        operator = next(each for each in operators if str(each.id) == values["operator"])
        doing = acting(request)
        with transaction.atomic():
            made = hierarchy.create_enterprise(operator=operator, name=values["name"], number=values["number"], **doing)
            members.join(user=request.user, role=Role.OPERATOR, operator=operator, enterprise=made, **doing)
        return made

    made = attempt(form, write)
    if made is not None:
        messages.success(request, f"{made.name} is set up. Its contract comes next.")
        return redirect("enterprise-admin", made.id)
    return render(request, "enterprises/new.html", {"form": form})


def enterprise_admin(request: HttpRequest, enterprise_id: int) -> HttpResponse:
    """What the operator set up for an enterprise, and what is still missing."""
    enterprise = administered(request, enterprise_id)
    place(request, enterprise=enterprise)
    form = sent(request, MemberForm)

    def invite(values: dict) -> Membership:
        return members.invite(giver=request.tenancy.scope, enterprise=enterprise, **values, **acting(request))

    joined = attempt(form, invite)
    if joined is not None:
        messages.success(request, f"{joined.user} is {joined.get_role_display()} of {enterprise.name} now.")
        _hand_out_link(request, joined.user)
        return redirect("enterprise-admin", enterprise.id)
    if request.POST.get("action") == "welcome":
        member = get_object_or_404(Membership, id=request.POST.get("member"), enterprise=enterprise)
        _hand_out_link(request, member.user)
        return redirect("enterprise-admin", enterprise.id)
    contracts = Contract.objects.filter(enterprise=enterprise).prefetch_related("versions")
    memberships = Membership.objects.filter(enterprise=enterprise).select_related("user", "account", "person")
    published = ContractVersion.objects.filter(enterprise=enterprise, state="published")
    counts = {
        "accounts": Account.objects.filter(enterprise=enterprise, closed_at__isnull=True).count(),
        "lines": Line.objects.filter(enterprise=enterprise).exclude(status="retired").count(),
        "people": Person.objects.filter(enterprise=enterprise).count(),
    }
    return render(
        request,
        "enterprises/admin.html",
        {
            "enterprise": enterprise,
            "form": form,
            "contracts": [(each, ZoneInfo(each.time_zone)) for each in contracts],
            "memberships": memberships.order_by("role", "user__name")[:100],
            "counts": counts,
            "top": Account.objects.filter(enterprise=enterprise, parent__isnull=True).first(),
            "has_contract": published.exists(),
        },
    )


def _hand_out_link(request: HttpRequest, user: User) -> None:
    """Show the link at which somebody new sets a password; those who have one sign in with it."""
    path = members.welcome_path(user, giver=request.tenancy.scope)
    if path:
        link = request.build_absolute_uri(path)
        messages.info(request, f"Hand {user} this link to set a password; it is good once, for three days: {link}")


def administered(request: HttpRequest, enterprise_id: int) -> Enterprise:
    """An enterprise that the user administers; 404 otherwise."""
    reach = Enterprise.objects.within(request.tenancy.scope, Verb.ADMINISTER).select_related("operator")
    return get_object_or_404(reach, id=enterprise_id)
