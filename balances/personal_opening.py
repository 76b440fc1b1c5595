"""Opening personal accounts for many people in one act: for chosen people, or by the rows of a file.

Owns: the rows, and which of them can be. What an account may be is said by `balances.personal`; each is written as by
its `open_account`, with an audit event of its own. Never accepts anything: these accounts pay nothing yet.

Each function opens its own transaction under the enterprise's lock.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from balances import audit, loading, locks, personal
from balances.errors import Refused
from balances.loading import LoadResult, Problems
from balances.models import Enterprise, Person, PersonalAccount, PersonalTariff

#: People or rows of one act: bounds how long the enterprise stays locked.
ROWS_MOST = 5_000
_MONEY = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account to be opened, as a file says it; the limit is in the tariff's currency, like 50 or 49.90."""

    row: int
    person_number: str
    tariff: str
    kind: str
    credit_limit: str = ""


@dataclass(frozen=True, slots=True)
class _Wanted:
    person_id: int
    tariff: PersonalTariff
    kind: str
    credit_limit_micros: int


def open_many(
    *,
    enterprise: Enterprise,
    person_ids: Collection[int],
    tariff: PersonalTariff,
    kind: str,
    credit_limit_micros: int = 0,
    time_zone: str = "Europe/Berlin",
    actor: str,
    at: datetime,
) -> int:
    """Accounts of one kind for people of an enterprise; those who have one are left as they are. Returns how many.

    Raises NotFound, NotValid, TooManyRows, Unreadable, Busy.
    """
    loading.refuse_too_many(list(person_ids), ROWS_MOST)
    kind = personal.checked_kind(kind, credit_limit_micros)
    personal.refuse_unknown_zone(time_zone)
    with locks.enterprise(enterprise.id):
        offered = personal.offered(tariff, enterprise, at)
        ids = set(Person.objects.filter(enterprise=enterprise, id__in=person_ids).values_list("id", flat=True))
        wanted = [
            _Wanted(person_id, offered, kind, credit_limit_micros)
            for person_id in sorted(ids - _with_account(enterprise, at))
        ]
        return _open(enterprise, wanted, time_zone, actor, at)


def load_accounts(
    *,
    enterprise: Enterprise,
    rows: Sequence[AccountRow],
    time_zone: str = "Europe/Berlin",
    actor: str,
    at: datetime,
) -> LoadResult:
    """The accounts of a file. Raises TooManyRows, NotValid, Busy; everything else is reported by row and column."""
    loading.refuse_too_many(rows, ROWS_MOST)
    personal.refuse_unknown_zone(time_zone)
    problems = Problems()
    with locks.enterprise(enterprise.id):
        people = dict(Person.objects.filter(enterprise=enterprise).values_list("number", "id"))
        taken = _with_account(enterprise, at)
        tariffs: dict[str, PersonalTariff | Refused] = {}
        wanted = []
        for row in rows:
            person_id = _person(row, people, taken, problems)
            tariff = _tariff(row, enterprise, tariffs, at, problems)
            kind, limit = _kind(row, problems)
            if row.row in problems.rows or person_id is None or tariff is None:
                continue
            taken.add(person_id)
            wanted.append(_Wanted(person_id, tariff, kind, limit))
        return problems.result(_open(enterprise, wanted, time_zone, actor, at))


def _person(row: AccountRow, people: dict[str, int], taken: set[int], problems: Problems) -> int | None:
    person_id = people.get(row.person_number.strip())
    if person_id is None:
        problems.add(row.row, "person_number", f"Nobody has the personnel number “{row.person_number}”.")
    elif person_id in taken:
        problems.add(row.row, "person_number", "This person has an open account already.")
    return person_id


def _tariff(
    row: AccountRow, enterprise: Enterprise, known: dict[str, PersonalTariff | Refused], at: datetime,
    problems: Problems,
) -> PersonalTariff | None:  # fmt: skip
    """The tariff of a row; each name is looked up once."""
    name = row.tariff.strip()
    if name not in known:
        found = PersonalTariff.objects.filter(operator=enterprise.operator_id, name=name).first()
        try:
            if found is None:
                raise personal.NotFound(f"There is no tariff “{name}”.")
            known[name] = personal.offered(found, enterprise, at)
        except Refused as refusal:
            known[name] = refusal
    answer = known[name]
    if isinstance(answer, Refused):
        problems.add(row.row, "tariff", answer.message)
        return None
    return answer


def _kind(row: AccountRow, problems: Problems) -> tuple[str, int]:
    text = row.credit_limit.strip()
    if text and not _MONEY.fullmatch(text):
        problems.add(row.row, "credit_limit", f"“{text}” is no amount; write it like 50 or 49.90.")
        return "", 0
    limit = int(Decimal(text or "0") * 10**6)
    try:
        return personal.checked_kind(row.kind, limit), limit
    except Refused as refusal:
        column = "credit_limit" if refusal.field == "credit_limit_micros" else "kind"
        problems.add(row.row, column, refusal.message)
        return "", 0


def _with_account(enterprise: Enterprise, at: datetime) -> set[int]:
    """People who have an account that is not closed."""
    known = PersonalAccount.objects.filter(Q(closed_at__isnull=True) | Q(closed_at__gt=at), enterprise=enterprise)
    return set(known.values_list("person_id", flat=True))


def _open(enterprise: Enterprise, wanted: Sequence[_Wanted], time_zone: str, actor: str, at: datetime) -> int:
    made = PersonalAccount.objects.bulk_create(
        [
            PersonalAccount(
                enterprise=enterprise,
                person_id=one.person_id,
                tariff=one.tariff,
                kind=one.kind,
                credit_limit_micros=one.credit_limit_micros,
                time_zone=time_zone,
                opened_at=at,
                opened_by=actor,
            )
            for one in wanted
        ],
        batch_size=1_000,
    )
    audit.record_many(
        audit.event(
            enterprise_id=enterprise.id,
            actor=actor,
            action="personal_account.opened",
            subject=str(account),
            detail={"tariff": account.tariff_id},
            at=at,
        )
        for account in made
    )
    return len(made)
