"""The one door of tenancy: what a principal may see or do, as a value, and the querysets that honour it.

Owns: `Scope`, built only by `portal.access`, and `ScopedQuerySet.within(scope, verb)`, through which every query
of a screen, API, socket or task passes. Never decides who holds which role: that is the membership's matter.

A grant names accounts by id, expanded along parent pointers, never by MPTT bounds alone, and is always tied to
its enterprise: a damaged tree can then not open another tenant's door.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from django.apps import apps
from django.db import models
from django.db.models import Exists, OuterRef, Q


class Verb(StrEnum):
    """What can be done; the same names in screens, API scopes and tokens."""

    VIEW = "view"  # see balances, usage and charges
    MANAGE = "manage"  # run a subtree: accounts, lines, thresholds, suspense
    INGEST = "ingest"  # send usage
    ADMINISTER = "administer"  # enterprises, contracts, rates: the operator's side


@dataclass(frozen=True, slots=True)
class Grant:
    """One role on one place. `account_ids` None: the whole enterprise; `line_ids`: single lines (employees).

    `employee_ids`: as whom an employer names the principal: what happened on a line while it was that person's.
    `person_ids`: who the principal is, for what is theirs alone: nothing else opens personal usage (docs/byod.md).
    """

    enterprise_id: int
    verbs: frozenset[Verb]
    account_ids: frozenset[int] | None = None
    line_ids: frozenset[int] = frozenset()
    employee_ids: frozenset[int] = frozenset()
    person_ids: frozenset[int] = frozenset()

    @property
    def is_whole_enterprise(self) -> bool:
        return self.account_ids is None


@dataclass(frozen=True, slots=True)
class Scope:
    """All that one principal holds; empty means: sees nothing."""

    grants: tuple[Grant, ...] = ()
    operator_ids: frozenset[int] = frozenset()  # operators whose enterprises this principal may administer

    def enterprise_ids(self, verb: Verb = Verb.VIEW) -> frozenset[int]:
        """Enterprises in which the principal may do `verb` anywhere at all."""
        return frozenset(grant.enterprise_id for grant in self.grants if verb in grant.verbs)

    def whole_enterprise_ids(self, verb: Verb = Verb.VIEW) -> frozenset[int]:
        """Enterprises in which the principal may do `verb` everywhere."""
        return frozenset(g.enterprise_id for g in self.grants if verb in g.verbs and g.is_whole_enterprise)

    def account_ids(self, verb: Verb = Verb.VIEW) -> frozenset[int]:
        """Accounts of the partial grants (subtrees), beside the whole enterprises."""
        ids: set[int] = set()
        for grant in self.grants:
            if verb in grant.verbs and grant.account_ids:
                ids |= grant.account_ids
        return frozenset(ids)

    def line_ids(self, verb: Verb = Verb.VIEW) -> frozenset[int]:
        """Single lines granted to the principal as their user."""
        ids: set[int] = set()
        for grant in self.grants:
            if verb in grant.verbs:
                ids |= grant.line_ids
        return frozenset(ids)

    def employee_ids(self, verb: Verb = Verb.VIEW) -> frozenset[int]:
        """People as whom employers name the principal: what they used, as far as a company pays it."""
        ids: set[int] = set()
        for grant in self.grants:
            if verb in grant.verbs:
                ids |= grant.employee_ids
        return frozenset(ids)

    def person_ids(self, verb: Verb = Verb.VIEW) -> frozenset[int]:
        """People whom the principal is: what is personal is theirs alone."""
        ids: set[int] = set()
        for grant in self.grants:
            if verb in grant.verbs:
                ids |= grant.person_ids
        return frozenset(ids)

    def allows(self, verb: Verb, *, enterprise_id: int, account_id: int | None = None) -> bool:
        """Whether `verb` may be done in the enterprise, or on the one account where `account_id` is given."""
        return any(
            verb in grant.verbs
            and grant.enterprise_id == enterprise_id
            and (grant.account_ids is None or (account_id is not None and account_id in grant.account_ids))
            for grant in self.grants
        )

    def narrowed(self, verbs: Iterable[Verb]) -> Scope:
        """The same places with no more than `verbs`: how an API token holds less than its maker."""
        kept = frozenset(verbs)
        grants = tuple(replace(grant, verbs=grant.verbs & kept) for grant in self.grants if grant.verbs & kept)
        return Scope(grants, self.operator_ids if Verb.ADMINISTER in kept else frozenset())

    def without_people(self) -> Scope:
        """The same without what is personal to the principal."""
        return Scope(tuple(replace(grant, person_ids=frozenset()) for grant in self.grants), self.operator_ids)


class ScopedQuerySet(models.QuerySet):
    """A queryset that knows its tenancy columns; `None` for a column that the model does not have.

    `account_field` may be several: what belongs either to an account or to a line is in reach through both.
    `line_at_field`: when it happened; whose line it was then reaches it, not who has the line now.
    """

    enterprise_field: str = "enterprise_id"
    account_field: str | tuple[str, ...] | None = "account_id"
    line_field: str | None = None
    line_at_field: str | None = None

    def within(self, scope: Scope, verb: Verb = Verb.VIEW):
        """Only the rows that `scope` lets its holder do `verb` on; foreign rows are as if they did not exist."""
        reach = Q(**{f"{self.enterprise_field}__in": scope.whole_enterprise_ids(verb)})
        if self.account_field and (account_ids := scope.account_ids(verb)):
            fields = (self.account_field,) if isinstance(self.account_field, str) else self.account_field
            for field in fields:
                reach |= Q(
                    **{
                        f"{field}__in": account_ids,
                        f"{self.enterprise_field}__in": scope.enterprise_ids(verb),
                    }
                )
        if self.line_field and self.line_at_field and (user_ids := self.users(scope, verb)):
            theirs = assigned_to(user_ids, self.line_field).filter(during__contains=OuterRef(self.line_at_field))
            reach |= Q(Exists(theirs), **{f"{self.enterprise_field}__in": scope.enterprise_ids(verb)})
        elif self.line_field and not self.line_at_field and (line_ids := scope.line_ids(verb)):
            reach |= Q(
                **{
                    f"{self.line_field}__in": line_ids,
                    f"{self.enterprise_field}__in": scope.enterprise_ids(verb),
                }
            )
        return self.filter(reach)

    @staticmethod
    def users(scope: Scope, verb: Verb) -> frozenset[int]:
        """The people whose lines' past the holder of `scope` reaches."""
        return scope.employee_ids(verb)


def assigned_to(person_ids: Collection[int], line_field: str) -> models.QuerySet:
    """For `Exists`: when the line that a row names was one of these people's."""
    assignments = apps.get_model("balances", "PersonAssignment")._default_manager
    return assignments.filter(line=OuterRef(line_field), person__in=person_ids)


def scoped(
    *,
    enterprise: str = "enterprise_id",
    account: str | tuple[str, ...] | None = "account_id",
    line: str | None = None,
    line_at: str | None = None,
):
    """A manager whose querysets carry the tenancy columns of their model."""
    queryset = type(
        "ScopedQuerySet",
        (ScopedQuerySet,),
        {"enterprise_field": enterprise, "account_field": account, "line_field": line, "line_at_field": line_at},
    )
    return models.Manager.from_queryset(queryset)()


class PersonalQuerySet(models.QuerySet):
    """What belongs to one person: the wall. Only the person reaches it, and, where `operator_field` names a column, the
    operator's staff, who run personal accounts; never a manager of the enterprise.
    """

    person_field: str = "person_id"
    enterprise_field: str = "enterprise_id"
    operator_field: str | None = None

    def within(self, scope: Scope, verb: Verb = Verb.VIEW):
        """Only the rows of people whom the holder of `scope` is, and those of the operator that it administers."""
        reach = Q(
            **{
                f"{self.person_field}__in": scope.person_ids(verb),
                f"{self.enterprise_field}__in": scope.enterprise_ids(verb),
            }
        )
        if self.operator_field and scope.operator_ids:
            reach |= Q(
                **{
                    f"{self.operator_field}__in": scope.operator_ids,
                    f"{self.enterprise_field}__in": scope.whole_enterprise_ids(verb),
                }
            )
        return self.filter(reach)


def personal(*, person: str = "person_id", enterprise: str = "enterprise_id", operator: str | None = None):
    """A manager whose querysets are behind the wall."""
    queryset = type(
        "PersonalQuerySet",
        (PersonalQuerySet,),
        {"person_field": person, "enterprise_field": enterprise, "operator_field": operator},
    )
    return models.Manager.from_queryset(queryset)()
