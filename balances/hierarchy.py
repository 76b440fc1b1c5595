"""The account tree: the only writer of Enterprise, Account, AccountPlacement, and of ChargingState's
creation.

Owns: which account hangs below which, now and over time, and the numbers by which django-mptt reads the tree.
Every change renumbers the enterprise's tree in one pass from its parent pointers (`balances.tree`) and writes
the numbers that differ in one UPDATE; django-mptt itself only reads. Never moves units, never touches lines.

Each function opens its own transaction, under the lock of tree roots (`create_enterprise`) or of the
enterprise (all others), and reads accounts again under it: what the caller holds may be stale.

A placement says where an account hung and when. The first one has no beginning: late usage from before an
account was entered finds the place where it was first put. A move is dated; usage of an earlier time keeps
following the old place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Max, Q, QuerySet

from balances import audit, fields, loading, locks, tree, tree_rows
from balances.errors import Refused
from balances.loading import LoadResult, Problems
from balances.models import (
    Account,
    AccountPlacement,
    Bucket,
    ChargingState,
    Enterprise,
    Line,
    LineAssignment,
    Operator,
)
from balances.models.accounts import AccountKind, DrawAbove, LineStatus
from balances.tree_check import check_tree
from balances.tree_rows import TreeRow

__all__ = [
    "ACCOUNTS_MOST",
    "AlreadyUsed",
    "MoveRefused",
    "NotInTree",
    "StillInUse",
    "TreeRow",
    "TreeTooLarge",
    "add_account",
    "check_tree",
    "close_account",
    "create_enterprise",
    "load_tree",
    "move_account",
    "rename_account",
    "set_draw_above",
]

#: Accounts of one enterprise: five times what the product is designed for.
ACCOUNTS_MOST = 10_000


class AlreadyUsed(Refused):
    """A code or number that must be unique is in use."""


class NotInTree(Refused):
    """The account is closed, gone, or of another enterprise."""


class TreeTooLarge(Refused):
    """More levels or more accounts than an enterprise may have."""


class MoveRefused(Refused):
    """The account cannot be hung there, or not at that time."""


class StillInUse(Refused):
    """The account cannot be closed yet."""


@dataclass(frozen=True, slots=True)
class _New:
    """An account whose parent exists or stands in the same list."""

    id: int
    parent_id: int | None
    code: str
    name: str
    kind: str
    draw_above: str = DrawAbove.ALWAYS


def create_enterprise(*, operator: Operator, name: str, number: str, actor: str, at: datetime) -> Enterprise:
    """An enterprise with its charging state and its root account, whose code is the customer number.

    Takes the lock of tree roots. Raises AlreadyUsed, Unreadable, Busy.
    """
    name = fields.name(name)
    number = fields.text(number, field="number", label="The customer number", most=32)
    with locks.roots():
        if Enterprise.objects.filter(operator=operator, number=number).exists():
            raise AlreadyUsed(f"The customer number “{number}” is already used.", field="number")
        enterprise = Enterprise.objects.create(operator=operator, name=name, number=number)
        ChargingState.objects.create(enterprise=enterprise)
        last = Account.objects.aggregate(last=Max("tree_id"))["last"] or 0
        root = _New(loading.next_ids(Account, 1)[0], None, number, name, AccountKind.ENTERPRISE)
        _insert(enterprise.id, last + 1, [root], at)
        audit.record(
            enterprise_id=enterprise.id,
            account_id=root.id,
            actor=actor,
            action="enterprise.created",
            subject=name,
            detail={"number": number, "operator": operator.name},
            at=at,
        )
        return enterprise


def add_account(
    *,
    parent: Account,
    code: str,
    name: str,
    kind: str,
    draw_above: str = DrawAbove.ALWAYS,
    actor: str,
    at: datetime,
) -> Account:
    """A new account below `parent`. Raises AlreadyUsed, NotInTree, TreeTooLarge, Unreadable, Busy."""
    code, name, kind = fields.code(code), fields.name(name), tree_rows.kind(kind)
    draw_above = fields.choice(draw_above, DrawAbove, field="draw_above", default=DrawAbove.ALWAYS)
    with locks.enterprise(parent.enterprise_id):
        parent = _open_account(parent.id, parent.enterprise_id, field="parent")
        _refuse_too_many_accounts(parent.enterprise_id, 1)
        if parent.level >= tree.LEVELS_MOST:
            raise _too_deep("parent")
        if Account.objects.filter(enterprise_id=parent.enterprise_id, code=code).exists():
            raise AlreadyUsed(f"The code “{code}” is already used in this enterprise.", field="code")
        new = _New(loading.next_ids(Account, 1)[0], parent.id, code, name, kind, draw_above)
        _insert(parent.enterprise_id, parent.tree_id, [new], at)
        audit.record(
            enterprise_id=parent.enterprise_id,
            account_id=new.id,
            actor=actor,
            action="account.added",
            subject=name,
            detail={"code": code, "kind": kind, "parent": parent.name, "draw_above": draw_above},
            at=at,
        )
        return Account.objects.get(id=new.id)


def move_account(*, account: Account, new_parent: Account, actor: str, at: datetime) -> Account:
    """Hang an account with all below it under another one, from `at` on.

    Refused: the root, another enterprise, a place inside the moved subtree (now or at any time from `at` on),
    a time before the account's last move, more levels than allowed. Raises MoveRefused, NotInTree,
    TreeTooLarge, Busy.
    """
    with locks.enterprise(account.enterprise_id):
        account = _open_account(account.id, account.enterprise_id, field="account")
        if new_parent.enterprise_id != account.enterprise_id:
            raise MoveRefused("That account belongs to another enterprise.", field="new_parent")
        new_parent = _open_account(new_parent.id, account.enterprise_id, field="new_parent")
        if account.parent_id is None:
            raise MoveRefused("The root account stays where it is.", field="account")
        old_parent = account.parent
        if account.parent_id == new_parent.id:
            return account
        _refuse_circle(account, new_parent)
        _place(account, new_parent, at)
        Account.objects.filter(id=account.id).update(parent=new_parent)
        _renumber(account.enterprise_id)
        audit.record(
            enterprise_id=account.enterprise_id,
            account_id=account.id,
            actor=actor,
            action="account.moved",
            subject=account.name,
            detail={
                "from": old_parent.name,
                "from_id": old_parent.id,
                "to": new_parent.name,
                "to_id": new_parent.id,
            },
            at=at,
        )
        return Account.objects.get(id=account.id)


def rename_account(*, account: Account, name: str, actor: str, at: datetime) -> Account:
    """Give an account another name;

    the root's name is also the enterprise's. Raises NotInTree, Unreadable, Busy.
    """
    name = fields.name(name)
    with locks.enterprise(account.enterprise_id):
        account = _open_account(account.id, account.enterprise_id, field="account")
        if account.name == name:
            return account
        Account.objects.filter(id=account.id).update(name=name)
        if account.parent_id is None:
            Enterprise.objects.filter(id=account.enterprise_id).update(name=name)
        _renumber(account.enterprise_id)
        audit.record(
            enterprise_id=account.enterprise_id,
            account_id=account.id,
            actor=actor,
            action="account.renamed",
            subject=name,
            detail={"from": account.name, "to": name},
            at=at,
        )
        return Account.objects.get(id=account.id)


def set_draw_above(*, account: Account, draw_above: str, actor: str, at: datetime) -> Account:
    """Say whether usage below an account may draw on buckets above it, from the next charge on.

    Raises NotInTree, Unreadable, Busy.
    """
    draw_above = fields.choice(draw_above, DrawAbove, field="draw_above", default="")
    with locks.enterprise(account.enterprise_id):
        account = _open_account(account.id, account.enterprise_id, field="account")
        if account.draw_above == draw_above:
            return account
        Account.objects.filter(id=account.id).update(draw_above=draw_above)
        audit.record(
            enterprise_id=account.enterprise_id,
            account_id=account.id,
            actor=actor,
            action="account.draw_above_set",
            subject=account.name,
            detail={"from": account.draw_above, "to": draw_above},
            at=at,
        )
        return Account.objects.get(id=account.id)


def close_account(*, account: Account, actor: str, at: datetime) -> Account:
    """Take an account out of use; its history stays.

    Refused while it has open accounts below it, lines in service (now or planned), or units left in a bucket.
    Raises StillInUse, NotInTree, Busy.
    """
    with locks.enterprise(account.enterprise_id):
        account = _open_account(account.id, account.enterprise_id, field="account")
        if account.parent_id is None:
            raise StillInUse("The root account cannot be closed.", field="account")
        if reasons := _uses(account, at):
            raise StillInUse(f"“{account.name}” still has {' and '.join(reasons)}.", field="account")
        Account.objects.filter(id=account.id).update(closed_at=at)
        audit.record(
            enterprise_id=account.enterprise_id,
            account_id=account.id,
            actor=actor,
            action="account.closed",
            subject=account.name,
            detail={"code": account.code},
            at=at,
        )
        return Account.objects.get(id=account.id)


def load_tree(*, enterprise: Enterprise, rows: Sequence[TreeRow], actor: str, at: datetime) -> LoadResult:
    """Thousands of accounts at once, rows in any order; all of them or, where any row has a problem, none.

    A row whose parent is faulty has no place, so part of a tree is never made. Raises TooManyRows,
    TreeTooLarge, Busy.
    """
    loading.refuse_too_many(rows, ACCOUNTS_MOST)
    with locks.enterprise(enterprise.id):
        _refuse_too_many_accounts(enterprise.id, len(rows))
        existing = {account.code: account for account in _accounts(enterprise.id)}
        codes = {account.id: account.code for account in existing.values()}
        present = {
            code: tree_rows.Present(codes.get(account.parent_id), account.closed_at is not None)
            for code, account in existing.items()
        }
        problems = Problems()
        read = tree_rows.read(rows, present, problems)
        if problems.errors or not read:
            return problems.result(0)
        root = next(account for account in existing.values() if account.parent_id is None)
        ids = {code: account.id for code, account in existing.items()}
        ids |= zip((row.code for row in read), loading.next_ids(Account, len(read)), strict=True)
        new = [_New(ids[row.code], ids[row.parent_code], row.code, row.name, row.kind) for row in read]
        _insert(enterprise.id, root.tree_id, new, at)
        audit.record(
            enterprise_id=enterprise.id,
            account_id=root.id,
            actor=actor,
            action="tree.loaded",
            subject=enterprise.name,
            detail={"accounts": len(new)},
            at=at,
        )
        return problems.result(len(new))


# --- under the lock -------------------------------------------------------------------------------


def _open_account(account_id: int, enterprise_id: int, *, field: str) -> Account:
    """The account as it is now. Raises NotInTree."""
    mine = Account.objects.filter(id=account_id, enterprise_id=enterprise_id)
    account = mine.select_related("parent").first()
    if account is None:
        raise NotInTree("This account does not exist.", field=field)
    if account.closed_at:
        raise NotInTree(f"The account “{account.name}” is closed.", field=field)
    return account


def _too_deep(field: str) -> TreeTooLarge:
    return TreeTooLarge(f"At most {tree.LEVELS_MOST} levels fit below the root account.", field=field)


def _refuse_too_many_accounts(enterprise_id: int, more: int) -> None:
    present = Account.objects.filter(enterprise_id=enterprise_id).count()
    if present + more > ACCOUNTS_MOST:
        raise TreeTooLarge(f"An enterprise has at most {ACCOUNTS_MOST} accounts; it has {present} already.")


def _refuse_circle(account: Account, new_parent: Account) -> None:
    """Now: by parent pointers. The depth of the moved subtree counts as well."""
    parents = dict(Account.objects.filter(enterprise_id=account.enterprise_id).values_list("id", "parent_id"))
    above = tree.ancestors(parents, new_parent.id)
    if account.id == new_parent.id or account.id in above:
        raise MoveRefused(f"“{new_parent.name}” hangs below “{account.name}” itself.", field="new_parent")
    if len(above) + 1 + tree.height(parents, account.id) > tree.LEVELS_MOST:
        raise _too_deep("new_parent")


def _place(account: Account, new_parent: Account, at: datetime) -> None:
    """End the placement that holds now and begin another, so that the tree of every instant has no circle."""
    current = AccountPlacement.objects.get(account=account, during__upper_inf=True)
    since = current.during.lower
    if since is not None and at < since:
        raise MoveRefused(
            f"“{account.name}” was moved on {since:%Y-%m-%d %H:%M} UTC; it cannot be moved as of an earlier time.",
            field="at",
        )
    if _was_below(account.enterprise_id, new_parent.id, account.id, at):
        raise MoveRefused(
            f"“{new_parent.name}” hung below “{account.name}” after {at:%Y-%m-%d %H:%M} UTC; choose a later time.",
            field="at",
        )
    if since == at:  # moved twice at one instant: the later word holds
        AccountPlacement.objects.filter(id=current.id).update(parent=new_parent)
        return
    AccountPlacement.objects.filter(id=current.id).update(during=DateTimeTZRange(since, at))
    AccountPlacement.objects.create(
        account=account,
        parent=new_parent,
        enterprise_id=account.enterprise_id,
        during=DateTimeTZRange(at, None),
    )


def _was_below(enterprise_id: int, lower_id: int, upper_id: int, since: datetime) -> bool:
    """Whether `lower_id` hung below `upper_id` at any instant from `since` on."""
    placements: dict[int, list[tuple[int | None, datetime, datetime | None]]] = {}
    rows = AccountPlacement.objects.filter(enterprise_id=enterprise_id).filter(
        Q(during__upper_inf=True) | Q(during__endswith__gt=since)
    )
    for child_id, above_id, during in rows.values_list("account_id", "parent_id", "during"):
        placements.setdefault(child_id, []).append((above_id, during.lower or since, during.upper))
    waiting: list[tuple[int, datetime, datetime | None]] = [(lower_id, since, None)]
    while waiting:
        current, starts_at, ends_at = waiting.pop()
        for parent_id, first, last in placements.get(current, ()):
            begin = max(starts_at, first)
            end = last if ends_at is None else ends_at if last is None else min(ends_at, last)
            if parent_id is None or (end is not None and begin >= end):
                continue
            if parent_id == upper_id:
                return True
            waiting.append((parent_id, begin, end))
    return False


def _uses(account: Account, at: datetime) -> list[str]:
    """What keeps an account open, in words."""
    lasting = Q(during__upper_inf=True) | Q(during__endswith__gt=at)
    planned = LineAssignment.objects.filter(lasting, account=account).values("line_id")
    in_service = Line.objects.exclude(status=LineStatus.RETIRED).filter(Q(account=account) | Q(id__in=planned))
    units_left = Q(remaining_units__gt=0) | Q(reserved_units__gt=0)
    open_buckets = Bucket.objects.filter(account=account, closed_at__isnull=True)
    counts = [
        (Account.objects.filter(parent=account, closed_at__isnull=True).count(), "open account", "below it"),
        (in_service.count(), "line", "in service"),
        (open_buckets.filter(units_left).count(), "bucket", "with units"),
    ]
    return [f"{count} {noun}{'s' if count > 1 else ''} {where}" for count, noun, where in counts if count]


_COLUMNS = ["id", "enterprise_id", "parent_id", "code", "name", "kind", "draw_above", "created_at"]
_COLUMNS += ["tree_id", "lft", "rght", "level"]


def _row(new: _New, enterprise_id: int, tree_id: int, numbers: tree.Numbers, at: datetime) -> tuple:
    """What `_COLUMNS` hold of a new account."""
    described = (new.id, enterprise_id, new.parent_id, new.code, new.name, new.kind, new.draw_above, at)
    return (*described, tree_id, numbers.lft, numbers.rght, numbers.level)


def _insert(enterprise_id: int, tree_id: int, new: list[_New], at: datetime) -> None:
    """Write accounts with their numbers and first placements; the numbers of all others follow."""
    present = _nodes(enterprise_id)
    numbers = tree.number([*present, *(tree.Node(n.id, n.parent_id, n.name) for n in new)])
    _write_numbers(enterprise_id, numbers)
    loading.copy(
        Account,
        _COLUMNS,
        (_row(n, enterprise_id, tree_id, numbers[n.id], at) for n in new),
    )
    always = loading.interval(None)
    placements = ((n.id, n.parent_id, enterprise_id, always) for n in new)
    loading.copy(AccountPlacement, ["account_id", "parent_id", "enterprise_id", "during"], placements)


def _renumber(enterprise_id: int) -> None:
    _write_numbers(enterprise_id, tree.number(_nodes(enterprise_id)))


def _nodes(enterprise_id: int) -> list[tree.Node]:
    return [tree.Node(*row) for row in _accounts(enterprise_id).values_list("id", "parent_id", "name")]


def _accounts(enterprise_id: int) -> QuerySet[Account]:
    return Account.objects.filter(enterprise_id=enterprise_id).order_by()


def _write_numbers(enterprise_id: int, numbers: dict[int, tree.Numbers]) -> None:
    """One UPDATE of the accounts whose numbers differ."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances_account a SET lft = n.lft, rght = n.rght, level = n.level "
            "FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[]) AS n (id, lft, rght, level) "
            "WHERE a.id = n.id AND a.enterprise_id = %s "
            "AND (a.lft, a.rght, a.level) IS DISTINCT FROM (n.lft, n.rght, n.level)",
            [
                list(numbers),
                [n.lft for n in numbers.values()],
                [n.rght for n in numbers.values()],
                [n.level for n in numbers.values()],
                enterprise_id,
            ],
        )
