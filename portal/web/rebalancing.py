"""Proposals for rebalancing below an account: who runs out, who has to spare, which transfers mend it; one click."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from balances import rebalance
from balances.errors import Refused
from balances.models import Account
from balances.rebalancing import Side, Stand, Standing, Transfer, Wanted
from balances.scope import Scope, Verb
from balances.selectors import tree
from balances.selectors.rebalancing import plan_below
from balances.selectors.terms import Terms, progress_of, terms_at
from balances.units import SERVICE_NAMES, Service
from portal import figures
from portal.web.context import place
from portal.web.forms import acting
from portal.web.reach import chosen_service, found, read_number

WORDS = {
    Stand.RUNS_OUT: "Runs out",
    Stand.HAS_SPARE: "Has to spare",
    Stand.LASTS: "Lasts",
    Stand.TOO_EARLY: "Too early to say",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A transfer with the names of both sides and how long each lasts, in words."""

    transfer: Transfer
    giver: Account
    receiver: Account
    giver_lasts: tuple[str, str]
    receiver_lasts: tuple[str, str]
    sent: str


def proposals(request: HttpRequest, account_id: int) -> HttpResponse:
    """The page; what is sent is done, or refused where it no longer holds."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-market")
    manages = scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id)
    service = chosen_service(request) or Service.DATA
    address = f"{reverse('account-rebalancing', args=[account.id])}?service={SERVICE_NAMES[service]}"
    if request.method == "POST":
        if not manages:
            raise Http404("Not in reach.")
        _carry_out(request, account, int(service))
        return redirect(address)
    now = acting(request)["at"]
    terms = terms_at(account.enterprise_id, now)
    plan = plan_below(account, int(service), terms, now)
    names = Account.objects.within(scope).in_bulk([standing.party.account_id for standing in plan.standings])
    return render(
        request,
        "market/rebalancing.html",
        {
            "account": account,
            "breadcrumb": tree.ancestors(scope, account),
            "terms": terms,
            "as_of": progress_of(account.enterprise_id).as_of,
            "service": int(service),
            "services": [(int(s), SERVICE_NAMES[s]) for s in Service],
            "rows": [_row(transfer, names, terms, now) for transfer in plan.transfers],
            "standings": [(names[s.party.account_id], WORDS[s.stand], s) for s in sorted(plan.standings, key=_order)],
            "unmet": [(names[number], units) for number, units in plan.unmet_units.items()],
            "manages": manages,
            "key": str(uuid.uuid4()),
            "address": address,
        },
    )


def _order(standing: Standing) -> tuple[int, int, int]:
    """Those who run out first, then those with most to spare."""
    return (-standing.short_units, -standing.spare_units, standing.party.account_id)


def _row(transfer: Transfer, names: dict[int, Account], terms: Terms, now) -> Row:
    def lasts(side: Side) -> tuple[str, str]:
        ends_at = terms.cycle.ends_at if terms.cycle else now
        return (
            figures.outlook(side.lasts_before, ends_at, terms.zone, now),
            figures.outlook(side.lasts_after, ends_at, terms.zone, now),
        )

    return Row(
        transfer,
        names[transfer.from_id],
        names[transfer.to_id],
        lasts(transfer.giver),
        lasts(transfer.receiver),
        f"{transfer.bucket_id}:{transfer.to_id}:{transfer.units}",
    )


def _carry_out(request: HttpRequest, account: Account, service: int) -> None:
    """Do what was pressed: one transfer, or all that the page showed."""
    only = request.POST.get("only", "")
    sent = [only] if only else request.POST.getlist("transfer")
    key = f"screen:{request.user.pk}:{request.POST.get('key', '')[:36]}:{only[:30]}"
    try:
        wanted = [Wanted(*(read_number(part) for part in _three(text))) for text in sent]
        trades = rebalance.carry_out(account=account, service=service, transfers=wanted, key=key, **acting(request))
    except Refused as refusal:
        messages.error(request, f"Nothing was done: {refusal.message}")
        return
    moved = figures.quantity(sum(trade.units for trade in trades), service)
    done = "1 transfer is" if len(trades) == 1 else f"{len(trades)} transfers are"
    messages.success(request, f"{done} done: {moved} have changed hands.")


def _three(text: str) -> list[str]:
    parts = text.split(":")
    if len(parts) != 3:
        raise Http404("Not in reach.")
    return parts
