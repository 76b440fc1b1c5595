"""The account tree as one principal sees it: where they may begin, what lies above and below, what a search finds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from django.db.models import Q, QuerySet

from balances.models import Account, Enterprise, Line
from balances.scope import Scope

#: Nodes shown below one node at most; beyond that, searching is quicker than scrolling.
MOST_CHILDREN = 100
MOST_FOUND = 30


def account(scope: Scope, account_id: int) -> Account:
    """One account in reach; raises Account.DoesNotExist."""
    return Account.objects.within(scope).select_related("enterprise").get(id=account_id)


def enterprises(scope: Scope) -> QuerySet[Enterprise]:
    """The enterprises in which the principal sees anything, by name."""
    return Enterprise.objects.filter(id__in=scope.enterprise_ids()).order_by("name", "id")


def below(top: Account, prefix: str = "") -> Q:
    """A condition for rows of `top`'s subtree; `prefix` leads from the row to its account ("account__").

    Only ever used beside `.within(scope)`: a damaged tree can blur a subtree, but not open another tenant's door.
    """
    if top.parent_id is None:
        return Q(**{f"{prefix}enterprise_id": top.enterprise_id})
    return Q(
        **{
            f"{prefix}enterprise_id": top.enterprise_id,
            f"{prefix}tree_id": top.tree_id,
            f"{prefix}lft__gte": top.lft,
            f"{prefix}rght__lte": top.rght,
        }
    )


def tops(scope: Scope, enterprise_id: int) -> list[Account]:
    """Where the principal's part of a tree begins: the root, or the highest accounts in reach."""
    if enterprise_id in scope.whole_enterprise_ids():
        return list(Account.objects.within(scope).filter(enterprise_id=enterprise_id, parent__isnull=True))
    visible = scope.account_ids()
    found = Account.objects.within(scope).filter(enterprise_id=enterprise_id).exclude(parent_id__in=visible)
    return list(found.order_by("lft"))


def ancestors(scope: Scope, current: Account) -> list[Account]:
    """The accounts above `current` in reach, highest first."""
    found = Account.objects.within(scope).filter(
        enterprise_id=current.enterprise_id, tree_id=current.tree_id, lft__lt=current.lft, rght__gt=current.rght
    )
    return list(found.order_by("lft"))


def children(scope: Scope, parent: Account) -> list[Account]:
    """The open accounts directly below; one more than MOST_CHILDREN where there are more."""
    found = Account.objects.within(scope).filter(parent=parent, closed_at__isnull=True)
    return list(found.order_by("lft")[: MOST_CHILDREN + 1])


@dataclass(slots=True)
class Node:
    """An account in the navigation, with what is open below it."""

    account: Account
    level: int
    is_current: bool = False
    is_open: bool = False
    has_more: bool = False
    children: list[Node] = field(default_factory=list)

    @property
    def is_leaf(self) -> bool:
        """Whether nothing hangs below."""
        return self.account.rght - self.account.lft <= 1


def opened_to(scope: Scope, enterprise_id: int, current: Account | None) -> list[Node]:
    """The tree with the way down to `current`, and what lies directly below it, opened; three queries at most."""
    starts = tops(scope, enterprise_id)
    path = [*ancestors(scope, current), current] if current else []
    if not path and len(starts) == 1:
        path = starts
    opened = {node.id for node in path}
    by_parent: dict[int, list[Account]] = defaultdict(list)
    if opened:
        found = Account.objects.within(scope).filter(parent_id__in=opened, closed_at__isnull=True).order_by("lft")
        for child in found:
            by_parent[child.parent_id].append(child)
    return [_node(start, 1, by_parent, opened, current.id if current else None) for start in starts]


def _node(
    here: Account, level: int, by_parent: dict[int, list[Account]], opened: set[int], current_id: int | None
) -> Node:
    below_here = by_parent.get(here.id, [])
    shown = below_here[:MOST_CHILDREN]
    shown += [child for child in below_here[MOST_CHILDREN:] if child.id in opened]
    return Node(
        here,
        level,
        is_current=here.id == current_id,
        is_open=here.id in opened and bool(below_here),
        has_more=len(below_here) > len(shown),
        children=[_node(child, level + 1, by_parent, opened, current_id) for child in shown],
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What a search turned up."""

    accounts: list[Account]
    lines: list[Line]


def search(scope: Scope, enterprise_id: int, text: str) -> Found:
    """Accounts by name or code, lines by number, label or person, in reach."""
    text = text.strip()
    by_name = Account.objects.within(scope).filter(
        Q(name__icontains=text) | Q(code__istartswith=text), enterprise_id=enterprise_id, closed_at__isnull=True
    )
    lines = matching_lines(Line.objects.within(scope).filter(enterprise_id=enterprise_id), text)
    return Found(
        list(by_name.select_related("parent").order_by("level", "name")[:MOST_FOUND]),
        list(lines.select_related("person", "account").order_by("msisdn")[:MOST_FOUND]),
    )


def matching_lines(lines: QuerySet[Line], text: str) -> QuerySet[Line]:
    """Lines whose number (also with +, spaces or a leading zero), IMSI, label or person matches."""
    text = text.strip()
    digits = "".join(character for character in text if character.isdigit()).lstrip("0")
    matches = Q(label__icontains=text) | Q(person__name__icontains=text)
    if digits and not any(character.isalpha() for character in text):
        matches |= Q(msisdn__contains=digits) | Q(imsi__startswith=digits)
    return lines.filter(matches)
