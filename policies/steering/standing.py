"""Who pays at an account: the rules that hold there, in the order in which they are asked, each with where it stands.

Reads only. The order is that of docs/byod.md: first the rules that are fixed, from the root down; then the others, from
the account up. The nearest default decides where none matches, the nearest word on what is missing where nobody pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from balances.models import Account
from policies.conditions import Catalogue
from policies.models import PolicyState, SteeringVersion
from policies.steering.loading import catalogue_of, terms_of
from policies.steering.rules import COMPANY_PAYS, REFUSE, Missing, Parts, SteeringRule, Terms


@dataclass(frozen=True, slots=True)
class Held:
    """A rule where it stands; `number` counts from 1 in its version."""

    account: Account
    version: SteeringVersion
    number: int
    rule: SteeringRule


@dataclass(frozen=True, slots=True)
class Along:
    """What holds at an account. `default_of`, `missing_of`: the versions that say so; None: nobody does."""

    rules: tuple[Held, ...] = ()
    default: Parts = COMPANY_PAYS
    default_of: SteeringVersion | None = None
    missing: Missing = REFUSE
    missing_of: SteeringVersion | None = None


def inherited(
    account: Account, at: datetime, *, instead: SteeringVersion | None = None, catalogue: Catalogue | None = None
) -> Along:
    """What holds at an account for usage of a time, by the tree as it is now. `instead`: a version of this account or
    of one above that is asked in place of what holds there."""
    catalogue = catalogue or catalogue_of(account.enterprise_id)
    by_account = in_force(account.enterprise_id, at, list(_path(account)))
    if instead is not None:
        by_account[instead.steering.account_id] = instead
    return along(list(_path(account).values()), by_account, catalogue)


def along(path: list[Account], by_account: dict[int, SteeringVersion], catalogue: Catalogue) -> Along:
    """What versions say along a path of accounts, the root first."""
    said: list[tuple[Account, SteeringVersion, Terms]] = [
        (account, version, terms_of(version, catalogue))
        for account in path
        if (version := by_account.get(account.id)) is not None
    ]
    held = [
        [Held(account, version, number, rule) for number, rule in enumerate(terms.rules, start=1)]
        for account, version, terms in said
    ]
    fixed = [one for rules in held for one in rules if one.rule.is_fixed]
    others = [one for rules in reversed(held) for one in rules if not one.rule.is_fixed]
    nearest = list(reversed(said))
    default = next(((terms.default, version) for _, version, terms in nearest if terms.default), (COMPANY_PAYS, None))
    missing = next(((terms.missing, version) for _, version, terms in nearest if terms.missing), (REFUSE, None))
    return Along((*fixed, *others), *default, *missing)


def in_force(enterprise_id: int, at: datetime, account_ids: list[int] | None = None) -> dict[int, SteeringVersion]:
    """The versions that hold for usage of a time, by account; of all accounts unless told."""
    rows = SteeringVersion.objects.exclude(state=PolicyState.DRAFT).filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=at), enterprise_id=enterprise_id, effective_at__lte=at
    )
    if account_ids is not None:
        rows = rows.filter(steering__account_id__in=account_ids)
    return {row.steering.account_id: row for row in rows.select_related("steering__account")}


def _path(account: Account) -> dict[int, Account]:
    """The accounts from the root down to one, by id."""
    above = account.get_ancestors(include_self=True).filter(enterprise_id=account.enterprise_id)
    return {one.id: one for one in above}
