"""My charges: all of both payers, filtered, and one with both halves of a fork and everything that explains it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from balances.models import ChargeLine, OpenPersonalUsage, OpenState, UsageRecord
from balances.models.counters import Payer
from balances.periods import Period
from balances.scope import Scope
from balances.selectors import mine
from balances.selectors.mine import Half
from balances.selectors.terms import Terms, progress_of, terms_at
from balances.units import SERVICE_NAMES, SERVICES_BY_NAME
from portal import figures
from portal.charging import reasons
from portal.web.charges import names_for
from portal.web.contests import filing
from portal.web.me import mine_page, rows_of, selves
from portal.web.me_rules import may_be_asked
from portal.web.reach import before_sent, found

A_PAGE = 30
CYCLES = 6
SERVICES = [(name, figures.SERVICE_WORDS[code]) for code, name in SERVICE_NAMES.items()]
PAYERS = {"company": Payer.CORPORATE, "me": Payer.PERSONAL}
OPEN_WORDS = {
    OpenState.OPEN: "granted on credit: it is charged once your account can pay it",
    OpenState.REFUSED: "refused: nobody pays it",
    OpenState.WRITTEN_OFF: "given up: you do not pay it",
    OpenState.CHARGED: "was on credit, and was charged later",
}


@dataclass(frozen=True, slots=True)
class WordedLine:
    """A stretch of one payer, with its reasons as sentences; `price` of a personal one that cost money."""

    line: ChargeLine
    sentences: list[str]
    price: str = ""


@dataclass(frozen=True, slots=True)
class WordedHalf:
    """What one payer has of an event."""

    half: Half
    why: str
    lines: list[WordedLine]
    open: list[tuple[OpenPersonalUsage, str]] = field(default_factory=list)


def charge_list(request: HttpRequest) -> HttpResponse:
    """All my charges, newest first, by payer, service and cycle."""
    scope: Scope = request.tenancy.scope
    people, now = selves(request), datetime.now(UTC)
    first = people[0].person.enterprise_id
    terms = terms_at(first, now)
    cycles = _cycles(first, terms)
    payer, service = request.GET.get("payer", ""), request.GET.get("service", "")
    cycle = next((cycle for cycle in cycles if _name(cycle, terms) == request.GET.get("cycle", "")), None)
    before = before_sent(request)
    shown = mine.charges_of(
        scope, [one.person.id for one in people], now=now, payer=PAYERS.get(payer),
        service=SERVICES_BY_NAME.get(service), from_at=cycle.starts_at if cycle else None,
        until_at=cycle.ends_at if cycle else None, before=before, most=A_PAGE + 1,
    )  # fmt: skip
    chosen = {"payer": payer if payer in PAYERS else "", "service": service if service in SERVICES_BY_NAME else ""}
    chosen["cycle"] = _name(cycle, terms) if cycle else ""
    older = ""
    if len(shown) > A_PAGE:
        shown = shown[:A_PAGE]
        last = shown[-1].usage
        older = urlencode({**chosen, "before": last.used_at.isoformat(), "id": last.id})
    context = mine_page(
        request, "me-charges", rows=rows_of(scope, shown, now), older=older, is_later=before is not None,
        chosen=chosen, newest=urlencode(chosen), services=SERVICES,
        cycles=[(_name(cycle, terms), _said(cycle, terms)) for cycle in cycles],
        as_of=figures.clock(progress_of(first).as_of, terms.zone), is_filtered=any(chosen.values()),
    )  # fmt: skip
    return render(request, "me/charges.html", context)


def charge(request: HttpRequest, usage_id: int) -> HttpResponse:
    """Who pays an event of mine, what of it, and why; both halves where it forked."""
    scope: Scope = request.tenancy.scope
    people = selves(request)
    halves = found(mine.explained, scope, [one.person.id for one in people], usage_id)
    record = next((half.charge.usage for half in halves if half.charge.usage.id == usage_id), None)
    if record is None:
        raise Http404("Not in reach.")
    form, contest = None, None
    if (own := next((half.charge for half in halves if half.charge.is_personal), None)) is not None:
        form, contest = filing(request, own.usage, own.usage.person if own.units else None)
        if request.method == "POST" and contest is not None:
            return redirect("me-charge", own.usage.id)
    terms = terms_at(record.enterprise_id, record.used_at)
    names = names_for(scope, [line.reasons for half in halves for line in half.lines])
    sums = {
        "units": sum(half.charge.usage.charged_units for half in halves),
        "reported": sum(half.charge.usage.units for half in halves),
        "starts_at": min(half.charge.usage.used_at for half in halves),
        "ends_at": max((half.charge.usage.ended_at for half in halves if half.charge.usage.ended_at), default=None),
    }
    context = mine_page(
        request, "me-charges", record=record, terms=terms, sums=sums, is_forked=len(halves) > 1,
        halves=[_worded(half, names, terms, record) for half in halves],
        attributes=_attributes(halves), form=form, contest=contest,
        may_be_tried=may_be_asked(record, [one.person.id for one in people if one.is_proven]),
    )  # fmt: skip
    return render(request, "me/charge.html", context)


def _worded(half: Half, names: dict[str, str], terms: Terms, record: UsageRecord) -> WordedHalf:
    said = dict(names)
    for line in half.lines:
        for reason in line.reasons.split():
            if reason.startswith("rounded:"):
                said[reason] = figures.quantity(int(reason.partition(":")[2]), record.service)
    lines = [WordedLine(line, reasons.words(line.reasons, said), _price(line, terms)) for line in half.lines]
    opened = [(row, OPEN_WORDS[OpenState(row.state)]) for row in half.open]
    return WordedHalf(half, reasons.why(half.charge.reasons, said), lines, opened)


def _price(line: ChargeLine, terms: Terms) -> str:
    """The personal tariff's price of a stretch, in words."""
    rate = line.personal_rate
    if rate is None:
        return ""
    block = figures.increment(rate.block_units, rate.service)
    where = f" in {rate.zone.name}" if rate.zone else ""
    return f"{figures.exact_money(rate.price_micros, terms.currency)} for {block}{where}"


def _attributes(halves: list[Half]) -> str:
    """Whatever else the network's message said; a personal half has all of it."""
    said = next((half.charge.usage.attributes for half in reversed(halves) if half.charge.usage.attributes), None)
    return json.dumps(said, indent=2, ensure_ascii=False) if said else ""


def _cycles(enterprise_id: int, terms: Terms) -> list[Period]:
    """The billing cycle under way and those before it, the latest first."""
    found_, now = [], terms
    for _ in range(CYCLES):
        if now.cycle is None:
            break
        found_.append(now.cycle)
        now = terms_at(enterprise_id, now.cycle.starts_at - (now.cycle.ends_at - now.cycle.starts_at) / 60)
    return found_


def _name(cycle: Period, terms: Terms) -> str:
    return cycle.starts_at.astimezone(terms.zone).date().isoformat()


def _said(cycle: Period, terms: Terms) -> str:
    last = cycle.ends_at - (cycle.ends_at - cycle.starts_at) / 60
    return f"{figures.day(cycle.starts_at, terms.zone)} to {figures.day(last, terms.zone)}"
