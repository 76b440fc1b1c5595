"""Proves that the numbers by which the tree is read agree with its parent pointers, on live data.

Owns: `check_tree`, run by `manage.py check_tree` and by tests. Reads only, in one statement, so in one
snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from balances import tree

_QUERY = """
    SELECT a.id, a.enterprise_id, a.parent_id, a.name, a.lft, a.rght, a.level, a.tree_id, p.enterprise_id,
           count(l.id), min(l.parent_id)
    FROM balances_account a
    LEFT JOIN balances_account p ON p.id = a.parent_id
    LEFT JOIN balances_accountplacement l ON l.account_id = a.id AND upper_inf(l.during)
    WHERE %(enterprise_id)s::bigint IS NULL OR a.enterprise_id = %(enterprise_id)s
    GROUP BY a.id, p.id
"""


@dataclass(frozen=True, slots=True)
class _Account:
    id: int
    enterprise_id: int
    parent_id: int | None
    name: str
    lft: int
    rght: int
    level: int
    tree_id: int
    parents_enterprise_id: int | None
    open_placements: int
    placed_below: int | None

    def __str__(self) -> str:
        return f"enterprise {self.enterprise_id}, account {self.id} “{self.name}”"


def check_tree(enterprise_id: int | None = None) -> list[str]:
    """Everything that is wrong with the tree of one enterprise, or of all; empty: nothing is."""
    with connection.cursor() as cursor:
        cursor.execute(_QUERY, {"enterprise_id": enterprise_id})
        accounts = [_Account(*row) for row in cursor.fetchall()]
    by_enterprise: dict[int, list[_Account]] = defaultdict(list)
    for account in accounts:
        by_enterprise[account.enterprise_id].append(account)
    faults: list[str] = []
    for members in by_enterprise.values():
        faults += _wrong_pointers(members)
        faults += _wrong_numbers(members)
    return faults + list(_shared_trees(accounts))


def _wrong_pointers(members: list[_Account]) -> Iterator[str]:
    """Parents of another enterprise, circles, not exactly one root, placements that say something else."""
    roots = [account for account in members if account.parent_id is None]
    if len(roots) != 1:
        yield f"enterprise {members[0].enterprise_id} has {len(roots)} root accounts instead of one"
    circles = tree.circles({account.id: account.parent_id for account in members})
    for account in members:
        if account.parent_id is not None and account.parents_enterprise_id != account.enterprise_id:
            yield f"{account} hangs below account {account.parent_id} of another enterprise"
        if account.id in circles:
            yield f"{account} hangs below itself"
        if account.open_placements != 1:
            yield f"{account} has {account.open_placements} placements that hold now instead of one"
        elif account.placed_below != account.parent_id:
            yield f"{account} is placed below {account.placed_below}, but its parent is {account.parent_id}"


def _wrong_numbers(members: list[_Account]) -> Iterator[str]:
    """Numbers that differ from those which the parent pointers give."""
    right = tree.number(tree.Node(account.id, account.parent_id, account.name) for account in members)
    tree_ids = {account.tree_id for account in members if account.parent_id is None}
    for account in members:
        has = tree.Numbers(account.lft, account.rght, account.level)
        if (should := right.get(account.id)) is None:
            yield f"{account} is not reached from the root account"
        elif has != should:
            yield (
                f"{account} has lft {has.lft}, rght {has.rght}, level {has.level}; by the parents they are "
                f"{should.lft}, {should.rght}, {should.level}"
            )
        if account.tree_id not in tree_ids:
            yield f"{account} has tree_id {account.tree_id}; its root has {sorted(tree_ids)}"


def _shared_trees(accounts: list[_Account]) -> Iterator[str]:
    """Tree ids in use by two enterprises: one would read the other's accounts through lft and rght."""
    users: dict[int, set[int]] = defaultdict(set)
    for account in accounts:
        users[account.tree_id].add(account.enterprise_id)
    for tree_id, enterprise_ids in users.items():
        if len(enterprise_ids) > 1:
            yield f"tree_id {tree_id} is shared by the enterprises {sorted(enterprise_ids)}"
