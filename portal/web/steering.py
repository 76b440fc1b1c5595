"""Who pays for an account: its rules in the order in which they are asked, built row by row, published, taken back.

Every act is a form of one page, which works without script. An act on what is published makes a draft of it; nothing
holds before it is published. What may be is said by `policies.steering.publishing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from balances.errors import Refused
from balances.models import Account, Zone
from balances.scope import Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from policies.conditions import Catalogue
from policies.models import PolicyState, Steering, SteeringVersion
from policies.steering import publishing, standing, templates
from policies.steering.cautions import cautions
from policies.steering.loading import catalogue_of, terms_of
from policies.steering.rules import COMPANY_PAYS, Terms, rules_from_json, rules_to_json
from policies.steering.standing import Held
from portal.steering_words import Wording
from portal.web import quantities, steering_rows
from portal.web.context import place
from portal.web.forms import acting, civil_time
from portal.web.reach import found
from portal.web.steering_rows import Choices, RuleForm

#: Versions of the history that are shown.
HISTORY_MOST = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A rule in the order of asking. `number`: of an own one, from 1; 0: it stands elsewhere. `above`: where, if in
    reach."""

    held: Held
    words: str
    number: int
    above: Account | None
    may_rise: bool = False
    may_sink: bool = False


class _Page:
    """An account with what says who pays there, for one request."""

    def __init__(self, request: HttpRequest, account: Account):
        self.request, self.account = request, account
        self.now = acting(request)["at"]
        self.terms = terms_at(account.enterprise_id, self.now)
        self.catalogue: Catalogue = catalogue_of(account.enterprise_id)
        zones = Zone.objects.filter(operator__enterprises=account.enterprise_id).order_by("name")
        self.zones = dict(zones.values_list("code", "name"))
        lists = {one.code: one.name for one in publishing.lists_at(account)}
        self.choices = Choices(self.catalogue, self.zones, lists)
        self.wording = Wording(self.zones, self.terms.currency, self.catalogue)
        self.versions = list(
            SteeringVersion.objects.within(request.tenancy.scope)
            .filter(steering__account=account)
            .select_related("steering__account")
            .order_by("-number")
        )
        self.draft = next((one for one in self.versions if one.state == PolicyState.DRAFT), None)
        self.published = next((one for one in self.versions if one.state == PolicyState.PUBLISHED), None)

    @property
    def shown(self) -> SteeringVersion | None:
        """The version in work, or else the published one."""
        return self.draft or self.published

    @property
    def said(self) -> Terms:
        """What it says."""
        return terms_of(self.shown, self.catalogue) if self.shown else Terms()


def steering_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The page of an account; `?rule=N` (or `new`) opens one of its rules, `?terms=1` what holds beside them."""
    scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-steering")
    manages = scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id)
    page = _Page(request, account)
    typed = fault = None
    if request.method == "POST":
        if not manages:
            raise Http404("Not in reach.")
        try:
            if request.POST.get("action") == "rule":
                typed = steering_rows.read(request.POST, page.choices)
            if answer := _act(page, typed):
                return answer
        except Refused as refusal:
            fault = refusal.message
    return render(request, "steering/page.html", _context(page, typed, fault, manages=manages))


# --- what is shown --------------------------------------------------------------------------------------------------


def _context(page: _Page, typed: RuleForm | None, fault: str | None, *, manages: bool) -> dict[str, Any]:
    account, shown = page.account, page.shown
    along = standing.inherited(account, page.now, instead=shown, catalogue=page.catalogue)
    manages = manages and account.closed_at is None
    editor = typed if typed is not None else _opened(page) if manages else None
    comes_back = _comes_back(page) if manages else []
    return {
        "account": account,
        "breadcrumb": tree.ancestors(page.request.tenancy.scope, account),
        "manages": manages,
        "version": shown,
        "is_draft": page.draft is not None,
        "published": page.published,
        "comes_back": comes_back,
        # What is taken back is said by new versions, which a draft in work makes room for.
        "draft_becomes": page.draft.number + len(comes_back) if page.draft else None,
        "mark": publishing.mark_of(account),
        "rows": _rows(page, along.rules),
        "default": page.wording.parts(along.default),
        "default_of": _place_of(page, along.default_of),
        "missing": page.wording.missing(along.missing),
        "missing_of": _place_of(page, along.missing_of),
        "cautions": cautions(shown, page.now) if shown is not None else [],
        "templates": templates.TEMPLATES.values(),
        "editor": editor,
        "looked": _looked(page, editor) if editor is not None else None,
        "terms_form": _terms_form(page) if manages and "terms" in page.request.GET else None,
        "history": _history(page),
        "fault": fault,
        "choices": page.choices,
        "forms": steering_rows,
        "zone": page.terms.zone,
        "currency": page.terms.currency,
        "now": page.now,
    }


def _comes_back(page: _Page) -> list[SteeringVersion]:
    steering = Steering.objects.filter(account=page.account).first()
    return publishing.comes_back(steering, page.now) if steering is not None else []


def _rows(page: _Page, rules: tuple[Held, ...]) -> list[Row]:
    path = {held.account.id for held in rules}
    in_reach = set(Account.objects.within(page.request.tenancy.scope).filter(id__in=path).values_list("id", flat=True))
    own = {
        is_fixed: [
            held.number for held in rules if held.account.id == page.account.id and held.rule.is_fixed is is_fixed
        ]
        for is_fixed in (True, False)
    }
    rows = []
    for held in rules:
        words = page.wording.rule(held.rule)
        if held.account.id != page.account.id:
            rows.append(Row(held, words, 0, held.account if held.account.id in in_reach else None))
            continue
        numbers = own[held.rule.is_fixed]
        rows.append(Row(held, words, held.number, None, held.number != numbers[0], held.number != numbers[-1]))
    return rows


def _place_of(page: _Page, version: SteeringVersion | None) -> str:
    """Where a default comes from, in words."""
    if version is None:
        return "nobody says otherwise"
    if version.steering.account_id == page.account.id:
        return "said here"
    reach = Account.objects.within(page.request.tenancy.scope).filter(id=version.steering.account_id)
    above = reach.first()
    return f"said by {above.name}" if above else "said above your reach"


def _opened(page: _Page) -> RuleForm | None:
    """The rule that the address asks for, as a form."""
    asked = page.request.GET.get("rule", "")
    if asked == "new":
        return steering_rows.blank(page.choices)
    rules = page.said.rules
    if asked.isascii() and asked.isdigit() and 1 <= int(asked[:4]) <= len(rules):
        return steering_rows.form_of(rules[int(asked[:4]) - 1], int(asked[:4]), page.choices)
    return None


def _looked(page: _Page, form: RuleForm) -> tuple[bool, str]:
    """What a typed rule says, or what is wrong with it."""
    try:
        [rule] = rules_from_json(
            [{**steering_rows.as_json(form, page.choices), "name": form.name or "New rule"}], catalogue=page.catalogue
        )
    except Refused as refusal:
        return False, refusal.message.replace("rules[0].", "")
    return True, page.wording.rule(rule)


@dataclass(frozen=True, slots=True)
class TermsForm:
    """What holds beside the rules, as it is typed."""

    pays: str
    parts: list[steering_rows.PartForm]
    missing: str
    credit: str


def _terms_form(page: _Page) -> TermsForm:
    said = page.said
    pays = "above" if said.default is None else said.default[0].payer if len(said.default) == 1 else "parts"
    missing, credit = "above", ""
    if said.missing is not None:
        missing = "refuse" if said.missing.interim_micros is None else "interim"
        credit = quantities.write_price(said.missing.interim_micros) if said.missing.interim_micros else ""
    return TermsForm(pays, steering_rows.parts_of(said.default or COMPANY_PAYS), missing, credit)


def _history(page: _Page) -> list[tuple[SteeringVersion, list[str]]]:
    shown = page.versions[: HISTORY_MOST + 1]
    said = [terms_of(version, page.catalogue) for version in shown]
    if len(shown) <= HISTORY_MOST:
        said.append(Terms())
    pairs = zip(shown[:HISTORY_MOST], said, said[1:], strict=False)
    return [(version, page.wording.differences(before, after)) for version, after, before in pairs]


# --- what is done ---------------------------------------------------------------------------------------------------


def _act(page: _Page, typed: RuleForm | None) -> HttpResponse | None:
    """Do what was sent and lead to its result; None where the page is to be shown again. Raises Refused."""
    posted, doing = page.request.POST, acting(page.request)
    action = posted.get("action", "")
    if action == "template":
        templates.draft_from(account=page.account, template=posted.get("template", ""), **doing)
        messages.success(page.request, "Drafted. Nothing happens before you publish it.")
    elif action == "rule":
        if typed is None or posted.get("do") != "save":
            return None
        _save_rule(page, typed)
    elif action in ("rise", "sink", "remove"):
        _save(page, _changed(page, action, posted.get("rule", "")))
        messages.success(page.request, "The draft is changed. Nothing happens before you publish it.")
    elif action == "terms":
        _save_terms(page)
    elif action == "publish":
        when = civil_time(posted.get("effective_at", ""), page.terms.zone, field="effective_at")
        version = publishing.publish(version=_draft(page), effective_at=when, reason=posted.get("reason", ""), **doing)
        messages.success(page.request, f"Version {version.number} is published.")
    elif action == "discard":
        publishing.discard(version=_draft(page), **doing)
        messages.success(page.request, "The draft is thrown away.")
    elif action == "undo":
        made = publishing.undo_publication(steering=_steering(page), **doing)
        said = f"Version {made.number} says what was said before." if made else "Nothing holds here now."
        messages.success(page.request, said)
    elif action == "retire":
        publishing.retire(steering=_published(page).steering, reason=posted.get("reason", ""), **doing)
        messages.success(page.request, "These rules do not hold any more.")
    else:
        return None
    return redirect("account-steering", page.account.id)


def _save(page: _Page, rules: list[dict[str, Any]], **more: Any) -> SteeringVersion:
    """Write the draft with other rules, or with what `more` says otherwise."""
    shown = page.shown
    said = {
        "default": shown.default if shown else None,
        "missing": shown.missing if shown else None,
        "note": page.draft.note if page.draft else "",
    } | more
    seen = page.request.POST.get("seen")
    return publishing.save_draft(account=page.account, rules=rules, seen=seen, **said, **acting(page.request))


def _save_rule(page: _Page, typed: RuleForm) -> None:
    rules = rules_to_json(page.said.rules)
    written = steering_rows.as_json(typed, page.choices)
    if 1 <= typed.place <= len(rules):
        rules[typed.place - 1] = written
    else:
        rules.append(written)
    _save(page, rules)
    messages.success(page.request, f"“{typed.name}” is in the draft. Nothing happens before you publish it.")


def _changed(page: _Page, action: str, sent: str) -> list[dict[str, Any]]:
    """The rules with one of them moved among its like, or removed. Raises Http404."""
    rules = page.said.rules
    if not (sent.isascii() and sent.isdigit() and 1 <= int(sent[:4]) <= len(rules)):
        raise Http404("No such rule.")
    here = int(sent[:4]) - 1
    if action == "remove":
        return rules_to_json([rule for number, rule in enumerate(rules) if number != here])
    like = [number for number, rule in enumerate(rules) if rule.is_fixed is rules[here].is_fixed]
    there = like.index(here) + (-1 if action == "rise" else 1)
    if not 0 <= there < len(like):
        return rules_to_json(rules)
    order = list(rules)
    order[here], order[like[there]] = order[like[there]], order[here]
    return rules_to_json(order)


def _save_terms(page: _Page) -> None:
    posted = page.request.POST
    pays, kind = posted.get("pays", "above"), posted.get("missing", "above")
    default = None if pays == "above" else steering_rows.parts_json(pays, steering_rows.read_parts(posted))
    missing: dict[str, Any] = {}
    if kind == "refuse":
        missing = {"action": "refuse"}
    elif kind == "interim":
        missing = {"action": "interim", "micros": quantities.read_price(posted.get("credit", ""))}
    _save(page, rules_to_json(page.said.rules), default=default, missing=missing)
    messages.success(page.request, "It is in the draft. Nothing happens before you publish it.")


def _draft(page: _Page) -> SteeringVersion:
    if page.draft is None:
        raise publishing.SteeringRefused("There is no draft.")
    return page.draft


def _steering(page: _Page) -> Steering:
    found = Steering.objects.filter(account=page.account).first()
    if found is None:
        raise publishing.SteeringRefused("Nothing was published here.")
    return found


def _published(page: _Page) -> SteeringVersion:
    if page.published is None:
        raise publishing.SteeringRefused("No version is published here.")
    return page.published
