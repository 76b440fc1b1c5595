"""Personal accounts of the people below an account: opened for one, for many, by a file; found by their state.

The operator's staff runs them. Managers of the enterprise come to the same address and read how many people have an
accepted account and who has none; the wall (docs/byod.md) leaves no more to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from balances import personal_opening
from balances.errors import Refused
from balances.loading import LoadResult
from balances.models import Account, Person, PersonalAccountKind, PersonalTariff
from balances.scope import Scope, Verb
from balances.selectors import personal_accounts as selector
from balances.selectors import personal_tariffs as tariff_selector
from balances.selectors import tree
from balances.selectors.personal_accounts import Show
from balances.selectors.terms import terms_at
from portal import figures
from portal.provisioning.imports import PERSONAL_ACCOUNTS, load_now
from portal.web import quantities
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent

A_PAGE = 50
ERRORS_MOST = 100
SHOWN = [
    (Show.ALL, "All"),
    (Show.WITHOUT, "Without an account"),
    (Show.WAITING, "Not accepted yet"),
    (Show.OPEN, "Open"),
    (Show.CLOSED, "Closed"),
]


class OpenForm(PortalForm):
    """The account that chosen people get."""

    action = "open-accounts"
    marks_optional = False

    tariff = forms.ModelChoiceField(label="Tariff", queryset=PersonalTariff.objects.none(), empty_label=None)
    kind = forms.ChoiceField(label="Kind", choices=PersonalAccountKind.choices, initial=PersonalAccountKind.POSTPAID)
    credit_limit = forms.CharField(
        label="Credit limit", max_length=20, required=False, help_text="How far a postpaid account may owe, like 50."
    )

    def __init__(self, *arguments, tariffs: QuerySet[PersonalTariff], **options):
        super().__init__(*arguments, **options)
        self.fields["tariff"].queryset = tariffs


class FileForm(PortalForm):
    """Accounts to be opened by the rows of a file."""

    action = "load-accounts"

    file = forms.FileField(label="CSV file", widget=forms.ClearableFileInput(attrs={"accept": ".csv,.txt,text/csv"}))


@dataclass(frozen=True, slots=True)
class Filters:
    """Which people are looked at."""

    text: str
    show: Show

    @classmethod
    def of(cls, request: HttpRequest) -> Filters:
        """Of the address; what is not known is left out."""
        show = request.GET.get("show", "")
        return cls(request.GET.get("q", "").strip()[:80], Show(show) if show in set(Show) else Show.ALL)

    @property
    def query(self) -> str:
        """The same as a query string."""
        return urlencode({key: value for key, value in (("q", self.text), ("show", str(self.show))) if value})


def of_account(request: HttpRequest, account_id: int) -> HttpResponse:
    """The people below an account with what they have, for staff; how many have one at all, for managers."""
    scope: Scope = request.tenancy.scope
    reach = Account.objects.within(scope, Verb.MANAGE).select_related("enterprise__operator")
    account = get_object_or_404(reach, id=account_id)
    place(request, account=account, section="account-personal")
    if not selector.runs(scope, account.enterprise):
        return _for_managers(request, account)
    filters, now = Filters.of(request), datetime.now(UTC)
    zone = terms_at(account.enterprise_id, now).zone
    operator = account.enterprise.operator
    tariffs = tariff_selector.tariffs(scope).filter(operator=operator, retired_at__isnull=True, versions__isnull=False)
    form = sent(request, OpenForm, tariffs=tariffs.distinct())
    file_form = sent(request, FileForm)
    opened = attempt(form, lambda values: _open(request, account, filters, values, zone))
    if opened is not None:
        _tell(request, opened)
        return redirect(f"{reverse('account-personal', args=[account.id])}?{filters.query}")
    loaded = attempt(file_form, lambda values: _load(request, account, values, zone))
    if loaded is not None and not loaded.errors:
        _tell(request, loaded.created)
        return redirect("account-personal", account.id)
    page = Paginator(selector.people(scope, account, text=filters.text, show=filters.show), A_PAGE).get_page(
        request.GET.get("page")
    )
    latest = selector.latest_of(scope, list(page.object_list))
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(scope, account),
        "filters": filters,
        "shown": SHOWN,
        "page_obj": page,
        "rows": [_row(person, latest.get(person.id)) for person in page.object_list],
        "counts": [
            (label, selector.people(scope, account, show=show).order_by().count(), show) for show, label in SHOWN
        ],
        "form": form,
        "file_form": file_form,
        "loaded": loaded,
        "errors": loaded.errors[:ERRORS_MOST] if loaded else [],
        "columns": PERSONAL_ACCOUNTS.columns,
        "has_tariffs": tariffs.exists(),
        "most": personal_opening.ROWS_MOST,
        "zone": zone,
    }
    return render(request, "personal_accounts/list.html", context)


def _row(person: Person, account: Any) -> dict[str, Any]:
    state = selector.state_of(account) if account else None
    return {"person": person, "account": account, "state": state, "is_open": state not in (None, "closed")}


def _for_managers(request: HttpRequest, account: Account) -> HttpResponse:
    """What the wall lets through: how many, and whom to ask."""
    scope: Scope = request.tenancy.scope
    text = request.GET.get("q", "").strip()[:80]
    accepted, everybody = selector.accepted_count(scope, account)
    without = selector.without_accepted(scope, account, text=text)
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(scope, account),
        "accepted": accepted,
        "everybody": everybody,
        "without": everybody - accepted,
        "page_obj": Paginator(without, A_PAGE).get_page(request.GET.get("page")),
        "text": text,
        "query": urlencode({"q": text}) if text else "",
    }
    return render(request, "personal_accounts/managers.html", context)


def _open(request: HttpRequest, account: Account, filters: Filters, values: dict[str, Any], zone: ZoneInfo) -> int:
    """Open accounts for the chosen people, or for all that match. Raises Refused."""
    scope: Scope = request.tenancy.scope
    if request.POST.get("all"):
        matching = selector.people(scope, account, text=filters.text, show=filters.show)
        # Those who have one would be left as they are: they do not count towards what one act takes.
        matching = matching.filter(id__in=selector.people(scope, account, show=Show.WITHOUT).order_by().values("id"))
        ids = list(matching.values_list("id", flat=True)[: personal_opening.ROWS_MOST])
    else:
        chosen = [int(each) for each in request.POST.getlist("id") if each.isdecimal() and len(each) < 19]
        ids = list(selector.people(scope, account).filter(id__in=chosen).values_list("id", flat=True))
    if not ids:
        raise Refused("Choose at least one person without an account.")
    return personal_opening.open_many(
        enterprise=account.enterprise,
        person_ids=ids,
        tariff=values["tariff"],
        kind=values["kind"],
        credit_limit_micros=_limit(values["credit_limit"]),
        time_zone=zone.key,
        **acting(request),
    )


def _load(request: HttpRequest, account: Account, values: dict[str, Any], zone: ZoneInfo) -> LoadResult:
    """Open the accounts of a file; its rows name people of the whole enterprise. Raises Refused."""
    return load_now(
        PERSONAL_ACCOUNTS, enterprise=account.enterprise, file=values["file"], time_zone=zone.key, **acting(request)
    )


def _limit(text: str) -> int:
    try:
        return quantities.read_price(text) if text.strip() else 0
    except Refused as refusal:
        raise Refused(refusal.message, field="credit_limit") from None


def _tell(request: HttpRequest, opened: int) -> None:
    if not opened:
        messages.warning(request, "Nobody is without an account among them: nothing was opened.")
        return
    said = "1 account is opened. It pays" if opened == 1 else f"{figures.count(opened)} accounts are opened. They pay"
    messages.success(request, f"{said} nothing until the person accepts tariff and prices.")
