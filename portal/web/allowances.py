"""Allowances of an account: what it holds, who below has what of it, and moving it: shown first, then done, undoable.

Owns: how wishes are typed (by row, shared, from a file) and how a plan is shown. What they come to is
`balances.allocation`'s matter. Nothing is moved by the first step, so that it works without script.
"""

from __future__ import annotations

import csv
import uuid
from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from balances import allocation, contingency
from balances.allocation_plan import Holding, Plan, PlanRefused, Receiver, Source, Wish
from balances.errors import Refused, RowProblem
from balances.models import Allocation, Bucket
from balances.pace import Estimate
from balances.scope import Scope, Verb
from balances.selectors import allowances, tree
from balances.selectors.allowances import AllowancesPage
from balances.selectors.terms import terms_at
from portal import figures
from portal.web import allowance_wishes, quantities
from portal.web.allowance_wishes import Typed
from portal.web.as_of import AsOfForm
from portal.web.context import place
from portal.web.forms import acting, civil_time
from portal.web.reach import found


@dataclass(frozen=True, slots=True)
class Effect:
    """One side of a plan before and after, with how long it lasts."""

    name: str
    row: int | None
    units: int
    before: Holding | Source
    after: Holding | Source
    lasts_before: str
    lasts_after: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan as it is shown, and what is sent to do it."""

    plan: Plan
    source: Effect
    rows: list[Effect]
    moves: str
    key: str


def allowances_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The page; what is sent is shown with its effect (`preview`), done (`apply`) or undone (`undo`)."""
    scope: Scope = request.tenancy.scope
    bucket_id = _number(request.POST.get("bucket") or request.GET.get("bucket"))
    account = found(tree.account, scope, account_id)
    now = acting(request)["at"]
    form = AsOfForm.of(request, terms_at(account.enterprise_id, now).zone, now)
    as_of = form.moment if request.method == "GET" else None
    page = found(
        allowances.allowances_page, scope, account_id, bucket_id=bucket_id, as_of=as_of, is_whole="csv" in request.GET
    )
    place(request, account=page.account, section="account-allowances")
    manages = scope.allows(Verb.MANAGE, enterprise_id=page.account.enterprise_id, account_id=page.account.id)
    typed = Typed()
    preview = None
    if request.method == "POST":
        if not manages:
            raise Http404("Not in reach.")
        if page.shown is None:
            return redirect("account-allowances", account_id)
        action = request.POST.get("action", "")
        if action in ("apply", "undo"):
            return _act(request, page, action)
        if action in ("set-aside", "release"):
            return _set_aside(request, page, action)
        typed = allowance_wishes.read(request, page)
        if not typed.problems:
            preview = _preview(request, page, typed)
    elif "csv" in request.GET and page.shown:
        return _as_csv(page)
    context = {
        "account": page.account,
        "breadcrumb": tree.ancestors(scope, page.account),
        "page": page,
        "shown": page.shown,
        "receivers": _receivers(page, typed) if page.shown else [],
        "manages": manages and as_of is None,
        "form": form,
        "keep": [("bucket", bucket_id)],
        "typed": typed,
        "problems": [(problem.row, _words(problem, page)) for problem in typed.problems[:MOST_PROBLEMS]],
        "more_problems": max(len(typed.problems) - MOST_PROBLEMS, 0),
        "preview": preview,
        "steps": _steps(page),
        "lasts": _lasts(page.shown.estimate, page) if page.shown else "",
        "address": reverse("account-allowances", args=[account_id]),
    }
    template = "allowances/preview.html" if preview else "allowances/page.html"
    return render(request, template, context)


#: Problems that are listed; of a file with more, the others are counted.
MOST_PROBLEMS = 100


def _number(text: str | None) -> int | None:
    """An id from an address or a form; 404 where it is none."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Http404("No such bucket.")
    return int(text)


def _preview(request: HttpRequest, page: AllowancesPage, typed: Typed) -> Preview | None:
    """What was typed comes to this; None, with what is wrong in `typed`, where it cannot be."""
    bucket = page.shown.bucket
    try:
        planned = allocation.preview(
            bucket_id=bucket.id, wishes=typed.wishes, share=typed.share, at=acting(request)["at"]
        )
    except PlanRefused as refusal:
        typed.problems += refusal.problems
        return None
    except Refused as refusal:
        messages.error(request, refusal.message)
        return None
    if not planned.moves:
        messages.info(request, "Nothing would change: everybody has what you typed.")
        return None
    scope: Scope = request.tenancy.scope
    holdings = allocation.situation(bucket.id, [move.receiver for move in planned.moves]).holdings
    paces = allowances.paces_of(scope, page.account, bucket, holdings, page.terms, page.progress.as_of)
    after = holdings | {move.receiver: move.after for move in planned.moves}
    source = Effect(
        bucket.name,
        None,
        -sum(move.units for move in planned.moves),
        planned.before,
        planned.after,
        _lasts(paces.of_source(planned.before.remaining_units, holdings.values()), page),
        _lasts(paces.of_source(planned.after.remaining_units, after.values()), page),
    )
    rows = [
        Effect(
            move.before.name,
            move.row,
            move.units,
            move.before,
            move.after,
            _lasts(paces.of_receiver(move.before), page),
            _lasts(paces.of_receiver(move.after), page),
        )
        for move in planned.moves
    ]
    return Preview(planned, source, rows, allowance_wishes.as_text(planned), str(uuid.uuid4()))


def _lasts(estimate: Estimate | None, page: AllowancesPage) -> str:
    """How long something lasts, in a sentence; nothing for nothing."""
    if estimate is None:
        return ""
    return figures.outlook(estimate, page.shown.bucket.valid_until, page.terms.zone, page.progress.as_of)


def _act(request: HttpRequest, page: AllowancesPage, action: str) -> HttpResponse:
    """Do what was shown, or undo what was done; then the page anew, saying so."""
    bucket = page.shown.bucket
    try:
        if action == "apply":
            done = allocation.apply(
                bucket_id=bucket.id,
                wishes=_sent_moves(request),
                key=f"screen:{request.user.pk}:{request.POST.get('key', '')[:40]}",
                **acting(request),
            )
            messages.success(request, f"{_sum_of(done, bucket)} You may undo it below.")
        else:
            wanted = Allocation.objects.within(request.tenancy.scope, Verb.MANAGE).filter(bucket=bucket)
            chosen = get_object_or_404(wanted, id=_number(request.POST.get("allocation")) or 0)
            undone = allocation.undo(allocation_id=chosen.id, **acting(request))
            messages.success(request, f"{_sum_of(undone, bucket)} {_what_stays(chosen, undone, bucket)}".strip())
    except PlanRefused as refusal:
        words = _words(refusal.problems[0], page)
        messages.error(request, f"Nothing was moved: {words}")
    except Refused as refusal:
        messages.error(request, f"Nothing was moved: {refusal.message}")
    return redirect(f"{reverse('account-allowances', args=[page.account.id])}?bucket={bucket.id}")


def _set_aside(request: HttpRequest, page: AllowancesPage, action: str) -> HttpResponse:
    """Set units of the shown bucket aside, or release a slice; then the page anew."""
    bucket = page.shown.bucket
    try:
        if action == "set-aside":
            units = quantities.read(request.POST.get("amount", ""), bucket.service)
            release_at = civil_time(request.POST.get("release-at", ""), page.terms.zone, field="release-at")
            rule = request.POST.get("rule", "")
            contingency.set_aside(bucket_id=bucket.id, units=units, rule=rule, release_at=release_at, **acting(request))
            messages.success(request, f"{figures.quantity(units, bucket.service)} are set aside. You may release them.")
        else:
            wanted = _number(request.POST.get("slice"))
            held = next((each for each in page.slices if each.id == wanted), None)
            if held is None:
                raise Http404("No such slice.")
            contingency.release(bucket_id=held.id, **acting(request))
            words = figures.quantity(held.remaining_units, held.service)
            messages.success(request, f"{words} are available again.")
    except Refused as refusal:
        messages.error(request, f"Nothing was changed: {refusal.message}")
    return redirect(f"{reverse('account-allowances', args=[page.account.id])}?bucket={bucket.id}")


def _sent_moves(request: HttpRequest) -> list[Wish]:
    try:
        return allowance_wishes.from_text(request.POST.get("moves", ""))
    except ValueError:
        raise BadRequest("These are no moves that were shown.") from None


def _sum_of(done: Allocation, bucket: Bucket) -> str:
    """What an act did, in a sentence or two."""
    given = sum(move["units"] for move in done.moves if move["units"] > 0)
    taken = -sum(move["units"] for move in done.moves if move["units"] < 0)
    sentences = []
    if given:
        sentences.append(f"{figures.quantity(given, bucket.service)} of “{bucket.name}” given.")
    if taken:
        sentences.append(f"{figures.quantity(taken, bucket.service)} of “{bucket.name}” taken back.")
    return " ".join(sentences)


def _what_stays(done: Allocation, undone: Allocation, bucket: Bucket) -> str:
    """What an undoing could not undo."""
    asked = sum(abs(move["units"]) for move in done.moves)
    rest = asked - sum(abs(move["units"]) for move in undone.moves)
    return f"{figures.quantity(rest, bucket.service)} are in use and stay." if rest else ""


def _as_csv(page: AllowancesPage) -> HttpResponse:
    """Who has what, as a file that can be changed and sent back."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="allowances-{page.shown.bucket.id}.csv"'
    rows = csv.writer(response)
    rows.writerow(allowance_wishes.COLUMNS)
    for receiving in page.shown.receivers:
        amount = quantities.write(receiving.holding.allocated_units, page.shown.bucket.service)
        rows.writerow([allowance_wishes.code_of(receiving.owner), amount])
    return response


@dataclass(frozen=True, slots=True)
class Row:
    """A receiver as the form shows it: with what was typed, or what is allocated."""

    receiving: allowances.Receiving
    key: str
    text: str
    was: str
    problem: str
    is_chosen: bool
    lasts: str


def _receivers(page: AllowancesPage, typed: Typed) -> list[Row]:
    service = page.shown.bucket.service
    by_receiver: dict[Receiver, str] = {}
    for problem in typed.problems:
        if (receiver := typed.receiver_of_row.get(problem.row)) is not None:
            by_receiver.setdefault(receiver, _words(problem, page))
    rows = []
    for receiving in page.shown.receivers:
        receiver = receiving.holding.receiver
        key = f"{receiver[0]}-{receiver[1]}"
        is_chosen = key in typed.chosen if typed.texts else receiver[0] == "account"
        was = quantities.write(receiving.holding.allocated_units, service)
        lasts = _lasts(receiving.estimate, page)
        rows.append(
            Row(receiving, key, typed.texts.get(key, was), was, by_receiver.get(receiver, ""), is_chosen, lasts)
        )
    return rows


def _words(problem: RowProblem, page: AllowancesPage) -> str:
    """A problem as people say it: quantities instead of numbers of units."""
    service = page.shown.bucket.service
    if problem.code == "in_use":
        most = figures.quantity_or_none(problem.possible_units, service)
        return (
            f"{figures.quantity(problem.asked_units, service)} cannot be taken back: the rest is used, reserved or "
            f"passed on. At most {most} can."
        )
    if problem.code == "not_enough":
        most = figures.quantity_or_none(problem.possible_units, service)
        return f"There is not enough for {figures.quantity(problem.asked_units, service)} more: {most} is left for it."
    if problem.code == "changed":
        return "Somebody has changed this since it was shown. Look again."
    return problem.message


def _steps(page: AllowancesPage) -> dict[str, int | str] | None:
    """What a slider counts in: the largest unit of which there are at least fifty."""
    if page.shown is None:
        return None
    service, held = page.shown.bucket.service, page.shown.source.held_units
    words = [(word, size) for word, size in quantities.UNITS[service][0].items() if size % 1000 or size == 1]
    word, size = next(((word, size) for word, size in words if held // size >= 50), words[-1])
    return {"word": word, "size": size}
