"""Who proved to be whom: the people of an enterprise and their codes, and the page where a user enters one."""

from __future__ import annotations

from datetime import UTC, datetime

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances.errors import Refused
from balances.models import Person
from portal import claims
from portal.models import PersonClaim
from portal.web.context import place
from portal.web.enterprises import administered
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.reach import number_sent

A_PAGE = 50


class CodeForm(PortalForm):
    """The code that somebody was given."""

    action = "confirm"

    code = forms.CharField(
        label="Code", max_length=40,
        help_text="As the operator gave it to you: a number, then twice five characters.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "spellcheck": "false", "class": "mono"}),
    )  # fmt: skip


def of_enterprise(request: HttpRequest, enterprise_id: int) -> HttpResponse:
    """The people of an enterprise and who proved to be one of them; a code for one is shown once, on this answer."""
    enterprise = administered(request, enterprise_id)
    place(request, enterprise=enterprise)
    doing = acting(request)
    code, whose = "", None
    if request.method == "POST":
        whose = get_object_or_404(Person, id=number_sent(request, "person"), enterprise=enterprise)
        try:
            if request.POST.get("action") == "withdraw":
                claim = get_object_or_404(PersonClaim, person=whose, ended_at__isnull=True)
                claims.withdraw(claim=claim, **doing)
                messages.success(request, f"{whose.name}: what was personal is closed again.")
                return redirect("people-claims", enterprise.id)
            _, code = claims.issue(person=whose, **doing)
        except Refused as refusal:
            messages.error(request, refusal.message)
            return redirect("people-claims", enterprise.id)
    text = request.GET.get("q", "").strip()[:80]
    people = Person.objects.filter(enterprise=enterprise)
    if text:
        people = people.filter(Q(name__icontains=text) | Q(number__startswith=text))
    page = Paginator(people.select_related("account").order_by("name", "id"), A_PAGE).get_page(request.GET.get("page"))
    standing = PersonClaim.objects.filter(person__in=[person.id for person in page], ended_at__isnull=True)
    by_person = {claim.person_id: claim for claim in standing}
    now = datetime.now(UTC)
    context = {
        "enterprise": enterprise,
        "page_obj": page,
        "rows": [(person, by_person.get(person.id)) for person in page],
        "text": text,
        "code": code,
        "whose": whose,
        "now": now,
        "days": claims.LASTS.days,
    }
    response = render(request, "claims/people.html", context)
    response["Cache-Control"] = "no-store"
    return response


def mine(request: HttpRequest) -> HttpResponse:
    """Where a user enters the code, sees whom they proved to be, and gives that up."""
    form = sent(request, CodeForm)
    confirmed = attempt(
        form, lambda values: claims.confirm(user=request.user, code=values["code"], at=datetime.now(UTC))
    )
    if confirmed is not None:
        messages.success(request, "From now on you see what is personal to you, and nobody else does.")
        return redirect("my-claim")
    held = PersonClaim.objects.filter(user=request.user, confirmed_at__isnull=False, ended_at__isnull=True)
    if request.POST.get("action") == "withdraw":
        claims.withdraw(claim=get_object_or_404(held, id=number_sent(request, "claim")), **acting(request))
        messages.success(request, "You do not see it any more. The operator can give you another code.")
        return redirect("my-claim")
    return render(request, "claims/mine.html", {"form": form, "held": held.select_related("person", "enterprise")})
