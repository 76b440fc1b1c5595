"""Suspense: what could not be charged, by reason; mended one by one or many at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from balances.errors import Refused
from balances.models import Account, Enterprise, Line, SuspendedUsage, UsageRecord
from balances.models.usage import SuspenseReason, SuspenseState
from balances.scope import Scope, Verb
from balances.selectors.terms import terms_at
from balances.units import SERVICE_NAMES
from portal.charging import concealing, suspense, trial
from portal.charging.suspense import CORRECTABLE, REASON_TEXTS
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent

A_PAGE = 50
NOBODYS = "none"
FIELD_HELP = {
    "source_record_id": "What tells this record apart within its source.",
    "service": f"One of {', '.join(SERVICE_NAMES.values())}.",
    "msisdn": "With country code. Where it is given, the IMSI is not looked at.",
    "imsi": "Used where there is no MSISDN.",
    "units": "Whole octets, seconds, messages or participant-seconds.",
    "started_at": "With offset, like 2026-03-10T09:00:00+01:00.",
    "ended_at": "May be empty.",
    "visited_network": "MCC and MNC; empty: the home network.",
    "other_party": "May be empty.",
    "imei": "May be empty.",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which suspended records are looked at."""

    enterprise: str = ""
    reason: str = ""
    state: str = SuspenseState.OPEN
    text: str = ""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Filters:
        """Of a query string; what is not known is left out."""
        reason, state = values.get("reason", ""), values.get("state", SuspenseState.OPEN)
        return cls(
            values.get("enterprise", ""),
            reason if reason in SuspenseReason else "",
            state if state in SuspenseState else SuspenseState.OPEN,
            values.get("q", "").strip()[:80],
        )

    def rows(self, scope: Scope, *, any_reason: bool = False) -> QuerySet[SuspendedUsage]:
        """The records that fit, newest first."""
        found = suspense.within(scope).filter(state=self.state)
        if self.enterprise == NOBODYS:
            found = found.filter(enterprise__isnull=True)
        elif self.enterprise.isdecimal():
            found = found.filter(enterprise_id=int(self.enterprise))
        if self.reason and not any_reason:
            found = found.filter(reason=self.reason)
        if self.text:
            digits = self.text.lstrip("+")
            fits = Q(source_record_id__startswith=self.text) | Q(record__msisdn__endswith=digits)
            found = suspense.matching(found, scope, fits | Q(record__imsi__startswith=digits))
        return found.order_by("-suspended_at", "-id")

    def query(self, **changes: str) -> str:
        """The query string of these filters with changes."""
        values = {"enterprise": self.enterprise, "reason": self.reason, "state": str(self.state), "q": self.text}
        return urlencode({key: value for key, value in (values | changes).items() if value})


class BulkForm(PortalForm):
    """What to do with many records."""

    action = "bulk"

    verb = forms.ChoiceField(choices=[("recycle", "Recycle"), ("correct", "Correct"), ("write_off", "Write off")])
    field = forms.ChoiceField(
        choices=[(field, field) for field in CORRECTABLE if field != "source_record_id"], required=False
    )
    value = forms.CharField(required=False, max_length=80, strip=True)
    note = forms.CharField(required=False, max_length=suspense.NOTE_LENGTH)


def suspended_list(request: HttpRequest) -> HttpResponse:
    """The records, counts by reason, and what to do with those that are chosen."""
    scope: Scope = request.tenancy.scope
    filters = Filters.of(request.GET)
    form = sent(request, BulkForm)
    if form.is_bound and form.is_valid():
        try:
            _resolve_many(request, filters, form.cleaned_data)
            return redirect(f"{reverse('suspense')}?{filters.query()}")
        except Refused as refusal:
            form.add_error(None, refusal.message)
    paginator = Paginator(filters.rows(scope).select_related("enterprise", "source"), A_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    suspense.show(page.object_list, scope)
    enterprises = list(Enterprise.objects.within(scope, Verb.MANAGE))
    context = {
        "page_obj": page,
        "form": form,
        "filters": filters,
        "reasons": _reasons(filters, scope),
        "explanation": REASON_TEXTS.get(filters.reason),
        "enterprises": enterprises,
        "sees_nobodys": bool(scope.operator_ids),
        "states": [(state, state.label, filters.query(state=str(state), reason="")) for state in SuspenseState],
        "fields": [field for field in CORRECTABLE if field != "source_record_id"],
        "zone": terms_at(enterprises[0].id, datetime.now(UTC)).zone if len(enterprises) == 1 else ZoneInfo("UTC"),
        "most": suspense.MOST_AT_ONCE,
    }
    return render(request, "suspense/list.html", context)


def _reasons(filters: Filters, scope: Scope) -> list[tuple[str, str, int, str]]:
    """Reasons with their counts under the other filters: code, title, count, query string."""
    counted = filters.rows(scope, any_reason=True).order_by().values_list("reason").annotate(Count("id"))
    return [
        (reason, REASON_TEXTS[reason].title, count, filters.query(reason=reason))
        for reason, count in sorted(counted, key=lambda item: -item[1])
    ]


def _resolve_many(request: HttpRequest, filters: Filters, values: dict) -> None:
    """Do what the form says with the chosen rows, or with all that match; tell how many. Raises Refused."""
    scope: Scope = request.tenancy.scope
    if request.POST.get("all"):
        ids = list(filters.rows(scope).values_list("id", flat=True)[: suspense.MOST_AT_ONCE])
    else:
        ids = [int(each) for each in request.POST.getlist("id") if each.isdecimal()]
    if not ids:
        raise Refused("Choose at least one record.")
    if values["verb"] == "write_off":
        done = suspense.write_off(ids=ids, note=values["note"], scope=scope, **acting(request))
        messages.success(request, f"{done:,} written off.")
    else:
        corrections = {values["field"]: values["value"]} if values["verb"] == "correct" else {}
        done = suspense.recycle(ids=ids, corrections=corrections, scope=scope, **acting(request))
        messages.success(
            request, f"{done:,} recycled. They are charged now, or come back here with what is still wrong."
        )
    if done < len(ids):
        words = "Conflicts need ids of their own, one by one; others may have been resolved by somebody else."
        messages.warning(request, f"{len(ids) - done:,} were left as they are. {words}")


# --- one record ------------------------------------------------------------------------------------------------------


class CorrectionForm(PortalForm):
    """The fields of one record, as they were sent."""

    action = "recycle"
    marks_optional = False

    def __init__(self, *arguments, record: Mapping[str, object], is_blind: bool = False, **options):
        super().__init__(*arguments, **options)
        self.record, self.is_blind = record, is_blind
        self.names = [name for name in CORRECTABLE if not is_blind or name in concealing.CORRECTABLE_BLIND]
        for name in self.names:
            self.fields[name] = forms.CharField(
                label=name,
                required=False,
                max_length=100,
                help_text=FIELD_HELP[name],
                initial="" if is_blind else _text(record.get(name)),
                widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono", "spellcheck": "false"}),
            )

    def corrections(self) -> dict[str, str]:
        """The fields whose values were changed."""
        return {name: self.cleaned_data[name] for name in self.names if self.cleaned_data[name] != self[name].initial}


class WriteOffForm(PortalForm):
    """Why a record will not be charged."""

    action = "write_off"

    note = forms.CharField(label="Why", max_length=suspense.NOTE_LENGTH, help_text="Kept in the audit record.")


def suspended(request: HttpRequest, suspended_id: int) -> HttpResponse:
    """One record: what happened, what to do, and what would become of it."""
    row, is_blind = _row(request, suspended_id)
    if row.enterprise:
        place(request, enterprise=row.enterprise)
    form = sent(request, CorrectionForm, record=row.record, is_blind=is_blind)
    write_off = sent(request, WriteOffForm)
    scope: Scope = request.tenancy.scope

    def recycle(values: dict) -> int:
        return suspense.recycle(ids=[row.id], corrections=form.corrections(), scope=scope, **acting(request))

    def give_up(values: dict) -> int:
        return suspense.write_off(ids=[row.id], note=values["note"], scope=scope, **acting(request))

    for each, write, words in ((form, recycle, "Recycled."), (write_off, give_up, "Written off.")):
        done = attempt(each, write)
        if done is not None:
            tell = messages.success if done else messages.warning
            tell(request, words if done else "Somebody else has resolved this record meanwhile.")
            return redirect("suspended", row.id)
    context = {
        "row": row,
        "text": REASON_TEXTS[row.reason],
        "form": form,
        "write_off": write_off,
        "zone": terms_at(row.enterprise_id, row.suspended_at).zone if row.enterprise_id else ZoneInfo("UTC"),
        "is_blind": is_blind,
        **_became(row, scope, is_blind),
        **_outlook(row, is_blind, form.corrections() if form.is_bound and form.is_valid() else {}),
    }
    return render(request, "suspense/page.html", context)


@require_POST
def outlook(request: HttpRequest, suspended_id: int) -> HttpResponse:
    """What would become of a record with the corrections that are typed just now."""
    row, is_blind = _row(request, suspended_id)
    form = CorrectionForm(request.POST, record=row.record, is_blind=is_blind)
    form.is_valid()
    return render(request, "suspense/outlook.html", {"row": row, **_outlook(row, is_blind, form.corrections())})


def _row(request: HttpRequest, suspended_id: int) -> tuple[SuspendedUsage, bool]:
    """A record in reach, and whether what it says is concealed from the reader."""
    scope: Scope = request.tenancy.scope
    row = get_object_or_404(
        suspense.within(scope).select_related("enterprise", "source", "recycled_as"), id=suspended_id
    )
    return row, bool(suspense.show([row], scope))


def _outlook(row: SuspendedUsage, is_blind: bool, corrections: Mapping[str, str]) -> dict[str, object]:
    """Context of the outlook: charged to whom, or why not; nobody looks ahead for those who may not see the record."""
    if row.state != SuspenseState.OPEN or row.enterprise_id is None or is_blind:
        return {"outlook": None}
    new_id = corrections.get("source_record_id", row.source_record_id)
    if row.reason == SuspenseReason.CONFLICT and new_id == row.source_record_id:
        return {
            "outlook": trial.Outlook(row.reason, "It needs an id of its own."),
            "outlook_text": REASON_TEXTS[row.reason],
        }
    try:
        usage = suspense.corrected(row.record, corrections)
    except Refused as refusal:
        return {"outlook": trial.Outlook(SuspenseReason.MALFORMED, refusal.message)}
    seen = trial.foresee(
        enterprise_id=row.enterprise_id,
        source_id=row.source_id,
        usage=usage,
        own_id=row.source_record_id,
        at=datetime.now(UTC),
    )
    context: dict[str, object] = {"outlook": seen, "outlook_text": REASON_TEXTS.get(seen.reason)}
    if seen.is_charged:
        context["outlook_line"] = Line.objects.filter(id=seen.line_id, enterprise_id=row.enterprise_id).first()
        context["outlook_account"] = Account.objects.filter(id=seen.account_id, enterprise_id=row.enterprise_id).first()
        context["outlook_currency"] = terms_at(row.enterprise_id, datetime.now(UTC)).currency
    return context


def _became(row: SuspendedUsage, scope: Scope, is_blind: bool) -> dict[str, object]:
    """What a recycled record became: a charge in reach, another suspended one, or nothing yet. Nothing is said of one
    that the reader may not see: whose charge it became would say who paid."""
    if row.recycled_as_id is None or is_blind:
        return {}
    part_id = row.recycled_as_id
    again = SuspendedUsage.objects.filter(part_id=part_id)
    usage = UsageRecord.objects.within(scope).filter(part_id=part_id, enterprise_id=row.recycled_as.enterprise_id)
    if row.recycled_as.record_count > 1:
        again = again.filter(source_record_id=row.source_record_id)
        usage = usage.filter(source_record_id=row.source_record_id)
    return {"became_usage": usage.first(), "became_suspended": again.first()}


def _text(value: object) -> str:
    return "" if value is None else str(value)
