"""One personal account as the operator's staff runs it: money in and out, credit, what is on credit, its end.

Owns: forms and words. What is done is `balances.personal`. Of usage only sums are shown, and days instead of times.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from balances import locks, personal
from balances.errors import Refused
from balances.models import (
    Account,
    OpenPersonalUsage,
    OpenReason,
    PersonalAccount,
    PersonalAccountKind,
    PersonalEntryKind,
)
from balances.scope import Verb
from balances.selectors import personal_accounts as selector
from balances.selectors.personal_accounts import OnCredit, State
from balances.selectors.terms import terms_at
from portal import figures
from portal.web import quantities
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.reach import found

#: Rows on credit that one act gives up.
WRITE_OFF_MOST = 1_000
MONTH = "%Y-%m"
STATE_WORDS = {State.WAITING: "Not accepted yet", State.OPEN: "Open", State.CLOSED: "Closed"}


class MoneyForm(PortalForm):
    """An amount that comes in or goes out; `key` is made with the page, so that sending it twice does it once."""

    marks_optional = False

    amount = forms.CharField(label="Amount", max_length=20, help_text="Like 25 or 9.90.")
    note = forms.CharField(label="Note", max_length=200, required=False, help_text="The person reads it, too.")
    key = forms.CharField(max_length=40, widget=forms.HiddenInput())

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.fields["key"].initial = uuid.uuid4().hex


class TopUpForm(MoneyForm):
    """Money comes in."""

    action = "top-up"


class PayOutForm(MoneyForm):
    """Money goes back."""

    action = "pay-out"


class CreditForm(PortalForm):
    """How far a postpaid account may owe."""

    action = "credit-limit"

    amount = forms.CharField(label="May owe at most", max_length=20, help_text="Like 50.")


class CloseForm(PortalForm):
    """The end of an account; `owed_micros` is what was shown."""

    action = "close"

    owed_micros = forms.IntegerField(widget=forms.HiddenInput(), min_value=0)


class WriteOffForm(PortalForm):
    """Usage on credit that nobody pays; `rows` and `value_micros` are what was shown."""

    action = "write-off"

    service = forms.IntegerField(widget=forms.HiddenInput())
    reason = forms.ChoiceField(widget=forms.HiddenInput(), choices=OpenReason.choices)
    rows = forms.IntegerField(widget=forms.HiddenInput())
    value_micros = forms.IntegerField(widget=forms.HiddenInput())


def account(request: HttpRequest, account_id: int) -> HttpResponse:
    """An account with its money by months, and all that can be done with it."""
    scope, now = request.tenancy.scope, datetime.now(UTC)
    shown = found(selector.account, scope, account_id)
    place(request, enterprise=shown.enterprise)
    zone = ZoneInfo(shown.time_zone)
    bound = _forms(request, shown)
    acts: dict[str, Callable[[dict[str, Any]], str]] = {
        "top_up": lambda values: _top_up(request, shown, values),
        "pay_out": lambda values: _pay_out(request, shown, values),
        "credit": lambda values: _credit(request, shown, values),
        "close": lambda values: _close(request, shown, values),
        "write_off": lambda values: _write_off(request, shown, values),
    }
    for name, act in acts.items():
        if words := attempt(bound[name], act):
            messages.success(request, words)
            return redirect("personal-account", shown.id)
    shown = found(selector.account, scope, account_id)
    standing = personal.standing(shown)
    context = {
        "account": shown,
        "state": selector.state_of(shown),
        "forms": bound,
        "standing": standing,
        "quote": personal.quote(shown, at=now) if standing.open_rows and shown.closed_at is None else None,
        "on_credit": selector.on_credit(scope, shown),
        "month": selector.month_of(scope, shown, _month(request, zone, now), now),
        "entry_words": dict(PersonalEntryKind.choices),
        "reason_words": dict(OpenReason.choices),
        "is_postpaid": shown.kind == PersonalAccountKind.POSTPAID,
        "currency": shown.tariff.currency,
        "contract_currency": terms_at(shown.enterprise_id, now).currency,
        "top": Account.objects.within(scope, Verb.MANAGE)
        .filter(enterprise=shown.enterprise, parent__isnull=True)
        .first(),
        "zone": zone,
    }
    return render(request, "personal_accounts/account.html", context)


def _forms(request: HttpRequest, shown: PersonalAccount) -> dict[str, PortalForm]:
    owed = max(-shown.balance_micros, 0)
    return {
        "top_up": sent(request, TopUpForm),
        "pay_out": sent(request, PayOutForm),
        "credit": sent(request, CreditForm, initial={"amount": quantities.write_price(shown.credit_limit_micros)}),
        "close": sent(request, CloseForm, initial={"owed_micros": owed}),
        "write_off": sent(request, WriteOffForm),
    }


def _amount(values: dict[str, Any]) -> int:
    """The amount as micros. Raises Refused at its field."""
    try:
        return quantities.read_price(values["amount"])
    except Refused as refusal:
        raise Refused(refusal.message, field="amount") from None


def _moved(request: HttpRequest, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "micros": _amount(values), "note": values["note"], "key": f"user:{request.user.pk}:{values['key']}",
        **acting(request),
    }  # fmt: skip


def _top_up(request: HttpRequest, shown: PersonalAccount, values: dict[str, Any]) -> str:
    entry = _at_amount(lambda: personal.top_up(account=shown, **_moved(request, values)))
    return f"{figures.money(entry.micros, shown.tariff.currency)} are paid in."


def _pay_out(request: HttpRequest, shown: PersonalAccount, values: dict[str, Any]) -> str:
    entry = _at_amount(lambda: personal.pay_out(account=shown, **_moved(request, values)))
    return f"{figures.money(-entry.micros, shown.tariff.currency)} are paid out."


def _credit(request: HttpRequest, shown: PersonalAccount, values: dict[str, Any]) -> str:
    limit = _amount(values)
    _at_amount(lambda: personal.set_credit_limit(account=shown, credit_limit_micros=limit, **acting(request)))
    return f"This account may owe {figures.money(limit, shown.tariff.currency)} now."


def _close(request: HttpRequest, shown: PersonalAccount, values: dict[str, Any]) -> str:
    try:
        personal.close(account=shown, owed_micros=values["owed_micros"], **acting(request))
    except personal.Owes as refusal:
        owed = figures.money(refusal.standing.owed_micros, shown.tariff.currency)
        raise Refused(f"This account owes {owed} now: look again before you close it.") from None
    return "The account is closed. It pays for nothing that is used from now on."


def _write_off(request: HttpRequest, shown: PersonalAccount, values: dict[str, Any]) -> str:
    """Give up what was shown of one service and reason, if it is still that. Raises Refused."""
    with transaction.atomic(), locks.enterprise(shown.enterprise_id):
        groups = selector.on_credit(request.tenancy.scope, shown)
        place_of = (values["service"], values["reason"])
        group = next((one for one in groups if (one.service, one.reason) == place_of), None)
        if group is None or (group.rows, group.value_micros) != (values["rows"], values["value_micros"]):
            raise Refused("What is on credit has changed meanwhile: look again.")
        for row in OpenPersonalUsage.objects.within(request.tenancy.scope, Verb.ADMINISTER).filter(
            id__in=group.ids[:WRITE_OFF_MOST]
        ):
            personal.write_off(open_usage=row, **acting(request))
    return _written_off(group)


def _written_off(group: OnCredit) -> str:
    done = min(group.rows, WRITE_OFF_MOST)
    left = f" {figures.count(group.rows - done)} are left." if group.rows > done else ""
    return f"{figures.count(done)} {'use is' if done == 1 else 'uses are'} written off: nobody pays.{left}"


def _at_amount(act: Callable[[], Any]) -> Any:
    """What an act returns; what it refuses of the amount is said at that field."""
    try:
        return act()
    except Refused as refusal:
        is_amount = refusal.field in ("micros", "credit_limit_micros")
        raise Refused(refusal.message, field="amount" if is_amount else refusal.field) from None


def _month(request: HttpRequest, zone: ZoneInfo, now: datetime) -> datetime:
    """An instant in the month that the address names; else in this one."""
    try:
        return datetime.strptime(request.GET.get("month", ""), MONTH).replace(tzinfo=zone)
    except ValueError:
        return now
