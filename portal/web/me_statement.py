"""My statement: a month of my personal account on screen, on paper and as a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from balances.models import PersonalAccount, PersonalEntryKind
from balances.periods import Period
from balances.selectors import payer, statements
from balances.selectors.statements import Statement
from balances.selectors.terms import snapshot
from balances.units import MICROS_PER_MAJOR, SERVICE_NAMES
from portal import figures
from portal.web.me import mine_page, selves

COLUMNS = [
    "recorded_at", "used_at", "what", "service", "zone", "units", "units_from_allowances", "refused_or_open_units",
    "amount", "currency", "balance_after", "usage", "note",
]  # fmt: skip
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def statement(request: HttpRequest) -> HttpResponse:
    """A month of an own account, chosen by `account` and `month`; the month under way of the open one unless told."""
    now, scope = datetime.now(UTC), request.tenancy.scope
    accounts = [
        (one, account)
        for one in selves(request) if one.is_proven
        for account in payer.accounts_of(scope, one.person.id)
    ]  # fmt: skip
    if not accounts:
        return render(request, "me/statement.html", mine_page(request, "me-statement", accounts=[]))
    account = _chosen_account(request, [account for _, account in accounts])
    months = statements.months_of(account, now)
    month = next((one for one in months if _name(one, account) == request.GET.get("month")), months[0])
    if request.GET.get("format") == "csv":
        return _file(request, account, month)
    with snapshot():
        shown = statements.statement(scope, account, month)
    context = mine_page(
        request, "me-statement", accounts=accounts, account=account, statement=shown, zone=shown.zone,
        currency=account.tariff.currency, lines=_entries(shown), summary=_summary(shown),
        months=[(_name(one, account), _said(one, account)) for one in months], month=_name(month, account),
        month_said=_said(month, account), is_under_way=month.starts_at <= now < month.ends_at,
        as_of=figures.moment(now, shown.zone),
    )  # fmt: skip
    return render(request, "me/statement.html", context)


def _chosen_account(request: HttpRequest, accounts: list[PersonalAccount]) -> PersonalAccount:
    """The account that the address asks for; 404 where it is not the reader's."""
    wanted = request.GET.get("account", "")
    if not wanted:
        return next((account for account in accounts if account.closed_at is None), accounts[0])
    found = next((account for account in accounts if str(account.id) == wanted), None)
    if found is None:
        raise Http404("Not in reach.")
    return found


def _name(month: Period, account: PersonalAccount) -> str:
    return f"{month.starts_at.astimezone(payer.zone_of(account)):%Y-%m}"


def _said(month: Period, account: PersonalAccount) -> str:
    return figures.month(month.starts_at, payer.zone_of(account))


def _summary(shown: Statement) -> list[tuple[str, int]]:
    """The kinds of entries of the month with their sums, in the order of a statement."""
    labels = {
        PersonalEntryKind.TOP_UP: "Paid in",
        PersonalEntryKind.CHARGE: "Usage",
        PersonalEntryKind.SETTLEMENT: "Usage that was open",
        PersonalEntryKind.CORRECTION: "Corrections",
        PersonalEntryKind.PAYOUT: "Paid out",
    }
    return [(label, shown.sums[kind]) for kind, label in labels.items() if shown.sums.get(kind)]


def _entries(shown: Statement) -> list[dict[str, Any]]:
    """Movements of money but for usage, each with a sentence."""
    rows = []
    for entry in shown.entries:
        said = entry.note
        if entry.id in shown.settled:
            uses, first = shown.settled[entry.id]
            what = "1 use" if uses == 1 else f"{figures.count(uses)} uses"
            said = f"{what} from {figures.long_day(first, shown.zone)} on, granted on credit then"
        rows.append({"entry": entry, "said": said})
    return rows


def _file(request: HttpRequest, account: PersonalAccount, month: Period) -> StreamingHttpResponse:
    """The month as CSV, row by row: each use, each movement of money, each use that nobody paid."""
    writer = csv.writer(_Echo())
    rows = _file_rows(request, account, month)
    response = StreamingHttpResponse((writer.writerow(row) for row in rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="statement-{_name(month, account)}.csv"'
    return response


def _file_rows(request: HttpRequest, account: PersonalAccount, month: Period) -> Iterator[list[Any]]:
    scope, currency = request.tenancy.scope, account.tariff.currency
    yield COLUMNS
    for line in statements.charge_lines(scope, account, month).iterator():
        usage = line.usage
        yield [
            usage.charged_at.isoformat(), line.starts_at.isoformat(), "usage", SERVICE_NAMES[usage.service],
            usage.zone.code, line.units, sum(line.personal_bucket_units), line.refused_units or "",
            _decimal(-line.personal_micros), currency, "", usage.id, "",
        ]  # fmt: skip
    for entry in statements.movements(scope, account, month).iterator():
        yield [
            entry.recorded_at.isoformat(), "", entry.kind, "", "", "", "", "", _decimal(entry.micros), currency,
            _decimal(entry.balance_after_micros), "", _safe(entry.note),
        ]  # fmt: skip
    for row in statements.open_rows(scope, account, month).iterator():
        yield [
            row.recorded_at.isoformat(), row.starts_at.isoformat(), row.state, SERVICE_NAMES[row.service],
            row.zone.code, "", "", row.units, "", currency, "", row.usage_id, row.get_reason_display(),
        ]  # fmt: skip


class _Echo:
    def write(self, text: str) -> str:
        """What `csv` hands over, as it is."""
        return text


def _decimal(micros: int) -> str:
    return f"{Decimal(micros) / MICROS_PER_MAJOR:.6f}"


def _safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
