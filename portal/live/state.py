"""The state of a page as text: what its HTML is rendered from, and what its socket sends.

Owns: which figures, attributes, fragments and rows a live page has, and their names. One function makes both sides, so
that a page kept up to date and a page loaded anew cannot differ (tests/live/test_state.py). Never queries: it words
what `balances.selectors.pages` read.

    figures     name -> text                 <span data-live="name">
    attributes  name -> {attribute: value}   data-live-attributes="name"
    fragments   name -> HTML                 data-live-fragment="name"
    rows        name -> [{id, html}]         data-live-rows="name": rows come, go and change by id
    structure   when it differs from the page's, the page is loaded again: a service or a cycle has come or gone
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from django.template.loader import render_to_string

from balances.pace import Outlook
from balances.selectors.charges import Charge
from balances.selectors.overview import ServiceOverview, Usage
from balances.selectors.pages import AccountPage, LinePage
from balances.selectors.terms import Progress, Terms
from balances.units import SERVICE_NAMES
from policies.restricting import Restricting
from portal import figures, limit_words
from portal.live import charts


class Row(TypedDict):
    id: str
    html: str


class State(TypedDict):
    sequence: int
    as_of: str
    charged_at: str | None
    structure: str
    figures: dict[str, str]
    attributes: dict[str, dict[str, str | int | float]]
    fragments: dict[str, str]
    rows: dict[str, list[Row]]


def as_of(progress: Progress, terms: Terms) -> str:
    """Time of day, in the contract's zone, at which figures were read."""
    return figures.clock(progress.as_of, terms.zone)


def _state(progress: Progress, terms: Terms, structure: str) -> State:
    return {
        "sequence": progress.sequence,
        "as_of": as_of(progress, terms),
        "charged_at": progress.charged_at.isoformat() if progress.charged_at else None,
        "structure": structure,
        "figures": {},
        "attributes": {},
        "fragments": {},
        "rows": {},
    }


def account_state(page: AccountPage, restricted: Sequence[Restricting] = ()) -> State:
    """The live state of an account's page; `restricted`: what limits restrict below it."""
    cycle = page.terms.cycle.starts_at.isoformat() if page.terms.cycle else ""
    parts = [f"{s.service}:{int(s.is_shared)}:{','.join(pool.name for pool in s.pools)}" for s in page.services]
    ranked = f"{bool(page.ranking.accounts)},{bool(page.ranking.lines)}"
    state = _state(page.progress, page.terms, "|".join([cycle, ranked, *parts]))
    for service in page.services:
        _add_service(state, page, service)
    context = {"page": page, "currency": page.terms.currency, "now": page.progress.as_of, "zone": page.terms.zone}
    state["figures"]["overage_money"] = figures.money(page.overage_micros, page.terms.currency)
    attention = {**context, "restricted": [(each, _limit_name(each)) for each in restricted]}
    state["fragments"]["attention"] = render_to_string("partials/attention.html", attention)
    for kind, ranks in (("accounts", page.ranking.accounts), ("lines", page.ranking.lines)):
        state["rows"][f"ranking.{kind}"] = [
            {
                "id": str(rank.owner.id),
                "html": render_to_string(
                    f"partials/rank_{kind[:-1]}.html", {**context, "rank": rank, "service": page.ranking.service}
                ),
            }
            for rank in ranks
        ]
    state["rows"]["latest"] = charge_rows(page.latest, page.terms, page.progress, with_line=True)
    return state


def _limit_name(restricting: Restricting) -> str:
    limit = restricting.limit
    return "" if limit is None else limit.name or f"{limit_words.counted(limit)}, {limit_words.window(limit)}"


def _add_service(state: State, page: AccountPage, service: ServiceOverview) -> None:
    cycle = page.terms.cycle
    if cycle is None:  # services are those of a contract
        return
    name, code, currency = SERVICE_NAMES[service.service], service.service, page.terms.currency
    usage = service.usage
    words = {
        "left": figures.quantity(service.remaining_units, code),
        "held": figures.quantity(service.held_units, code),
        "percent": f"{service.percent}{figures.NARROW_SPACE}%",
        "used": figures.quantity(usage.used_units, code),
        "reserved": figures.quantity_or_none(service.reserved_units, code),
        "beyond": _beyond(usage, code, currency),
        "records": figures.count(usage.records),
        "outlook": _outlook(page, service),
    }
    state["figures"].update({f"{name}.{key}": word for key, word in words.items()})
    state["fragments"][f"{name}.badge"] = figures.fill_badge(service.fill)
    attributes = state["attributes"]
    attributes[f"{name}.card"] = {"data-fill": service.fill.value, "data-outlook": service.estimate.outlook.value}
    held = service.held_units or 1
    reserved = round(service.reserved_units * 100 / held, 1)
    attributes[f"{name}.bar_used"] = {"width": max(service.percent - reserved, 0)}
    attributes[f"{name}.bar_reserved"] = {"x": max(service.percent - reserved, 0), "width": reserved}
    chart = charts.burn_down(service, cycle, page.progress.as_of)
    attributes[f"{name}.chart_left"] = {"d": chart.left}
    attributes[f"{name}.chart_area"] = {"d": chart.area}
    attributes[f"{name}.chart_projection"] = {"d": chart.projection}
    attributes[f"{name}.chart_now"] = {"d": chart.now}
    attributes[f"{name}.chart"] = {"aria-label": _chart_words(service, words)}
    for number, pool in enumerate(service.pools):
        state["figures"][f"{name}.{number}.left"] = figures.quantity(pool.remaining_units, code)
        state["figures"][f"{name}.{number}.percent"] = f"{pool.percent}{figures.NARROW_SPACE}%"
        attributes[f"{name}.{number}.bar"] = {"width": pool.percent}
        state["fragments"][f"{name}.{number}.badge"] = figures.fill_badge(pool.fill)


def _outlook(page: AccountPage, service: ServiceOverview) -> str:
    if service.estimate.outlook == Outlook.USED_UP and service.draws_on:
        return "Used up here: usage draws on allowances above."
    if page.terms.cycle is None:  # services are those of a contract
        return ""
    return figures.outlook(service.estimate, page.terms.cycle.ends_at, page.terms.zone, page.progress.as_of)


def _beyond(usage: Usage, service: int, currency: str) -> str:
    if not usage.overage_units:
        return "none"
    return f"{figures.quantity(usage.overage_units, service)} · {figures.money(usage.amount_micros, currency)}"


def _chart_words(service: ServiceOverview, words: dict[str, str]) -> str:
    if not service.held_units:
        return f"Usage so far in this cycle: {words['used']}."
    return f"{words['left']} of {words['held']} left. {words['outlook']}"


def charge_rows(charges: list[Charge], terms: Terms, progress: Progress, *, with_line: bool) -> list[Row]:
    """Charges as rows of a table."""
    context = {"currency": terms.currency, "zone": terms.zone, "with_line": with_line}
    rows: list[Row] = []
    for charge in charges:
        when = figures.short_moment(charge.usage.used_at, terms.zone, progress.as_of)
        html = render_to_string("partials/charge_row.html", {**context, "charge": charge, "when": when})
        rows.append({"id": str(charge.usage.id), "html": html})
    return rows


def line_state(page: LinePage) -> State:
    """The live state of a line's page."""
    cycle = page.terms.cycle.starts_at.isoformat() if page.terms.cycle else ""
    buckets = ",".join(str(bucket.id) for bucket in page.serving.buckets)
    services = ",".join(str(service) for service in sorted(page.usage))
    state = _state(page.progress, page.terms, f"{cycle}|{services}|{buckets}|{len(page.days)}")
    currency = page.terms.currency
    state["figures"]["overage_money"] = figures.money(
        sum(usage.amount_micros for usage in page.usage.values()), currency
    )
    for service, usage in page.usage.items():
        name = SERVICE_NAMES[service]
        state["figures"][f"{name}.used"] = figures.quantity(usage.used_units, service)
        state["figures"][f"{name}.overage_money"] = figures.money(usage.amount_micros, currency)
        state["figures"][f"{name}.records"] = figures.count(usage.records)
    for bucket in page.serving.buckets:
        state["figures"][f"bucket.{bucket.id}.left"] = figures.quantity(bucket.remaining_units, bucket.service)
    state["fragments"]["zones"] = render_to_string(
        "partials/line_zones.html", {"zones": page.zones, "currency": currency}
    )
    values = [day.units for day in page.days]
    state["attributes"]["chart_bars"] = {"d": charts.bars(values, _days_in_cycle(page))}
    state["figures"]["chart_most"] = figures.quantity(max(values, default=0), page.service)
    state["rows"]["latest"] = charge_rows(page.latest, page.terms, page.progress, with_line=False)
    return state


def _days_in_cycle(page: LinePage) -> int:
    """Days in the cycle, for the width of a bar."""
    if page.terms.cycle is None:
        return 0
    return round((page.terms.cycle.ends_at - page.terms.cycle.starts_at).total_seconds() / 86400)
