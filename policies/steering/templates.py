"""Ready-made rules of who pays: what managers begin with, and complete. Each says what to look at first.

Owns: what is offered, and putting it into an account's draft: behind the rules that are there, under names of their
own, with lists of numbers that it needs. Nothing holds before the draft is published.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from balances import locks
from balances.models import Account
from balances.units import GIB, MICROS_PER_MAJOR
from policies.conditions import Kind
from policies.models import NumberList, PolicyState, SteeringVersion
from policies.steering import number_lists, publishing
from policies.steering.loading import catalogue_of
from policies.steering.publishing import SteeringRefused
from policies.steering.rules import NAME_LENGTH


@dataclass(frozen=True, slots=True)
class SteeringTemplate:
    """Rules to begin with. `hint`: what to look at before it is published. `lists`: codes and names of lists that it
    speaks of."""

    key: str
    name: str
    note: str
    hint: str
    rules: tuple[dict[str, Any], ...]
    default: str | None = None
    lists: tuple[tuple[str, str], ...] = ()


_ON_CALL = "profile.on_call"
_WORK = "weekday in (mon, tue, wed, thu, fri) and time within 08:00-18:00 and holiday is no"
_FIRST = {"payer": "corporate", "every": "cycle"}
_REST = {"payer": "personal"}

_ALL = (
    SteeringTemplate(
        "office-hours",
        "Office hours",
        "The company pays on workdays from 8 to 18 o'clock, the person at all other times.",
        "Times and weekdays; public holidays are those of your country; the clock is that of the contract.",
        (
            {"name": "Office hours", "when": _WORK, "pays": "corporate"},
            {"name": "Out of office hours", "when": f"not ({_WORK})", "pays": "personal"},
        ),
    ),
    SteeringTemplate(
        "company-apps",
        "Company apps only",
        "Data of the applications in the list is paid by the company, all other data by the person.",
        "Names of applications as your network says them. Data that does not say its application is the person's.",
        (
            {"name": "Company apps", "when": "service is data and application in (teams, outlook, sap)",
             "pays": "corporate"},
            {"name": "Other apps", "when": "service is data", "pays": "personal"},
        ),
    ),
    SteeringTemplate(
        "business-trips",
        "Roaming on business trips",
        "Roaming is paid by the company during a declared trip, in its countries; else by the person.",
        "Declare trips under “Trips”: roaming of people who have none there is theirs.",
        (
            {"name": "Business trips", "when": "roaming is yes and on_trip is yes", "pays": "corporate"},
            {"name": "Private roaming", "when": "roaming is yes", "pays": "personal"},
        ),
    ),
    SteeringTemplate(
        "sales-team",
        "Sales team",
        "Calls and messages of lines tagged sales with customers are paid by the company, with others by the person.",
        "Tag the lines of the team, and put the customers' numbers into the list.",
        (
            {"name": "Sales with customers",
             "when": "tag is sales and service in (voice, messaging) and (list is customers or directory is yes)",
             "pays": "corporate"},
            {"name": "Sales with others", "when": "tag is sales and service in (voice, messaging)",
             "pays": "personal"},
        ),
        lists=(("customers", "Customers"),),
    ),
    SteeringTemplate(
        "on-call",
        "On call",
        "The company pays all usage of lines that are on call, at any time.",
        "Tag the lines on-call, or set on_call in their profiles. Put it before rules of hours.",
        ({"name": "On call", "when": f"tag is on-call or {_ON_CALL} is true", "pays": "corporate"},),
    ),
    SteeringTemplate(
        "company-budget",
        "Company budget first, then the person",
        "The company pays the first 5 GiB of data and 20 of calls a person and cycle, the person what is beyond.",
        "The amounts; whether each line, each person, or all together have them.",
        (
            {"name": "First 5 GiB", "when": "service is data",
             "pays": [{**_FIRST, "units": 5 * GIB, "of": "person"}, _REST]},
            {"name": "First 20 of calls", "when": "service is voice",
             "pays": [{**_FIRST, "micros": 20 * MICROS_PER_MAJOR, "of": "person"}, _REST]},
        ),
    ),
    SteeringTemplate(
        "shared",
        "Shared half and half",
        "The company and the person pay half of all usage each.",
        "The percentage; for which services.",
        ({"name": "Half and half", "when": "always", "pays": [{"payer": "corporate", "percent": 50}, _REST]},),
    ),
    SteeringTemplate(
        "private-numbers",
        "Private numbers",
        "Calls and messages with numbers of the list are paid by the person, whatever else is said.",
        "Put the numbers, or how they begin, into the list. Put it before other rules.",
        (
            {"name": "Private numbers", "when": "service in (voice, messaging) and list is private",
             "pays": "personal"},
        ),
        lists=(("private", "Private numbers"),),
    ),
    SteeringTemplate(
        "blank",
        "A blank rule",
        "The company pays all; write your own condition.",
        "",
        ({"name": "New rule", "when": "always", "pays": "corporate"},),
    ),
)  # fmt: skip
TEMPLATES: dict[str, SteeringTemplate] = {template.key: template for template in _ALL}


def draft_from(*, account: Account, template: str, actor: str, at: datetime) -> SteeringVersion:
    """The account's draft with the rules of a template behind its own; a new one with what holds where there is none.

    Raises SteeringRefused, SteeringFault, ListRefused, Busy.
    """
    found = TEMPLATES.get(template)
    if found is None:
        message = f"There is no such template to begin with; there are: {', '.join(TEMPLATES)}."
        raise SteeringRefused(message, field="template")
    with locks.enterprise(account.enterprise_id):
        said = SteeringVersion.objects.filter(steering__account=account).exclude(state=PolicyState.RETIRED)
        base = said.order_by("-number").first()
        rules = list(base.rules) if base else []
        codes = {code: _list(account, code, name, actor, at) for code, name in found.lists}
        taken = {rule["name"].casefold() for rule in rules}
        for rule in found.rules:
            name = free_name(rule["name"], taken)
            taken.add(name.casefold())
            rules.append({"hint": found.hint, **rule, "name": name, "when": _fitted(rule["when"], codes, account)})
        return publishing.save_draft(
            account=account, rules=rules, default=base.default if base else None,
            missing=base.missing if base else None, note=(base.note if base else "") or found.name,
            actor=actor, at=at,
        )  # fmt: skip


def free_name(name: str, taken: Iterable[str]) -> str:
    """The name, or with a number behind it, as no other rule is called."""
    known = set(taken)
    names = (name, *(f"{name[: NAME_LENGTH - 4]} {number}" for number in range(2, len(known) + 3)))
    return next(one for one in names if one.casefold() not in known)


def _list(account: Account, code: str, name: str, actor: str, at: datetime) -> str:
    """The code of a list that rules of the account may speak of, made where there is none."""
    if any(one.code == code for one in publishing.lists_at(account)):
        return code
    taken = set(NumberList.objects.filter(enterprise_id=account.enterprise_id).values_list("code", flat=True))
    codes = (code, *(f"{code}-{number}" for number in range(2, len(taken) + 3)))
    free = next(one for one in codes if one not in taken)
    return number_lists.create(account=account, code=free, name=name, actor=actor, at=at).code


def _fitted(when: str, codes: dict[str, str], account: Account) -> str:
    """A condition with the lists as they are called here, and with profiles as the operator declared them."""
    for code, name in codes.items():
        when = when.replace(f"list is {code}", f"list is {name}")
    on_call = catalogue_of(account.enterprise_id).field_named(_ON_CALL)
    if on_call is not None and on_call.kind is Kind.FLAG:
        when = when.replace(f"{_ON_CALL} is true", f"{_ON_CALL} is yes")
    return when
