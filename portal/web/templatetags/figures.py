"""Template filters and tags of every screen: figures in words, icons, states, live elements.

Owns: the bridge from templates to `portal.figures`. Never formats by itself and never queries.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from portal import figures
from portal.web import quantities

register = template.Library()

register.filter("quantity", figures.quantity)
register.filter("quantity_or_none", figures.quantity_or_none)
register.filter("exact", figures.exact)
register.filter("increment", figures.increment)
register.filter("octets", figures.octets)
register.filter("duration", figures.duration)
register.filter("count", figures.count)
register.filter("money", figures.money)
register.filter("exact_money", figures.exact_money)
register.filter("msisdn", figures.msisdn)
register.filter("clock", figures.clock)
register.filter("day", figures.day)
register.filter("long_day", figures.long_day)
register.filter("moment", figures.moment)
register.filter("month", figures.month)
register.simple_tag(figures.icon)
register.simple_tag(figures.service_icon)
register.simple_tag(figures.fill_badge)


@register.filter
def ago(instant: datetime) -> str:
    """How long ago an instant was, from now."""
    return figures.ago(instant, datetime.now(UTC))


@register.filter
def service_word(service: int) -> str:
    """Name of a service."""
    return figures.SERVICE_WORDS[service]


@register.filter
def month_key(instant: datetime, zone: ZoneInfo) -> str:
    """A civil month as an address names it: 2026-11."""
    return f"{instant.astimezone(zone):%Y-%m}"


@register.filter
def at_place(items, place: int):
    """The item at a place of a list."""
    return items[place]


@register.filter
def block(units: int, service: int) -> str:
    """What a price is for, after "per": MiB, 10 min, message."""
    return quantities.write(units, service).removeprefix("1 ")


@register.filter
def actor_name(actor: str) -> str:
    """Who did something, as people know them: without the number of user or token."""
    return actor.partition(" ")[2] or actor


@register.filter
def cut_sign(units: int) -> int:
    """How many, whichever way they went."""
    return abs(units)


@register.filter
def lookup(mapping, key):
    """An item of a mapping, None where it has none."""
    return mapping.get(key) if mapping else None


@register.filter
def short_moment(instant: datetime, page) -> str:
    """An instant in a page's time zone, as short as the page's own time allows."""
    return figures.short_moment(instant, page.terms.zone, page.progress.as_of)


def _key(parts) -> str:
    return ".".join(str(part) for part in parts)


@register.simple_tag(takes_context=True)
def live(context, *parts) -> SafeString:
    """A figure that the socket keeps up to date, named by its parts: {% live "data" "left" %}."""
    key = _key(parts)
    return format_html('<span data-live="{}">{}</span>', key, context["state"]["figures"].get(key, ""))


@register.simple_tag(takes_context=True)
def live_attributes(context, *parts) -> SafeString:
    """Attributes of one element that the socket keeps up to date."""
    key = _key(parts)
    values = format_html_join("", ' {}="{}"', context["state"]["attributes"].get(key, {}).items())
    return format_html('data-live-attributes="{}"{}', key, values)


@register.simple_tag(takes_context=True)
def live_fragment(context, *parts) -> SafeString:
    """A piece of HTML that the socket keeps up to date."""
    key = _key(parts)
    html = mark_safe(context["state"]["fragments"].get(key, ""))  # noqa: S308 - rendered by our own templates
    return format_html('<div class="fragment" data-live-fragment="{}">{}</div>', key, html)


@register.simple_tag(takes_context=True)
def live_rows(context, key: str) -> SafeString:
    """The rows of a list that the socket keeps up to date; to stand inside an element with data-live-rows."""
    rows = context["state"]["rows"].get(key, [])
    return mark_safe("".join(row["html"] for row in rows))  # noqa: S308 - rendered by our own row templates
