"""Who signs in to the demo, and the files by which others find them: `cast.json` and `traffic.json` in the
data folder.

Owns users, memberships and the token of the demo's traffic. Repeating it changes nothing, except that files
which are missing are written again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from django.contrib.auth.hashers import make_password

from balances.models import Account, Enterprise, Operator, Person
from balances.scope import Verb
from clients.traffic.profiles import KEEN
from portal import tokens
from portal.demo.plan import HOME_NETWORK, EnterprisePlan
from portal.models import Membership, Role, User

PASSWORD = "demo-portal-2026"  # noqa: S105 - shown at every start: the demo is no secret
SOURCE = "Live network"
#: Live traffic is a little busier than life, so that a watcher has something to see at night, too.
SPEED = 4
TOKEN_NAME = "Demo traffic"  # noqa: S105 - its name, not its secret


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who signs in, in words for people."""

    name: str
    role: str
    email: str
    password: str = PASSWORD


def ensure(operator: Operator, plans: list[EnterprisePlan], data_dir: Path, *, seed: int, at: datetime) -> list[Member]:
    """Make the users of the demo and write both files where they are missing."""
    enterprises = {e.number: e for e in Enterprise.objects.filter(operator=operator)}
    placed = [(plan, enterprises[plan.size.number]) for plan in plans]
    members = [_account_manager(operator, [enterprise for _, enterprise in placed])]
    for name, (plan, enterprise) in zip(("Tina Telgte", "Hauke Hansen", "Britta Brandt"), placed, strict=True):
        members.append(_member(name, Role.OWNER, f"Telecoms manager, {enterprise.name}", plan, enterprise))
    members += _people_of(*placed[0])
    _write(data_dir / "cast.json", [asdict(member) for member in members])
    if not (data_dir / "traffic.json").exists():
        _write(data_dir / "traffic.json", _traffic(operator, plans, members[0], seed, at))
    return members


def _account_manager(operator: Operator, enterprises: list[Enterprise]) -> Member:
    member = Member("Olaf Nordmann", f"Account manager of the operator {operator.name}", "olaf@nordnetz.example")
    user = _user(member)
    for enterprise in (None, *enterprises):
        Membership.objects.get_or_create(user=user, role=Role.OPERATOR, operator=operator, enterprise=enterprise)
    return member


def _people_of(plan: EnterprisePlan, enterprise: Enterprise) -> list[Member]:
    """The largest enterprise's other people: managers of two divisions, the second one the employee's; an observer, the
    employee.
    """
    code = plan.busiest_cost_centre().code.split("-")[0]
    division = _top_of(Account.objects.get(enterprise=enterprise, code=code))
    root = Account.objects.get(enterprise=enterprise, parent=None)
    employee = Person.objects.get(enterprise=enterprise, number=plan.people[0].number)
    own = _top_of(employee.account)
    return [
        _member(
            "Carl Castell",
            Role.MANAGER,
            f"Cost-centre manager, {division.name}",
            plan,
            enterprise,
            account=division,
        ),
        _member(
            "Sara Sommer",
            Role.MANAGER,
            f"Cost-centre manager, {own.name}",
            plan,
            enterprise,
            account=own,
        ),
        _member("Oda Obermann", Role.OBSERVER, f"Observer, {enterprise.name}", plan, enterprise, account=root),
        _member(employee.name, Role.EMPLOYEE, "Employee with two lines", plan, enterprise, person=employee),
    ]


def _top_of(account: Account) -> Account:
    """The division above an account: the ancestor directly below the root."""
    while account.parent is not None and account.parent.parent_id is not None:
        account = account.parent
    return account


def _member(
    name: str,
    role: Role,
    words: str,
    plan: EnterprisePlan,
    enterprise: Enterprise,
    *,
    account: Account | None = None,
    person: Person | None = None,
) -> Member:
    member = Member(name, words, f"{name.split()[0].lower()}@{plan.size.domain}")
    Membership.objects.get_or_create(
        user=_user(member), role=role, enterprise=enterprise, account=account, person=person
    )
    return member


def _user(member: Member) -> User:
    found = User.objects.filter(email=member.email).first()
    return found or User.objects.create(email=member.email, name=member.name, password=_hashed(member.password))


@cache
def _hashed(password: str) -> str:
    """The hash of the one password that all share: made to be slow, and so made once."""
    return make_password(password)


def _traffic(
    operator: Operator, plans: list[EnterprisePlan], maker: Member, seed: int, at: datetime
) -> dict[str, object]:
    """What the traffic generator needs: a fresh token that may only report usage, and the lines; the employee's phone
    is never quiet.
    """
    user, phone = User.objects.get(email=maker.email), plans[0].lines[0]
    _, secret = tokens.issue(operator=operator, name=TOKEN_NAME, verbs=[Verb.INGEST], created_by=user, at=at)
    return {
        "token": secret,
        "source": SOURCE,
        "home_network": HOME_NETWORK,
        "time_zone": "Europe/Berlin",
        "seed": seed,
        "speed": SPEED,
        "lines": [
            {"msisdn": line.msisdn, "profile": KEEN if line is phone else line.profile, "imei": line.imei}
            for plan in plans
            for line in plan.lines
        ],
    }


def _write(path: Path, content: object) -> None:
    """Replace a file at once, readable by its owner only: it holds passwords or a token."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, ensure_ascii=False)
    fresh.replace(path)
