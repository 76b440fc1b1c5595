"""Reads the rows of a tree file: which accounts they ask for, and everything that is wrong with them.

Owns: the checks of `hierarchy.load_tree`. Pure: no queries; the accounts that exist are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from balances import fields, tree
from balances.loading import Problems
from balances.models.accounts import AccountKind


@dataclass(frozen=True, slots=True)
class TreeRow:
    """An account to be made.

    `parent_code` is another row's or an existing account's; empty: the root account.
    """

    row: int
    code: str
    parent_code: str
    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Present:
    """An account that exists already."""

    parent_code: str | None
    is_closed: bool


def kind(value: str) -> str:
    """The kind of an account below the root; empty: a cost centre."""
    chosen = fields.choice(value, AccountKind, field="kind", default=AccountKind.COST_CENTRE)
    if chosen == AccountKind.ENTERPRISE:
        raise fields.Unreadable("Only the root account is an enterprise.", field="kind")
    return chosen


def read(rows: Sequence[TreeRow], present: Mapping[str, Present], problems: Problems) -> list[TreeRow]:
    """The rows with clean cells and no empty `parent_code`.

    Where `problems` gets any, they are not to be used.
    """
    root_code = next(code for code, account in present.items() if account.parent_code is None)
    by_code: dict[str, TreeRow] = {}
    for row in rows:
        code = problems.read(row.row, fields.code, row.code)
        name = problems.read(row.row, fields.name, row.name)
        chosen = problems.read(row.row, kind, row.kind)
        if code is None:
            continue
        if code in present:
            problems.add(row.row, "code", f"The code “{code}” is already used in this enterprise.")
        elif code in by_code:
            problems.add(row.row, "code", f"The code “{code}” stands in row {by_code[code].row} already.")
        else:
            parent_code = row.parent_code.strip() or root_code
            by_code[code] = TreeRow(row.row, code, parent_code, name or "", chosen or "")
    _check_places(by_code, present, problems)
    return list(by_code.values())


def _check_places(by_code: Mapping[str, TreeRow], present: Mapping[str, Present], problems: Problems) -> None:
    """Note rows that hang nowhere, below a closed account, below themselves, or too deep."""
    parents = {code: account.parent_code for code, account in present.items()}
    parents |= {code: row.parent_code for code, row in by_code.items()}
    levels, circles = tree.levels(parents), tree.circles(parents)
    for code, row in by_code.items():
        level = levels[code]
        if row.parent_code not in parents:
            message = f"There is no account with the code “{row.parent_code}”."
        elif row.parent_code in present and present[row.parent_code].is_closed:
            message = f"The account “{row.parent_code}” is closed."
        elif code in circles:
            message = "This account would hang below itself."
        elif level is not None and level > tree.LEVELS_MOST:
            message = f"This would be level {level}; at most {tree.LEVELS_MOST} fit below the root account."
        else:
            continue
        problems.add(row.row, "parent_code", message)
