"""Quantities, money, instants and states in words: how screens, sockets and e-mails write a figure.

Owns: formats, nothing else. Takes integers and aware datetimes, gives text; a figure is written in one way everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import phonenumbers
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal, get_currency_precision
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

import balances.money
from balances.money import LOCALE, MINUS
from balances.pace import Estimate, Outlook
from balances.selectors.overview import Fill
from balances.units import GIB, KIB, MIB, MICROS_PER_MAJOR, Service

_locale: ContextVar[str] = ContextVar("locale", default=LOCALE)
NARROW_SPACE = "\u202f"
TIB = 1024 * GIB

SERVICE_WORDS: dict[int, str] = {
    Service.DATA: "Data",
    Service.VOICE: "Voice",
    Service.MESSAGING: "Messaging",
    Service.VIDEO_CONFERENCING: "Video conferencing",
}
SERVICE_ICONS: dict[int, str] = {
    Service.DATA: "arrow-up-down",
    Service.VOICE: "phone",
    Service.MESSAGING: "message-square",
    Service.VIDEO_CONFERENCING: "video",
}
FILL_WORDS: dict[Fill, str] = {
    Fill.NONE: "No allowance",
    Fill.OK: "OK",
    Fill.WATCH: "Watch",
    Fill.NEAR: "Near limit",
    Fill.USED_UP: "Used up",
    Fill.OVER: "Over",
}
FILL_ICONS: dict[Fill, str] = {
    Fill.NONE: "minus",
    Fill.OK: "circle-check",
    Fill.WATCH: "eye",
    Fill.NEAR: "triangle-alert",
    Fill.USED_UP: "circle-slash",
    Fill.OVER: "octagon-alert",
}


@contextmanager
def written_in(locale: str) -> Iterator[None]:
    """Figures made inside are written as a locale writes them: messages go out in their reader's language."""
    before = _locale.set(locale)
    try:
        yield
    finally:
        _locale.reset(before)


def _three_digits(value: float) -> str:
    """Three significant digits: 1.25, 12.5, 125, 1,250."""
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return format_decimal(round(value, decimals), format="#,##0.##", locale=_locale.get())


def octets(units: int) -> str:
    """Octets in binary multiples, three digits: 412 GiB."""
    for size, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(units) >= size:
            return f"{_three_digits(units / size)}{NARROW_SPACE}{name}"
    return f"{units}{NARROW_SPACE}B"


def duration(seconds: int) -> str:
    """A call's length: 1:02:03 h, or 2:03 min."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{count(hours)}:{minutes:02}:{seconds:02}{NARROW_SPACE}h"
    return f"{minutes}:{seconds:02}{NARROW_SPACE}min"


def _minutes(seconds: int) -> str:
    """Talk in minutes, as contracts sell it; short calls to the second."""
    if 0 < seconds < 600:
        return duration(seconds)
    return f"{count(seconds // 60)}{NARROW_SPACE}min"


def _participant_hours(seconds: int) -> str:
    """Time in conferences, each participant's counted."""
    if seconds and seconds < 3600:
        return f"{_three_digits(seconds / 60)}{NARROW_SPACE}min"
    return f"{_three_digits(seconds / 3600)}{NARROW_SPACE}h"


def increment(units: int, service: int) -> str:
    """What a contract counts in, in the unit that it is written in there: 100 KiB, 60 s, 1 message."""
    if service in (Service.DATA, Service.MESSAGING):
        return quantity(units, service)
    return f"{count(units)}{NARROW_SPACE}s"


def count(number: int) -> str:
    """A whole number with separators: 12,345."""
    return format_decimal(number, locale=_locale.get())


def quantity(units: int, service: int) -> str:
    """Units of a service as people say them, at three digits or in whole minutes."""
    units = int(units)
    match service:
        case Service.DATA:
            return octets(units)
        case Service.VOICE:
            return _minutes(units)
        case Service.MESSAGING:
            return f"{count(units)}{NARROW_SPACE}{_messages(units)}"
        case _:
            return _participant_hours(units)


def _messages(units: int) -> str:
    if _locale.get().startswith("de"):
        return "Nachricht" if units == 1 else "Nachrichten"
    return "message" if units == 1 else "messages"


def quantity_or_none(units: int, service: int) -> str:
    """The same, with a word for zero: a column of zeros in units is harder to read."""
    return quantity(units, service) if units else "none"


def exact(units: int, service: int) -> str:
    """Units of a service to the last one: for explanations, where every unit must add up."""
    units = int(units)
    match service:
        case Service.DATA:
            return f"{count(units)}{NARROW_SPACE}octet{'' if units == 1 else 's'}"
        case Service.VOICE:
            return f"{count(units)}{NARROW_SPACE}s"
        case Service.MESSAGING:
            return quantity(units, service)
        case _:
            return f"{count(units)}{NARROW_SPACE}participant-seconds"


def money(micros: int, currency: str) -> str:
    """An amount in the currency's own digits; what is too small for them is said to be less than the smallest."""
    amount = Decimal(int(micros)) / MICROS_PER_MAJOR
    smallest = Decimal(1).scaleb(-get_currency_precision(currency))
    if 0 < amount < smallest:
        return f"<{format_currency(smallest, currency, locale=_locale.get())}"
    return format_currency(amount, currency, locale=_locale.get()).replace("-", MINUS)


def exact_money(micros: int, currency: str) -> str:
    """An amount with all six decimals that it has, at least two."""
    return balances.money.exact_money(micros, currency, _locale.get())


def msisdn(digits: str) -> str:
    """A number as it is written internationally: +49 170 1234567."""
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return f"+{digits}"
    if not phonenumbers.is_possible_number(parsed):
        return f"+{digits}"
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def clock(instant: datetime, zone: ZoneInfo) -> str:
    """Time of day with seconds: 14:03:22."""
    return format_time(instant.astimezone(zone), "HH:mm:ss", locale=_locale.get())


def day(instant: datetime, zone: ZoneInfo) -> str:
    """A civil day: Thu 26 Nov."""
    return format_date(instant.astimezone(zone), "EEE d MMM", locale=_locale.get())


def long_day(instant: datetime, zone: ZoneInfo) -> str:
    """A civil day with its year: 26 Nov 2026."""
    return format_date(instant.astimezone(zone), "d MMM y", locale=_locale.get())


def month(instant: datetime, zone: ZoneInfo) -> str:
    """A civil month: November 2026."""
    return format_date(instant.astimezone(zone), "MMMM y", locale=_locale.get())


def moment(instant: datetime, zone: ZoneInfo) -> str:
    """An instant to the second, with the offset that it stands in: 26 Nov 2026, 14:03:22 CET."""
    return format_datetime(instant.astimezone(zone), "d MMM y, HH:mm:ss", locale=_locale.get())


def civil_day(day: date) -> str:
    """A day without a time: Thursday, 26 Nov."""
    return format_date(day, "EEEE, d MMM", locale=_locale.get())


def hour(instant: datetime, zone: ZoneInfo) -> str:
    """A foreseen instant, to its hour: Thursday, 26 Nov, 14:00."""
    return format_datetime(instant.astimezone(zone), "EEEE, d MMM, HH:00", locale=_locale.get())


def short_moment(instant: datetime, zone: ZoneInfo, now: datetime) -> str:
    """For lists: the time of today, the day and time of other days."""
    local = instant.astimezone(zone)
    if local.date() == now.astimezone(zone).date():
        return clock(instant, zone)
    return format_datetime(local, "d MMM, HH:mm", locale=_locale.get())


def ago(instant: datetime, now: datetime) -> str:
    """How long ago, in one unit: 3 s ago, 12 min ago, 5 h ago, 9 days ago."""
    passed = max(now - instant, timedelta(0))
    if passed < timedelta(minutes=2):
        return f"{int(passed.total_seconds())}{NARROW_SPACE}s ago"
    if passed < timedelta(hours=2):
        return f"{passed // timedelta(minutes=1)}{NARROW_SPACE}min ago"
    if passed < timedelta(days=2):
        return f"{passed // timedelta(hours=1)}{NARROW_SPACE}h ago"
    return f"{passed.days}{NARROW_SPACE}days ago"


def outlook(estimate: Estimate, ends_at: datetime, zone: ZoneInfo, now: datetime | None = None) -> str:
    """An estimate as a sentence."""
    match estimate.outlook:
        case Outlook.USED_UP:
            return "Nothing is left for this cycle."
        case Outlook.TOO_EARLY:
            return "Too early to say how long it lasts."
        case Outlook.IDLE:
            return "No usage in the last days: it lasts the cycle."
        case Outlook.LASTS:
            return "At this pace it lasts the cycle."
    now = now or datetime.now(UTC)
    if estimate.runs_out_at - now < timedelta(days=1):
        return f"At this pace it runs out {day(estimate.runs_out_at, zone)} at {clock(estimate.runs_out_at, zone)[:5]}."
    early = (ends_at.astimezone(zone).date() - estimate.runs_out_at.astimezone(zone).date()).days
    days = "1 day" if early == 1 else f"{early} days"
    return f"At this pace it runs out {day(estimate.runs_out_at, zone)}, {days} early."


def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite; decoration unless it has a label."""
    attributes = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html('<svg class="icon" {}><use href="{}#{}"></use></svg>', attributes, static("img/icons.svg"), name)


def service_icon(service: int) -> SafeString:
    """The icon of a service."""
    return icon(SERVICE_ICONS[service])


def fill_badge(fill: Fill) -> SafeString:
    """A state in word and icon; colour only underlines it."""
    return format_html(
        '<span class="badge badge-{}">{}<span>{}</span></span>',
        fill.value.replace("_", "-"),
        icon(FILL_ICONS[fill]),
        FILL_WORDS[fill],
    )
