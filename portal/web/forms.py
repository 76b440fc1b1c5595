"""What all forms share: fields for civil times and quantities, and refusals of the domain shown at their field.

Owns: no rules. What may be is said by the write functions; a form only reads, hands over, and shows what they refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from balances.errors import Refused
from balances.fields import FIRST_YEAR, LAST_YEAR
from portal.web import quantities

Made = TypeVar("Made")
LOCAL = "%Y-%m-%dT%H:%M"
LOCAL_SECONDS = f"{LOCAL}:%S"
INPUTS = (LOCAL, LOCAL_SECONDS, "%Y-%m-%d %H:%M")


class CivilTimeInput(forms.DateTimeInput):
    """A time of clocks; of one that they showed twice, asks which of the two: "#0" or "#1" ends its value then."""

    zone = ZoneInfo("UTC")

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """The time with the answer, where there is one."""
        text, which = super().value_from_datadict(data, files, name), data.get(f"{name}-which")
        return f"{text}#{which}" if text and which in ("0", "1") else text

    def format_value(self, value: Any) -> str | None:
        """Without the answer."""
        return super().format_value(str(value).partition("#")[0] if value else value)

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """The input, and where its time came twice the choice."""
        shown = super().render(name, value, attrs, renderer)
        text, _, which = str(value or "").partition("#")
        try:
            first, second = _both(text, self.zone)
        except forms.ValidationError:
            return shown
        if first >= second:
            return shown
        options = format_html_join("", '<option value="{}"{}>{} ({})</option>', [
            (0, "", "the first time", first.astimezone(self.zone).tzname()),
            (1, mark_safe(" selected") if which == "1" else "", "an hour later", second.astimezone(self.zone).tzname()),
        ])  # fmt: skip
        asks = '{}<select class="input" name="{}-which" aria-label="Which of the two">{}</select>'
        return format_html(asks, shown, name, options)


def _both(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants that a civil time may mean, in UTC: as a rule one, twice; the later one first where clocks never
    showed it. Raises ValidationError."""
    for pattern in INPUTS:
        try:
            read = datetime.strptime(text.strip(), pattern)  # noqa: DTZ007 - the zone follows
        except ValueError:
            continue
        if not FIRST_YEAR <= read.year <= LAST_YEAR:
            raise forms.ValidationError(f"The time must lie in the years {FIRST_YEAR} to {LAST_YEAR}.")
        return read.replace(tzinfo=zone).astimezone(UTC), read.replace(tzinfo=zone, fold=1).astimezone(UTC)
    raise forms.ValidationError("Write the time like 2026-03-01 00:00.")


class CivilTimeField(forms.DateTimeField):
    """A time as clocks of the form's zone show it; becomes an aware instant. `to_the_second`: as usage is told."""

    def __init__(self, *, to_the_second: bool = False, **options):
        self.format = LOCAL_SECONDS if to_the_second else LOCAL
        attributes = {"type": "datetime-local", "step": 1 if to_the_second else 60}
        options.setdefault("widget", CivilTimeInput(attrs=attributes, format=self.format))
        super().__init__(**options)
        self.use_zone(ZoneInfo("UTC"))

    def use_zone(self, zone: ZoneInfo) -> None:
        """Read and show times by these clocks."""
        self.zone = self.widget.zone = zone

    def to_python(self, value: Any) -> datetime | None:
        """The instant; a time that clocks never showed is refused, one in a year that is far, and one that they showed
        twice until it is said which of the two is meant."""
        if value in self.empty_values:
            return None
        text, _, which = str(value).partition("#")
        first, second = _both(text, self.zone)
        if first > second:
            raise forms.ValidationError("Clocks never showed this time: choose another one.")
        if first == second:
            return first.astimezone(self.zone)
        if not which:
            raise forms.ValidationError("Clocks showed this time twice, an hour apart: say which of the two.")
        return second if which == "1" else first  # in UTC: in the zone it would be equal to no other instant (PEP 495)

    def prepare_value(self, value: Any) -> Any:
        """The instant as the zone's clocks show it."""
        if not isinstance(value, datetime):
            return value
        local = value.astimezone(self.zone)
        return f"{local.strftime(self.format)}{'#1' if local.fold else ''}"


def civil_time(text: str, zone: ZoneInfo, *, field: str) -> datetime | None:
    """A time that was typed where nothing is asked back: of one that clocks showed twice the first. Empty: None.

    Raises Refused.
    """
    reads = CivilTimeField(required=False)
    reads.use_zone(zone)
    try:
        return reads.clean(f"{text}#0" if text else "")
    except forms.ValidationError as fault:
        raise Refused(fault.messages[0], field=field) from None


class PortalForm(forms.Form):
    """A form with a name of its own on the page (`action`), read by `sent`."""

    action = ""
    #: Whether fields that may be empty say so; not where empty is as usual as full.
    marks_optional = True

    def __init__(self, *arguments, zone: ZoneInfo | None = None, **options):
        options.setdefault("prefix", self.action or None)
        super().__init__(*arguments, **options)
        for field in self.fields.values():
            if isinstance(field, CivilTimeField) and zone is not None:
                field.use_zone(zone)
                field.help_text = field.help_text or f"Clocks of {zone.key}."

    def quantity(self, name: str, service: int, *, default: int | None = None) -> int | None:
        """The units that were typed into a field; raises Refused at that field."""
        text = self.cleaned_data.get(name) or ""
        if not text.strip():
            return default
        try:
            return quantities.read(text, service)
        except quantities.NotAQuantity as refusal:
            raise Refused(refusal.message, field=name) from None


def sent(request: HttpRequest, form_class: type[PortalForm], **options) -> PortalForm:
    """The form, bound where this request has sent it."""
    is_sent = request.method == "POST" and request.POST.get("action", "") == form_class.action
    return form_class(request.POST if is_sent else None, request.FILES if is_sent else None, **options)


def attempt(form: PortalForm, write: Callable[[dict[str, Any]], Made]) -> Made | None:
    """Call `write` with the values of a bound, readable form; None, with errors shown, where it is refused."""
    if not form.is_bound or not form.is_valid():
        return None
    try:
        return write(form.cleaned_data)
    except Refused as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return None


def acting(request: HttpRequest) -> dict[str, Any]:
    """`actor` and `at` of a write that this request asks for."""
    return {"actor": f"user:{request.user.pk} {request.user}", "at": datetime.now(UTC)}
