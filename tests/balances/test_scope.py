"""The door of tenancy: who sees which rows, for every member of the cast and every table that has an owner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from django.utils import timezone

from balances import hierarchy, inventory
from balances.models import (
    Account,
    Allowance,
    Bucket,
    Contract,
    Device,
    Enterprise,
    Line,
    LineAssignment,
    NumberAssignment,
    Person,
    Rate,
    Threshold,
    Zone,
)
from balances.scope import Grant, Scope, ScopedQuerySet, Verb
from portal.access import scope_of, scope_of_token
from portal.models import Membership
from tests.cast import ACTOR, NOW, Cast, issue_token

BY = {"actor": ACTOR, "at": NOW}
NORTH = {"NORTH", "N-SALES", "N-FIELD", "N-SERVICE"}
SOUTH = {"SOUTH", "S-PLANT", "S-MACHINES"}


def accounts(scope: Scope, verb: Verb = Verb.VIEW) -> set[tuple[str, str]]:
    """(enterprise's number, account's code) of all that the scope reaches."""
    seen = Account.objects.within(scope, verb)
    return set(seen.values_list("enterprise__number", "code"))


def lines(scope: Scope, verb: Verb = Verb.VIEW) -> set[str]:
    return set(Line.objects.within(scope, verb).values_list("label", flat=True))


def aurora(codes: set[str]) -> set[tuple[str, str]]:
    return {("A-1000", code) for code in codes}


class TestCastSees:
    def test_owner_their_enterprise_whole(self, cast: Cast) -> None:
        scope = scope_of(cast.alice)
        assert accounts(scope) == aurora(NORTH | SOUTH | {"A-1000"})
        assert accounts(scope, Verb.ADMINISTER) == set()
        assert lines(scope) == set(cast.aurora.lines)

    def test_manager_their_subtree_to_manage(self, cast: Cast) -> None:
        scope = scope_of(cast.carla)
        assert accounts(scope) == accounts(scope, Verb.MANAGE) == aurora(NORTH)
        assert lines(scope) == {"emil phone", "emil tablet", "service van"}
        assert list(Enterprise.objects.within(scope)) == []

    def test_observer_their_subtree_to_look_at(self, cast: Cast) -> None:
        scope = scope_of(cast.dora)
        assert accounts(scope) == aurora(SOUTH)
        assert accounts(scope, Verb.MANAGE) == set()

    def test_employee_their_own_lines_and_no_account(self, cast: Cast) -> None:
        scope = scope_of(cast.emil)
        assert accounts(scope) == set()
        assert lines(scope) == {"emil phone", "emil tablet"}
        assert NumberAssignment.objects.within(scope).count() == 4
        assert LineAssignment.objects.within(scope).count() == 2
        assert not Device.objects.within(scope).exists()
        assert not Person.objects.within(scope).exists()

    def test_operator_account_manager_their_enterprises(self, cast: Cast) -> None:
        scope = scope_of(cast.olga)
        assert set(Enterprise.objects.within(scope, Verb.ADMINISTER)) == {
            cast.aurora.enterprise,
            cast.borealis.enterprise,
        }
        assert scope.operator_ids == {cast.operator.id}

    def test_outsider_and_stranger_nothing_at_all(self, cast: Cast) -> None:
        for user in (cast.mallory, AnonymousUser()):
            scope = scope_of(user)  # type: ignore[arg-type]
            assert scope == Scope()
            for model in _scoped_models():
                assert not model.objects.within(scope).exists(), model  # type: ignore[attr-defined]

    def test_nobody_the_other_enterprise(self, cast: Cast) -> None:
        for user in (cast.alice, cast.carla, cast.dora, cast.emil):
            scope = scope_of(user)
            for model in _scoped_models():
                field = model.objects.all().enterprise_field if model is not Zone else None  # type: ignore[attr-defined]
                if field:
                    seen = model.objects.within(scope).values_list(field, flat=True)  # type: ignore[attr-defined]
                    assert set(seen) <= {cast.aurora.enterprise.id}, (user, model)

    def test_zones_and_terms_those_who_have_a_contract_with_the_operator(self, cast: Cast) -> None:
        assert Zone.objects.within(scope_of(cast.alice)).count() == 3
        assert Zone.objects.within(scope_of(cast.mallory)).count() == 0
        owner = scope_of(cast.alice)
        for model in (Contract, Allowance, Rate, Bucket, Threshold):
            assert model.objects.within(owner).exists()


def _scoped_models() -> list[type[Model]]:
    """Every model of ours whose manager has the door, but for unmanaged tables (they have no rows here)."""
    ours = [model for label in ("balances", "portal") for model in apps.get_app_config(label).get_models()]
    found: list[Any] = [m for m in ours if hasattr(m._default_manager.all(), "within") and m._meta.managed]
    assert len(found) > 20
    return found


class TestScopeFollowsChange:
    def test_a_move_takes_the_subtree_along(self, cast: Cast) -> None:
        sales, south = cast.aurora.accounts["N-SALES"], cast.aurora.accounts["SOUTH"]
        hierarchy.move_account(account=sales, new_parent=south, **BY)
        assert accounts(scope_of(cast.carla)) == aurora({"NORTH", "N-SERVICE"})
        assert accounts(scope_of(cast.dora)) == aurora(SOUTH | {"N-SALES", "N-FIELD"})
        assert lines(scope_of(cast.dora)) >= {"emil phone"}

    def test_a_line_is_seen_where_it_belongs_now(self, cast: Cast) -> None:
        van = cast.aurora.lines["service van"]
        inventory.assign_line(line=van, account=cast.aurora.accounts["S-PLANT"], from_at=NOW, **BY)
        assert "service van" not in lines(scope_of(cast.carla))
        assert "service van" in lines(scope_of(cast.dora))

    def test_a_membership_that_ran_out_opens_nothing(self, cast: Cast) -> None:
        Membership.objects.filter(user=cast.carla).update(valid_until=timezone.now() - timedelta(seconds=1))
        assert scope_of(cast.carla) == Scope()

    def test_damaged_tree_numbers_open_no_other_door(self, cast: Cast) -> None:
        root = cast.borealis.root
        Account.objects.filter(enterprise=cast.aurora.enterprise).update(tree_id=root.tree_id + 1000)
        Account.objects.filter(id=cast.aurora.accounts["NORTH"].id).update(tree_id=root.tree_id, lft=1, rght=10_000)
        assert accounts(scope_of(cast.carla)) == aurora(NORTH)


class TestNarrowing:
    def test_a_token_holds_what_it_was_given_and_its_maker_still_holds(self, cast: Cast) -> None:
        token, _ = issue_token(cast, cast.alice, Verb.VIEW, enterprise=cast.aurora.enterprise)
        scope = scope_of_token(token)
        assert accounts(scope) == aurora(NORTH | SOUTH | {"A-1000"})
        assert accounts(scope, Verb.MANAGE) == set()
        Membership.objects.filter(user=cast.alice).delete()
        assert scope_of_token(token) == Scope()

    def test_a_token_of_a_subtree_is_no_wider_than_it(self, cast: Cast) -> None:
        field = cast.aurora.accounts["N-FIELD"]
        token, _ = issue_token(cast, cast.carla, enterprise=cast.aurora.enterprise, account=field)
        assert accounts(scope_of_token(token)) == aurora({"N-FIELD"})
        wide, _ = issue_token(cast, cast.carla, enterprise=cast.aurora.enterprise)
        assert accounts(scope_of_token(wide)) == aurora(NORTH)

    def test_a_token_of_one_enterprise_does_not_reach_the_makers_others(self, cast: Cast) -> None:
        token, _ = issue_token(cast, cast.olga, Verb.ADMINISTER, enterprise=cast.aurora.enterprise)
        assert set(Enterprise.objects.within(scope_of_token(token), Verb.ADMINISTER)) == {cast.aurora.enterprise}

    def test_allows_says_the_same_as_the_queryset(self, cast: Cast) -> None:
        everyone = list(Account.objects.all())
        for user in cast.users.values():
            scope = scope_of(user)
            for verb in Verb:
                seen = set(Account.objects.within(scope, verb))
                allowed = {
                    account
                    for account in everyone
                    if scope.allows(verb, enterprise_id=account.enterprise_id, account_id=account.id)
                }
                assert seen == allowed, (user, verb)


def test_partial_grants_of_two_enterprises_do_not_mix(cast: Cast) -> None:
    """A verb held in one enterprise says nothing about accounts held in another."""
    north, lab = cast.aurora.accounts["NORTH"], cast.borealis.accounts["E-LAB"]
    scope = Scope(
        (
            Grant(cast.aurora.enterprise.id, frozenset({Verb.VIEW, Verb.MANAGE}), frozenset({north.id})),
            Grant(cast.borealis.enterprise.id, frozenset({Verb.VIEW}), frozenset({lab.id})),
        )
    )
    assert accounts(scope, Verb.MANAGE) == {("A-1000", "NORTH")}
    assert accounts(scope) == {("A-1000", "NORTH"), ("B-2000", "E-LAB")}


def test_the_check_above_can_fail(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with the filter taken out, the outsider sees rows."""
    monkeypatch.setattr(ScopedQuerySet, "within", lambda queryset, *_: queryset.all())
    assert accounts(scope_of(cast.mallory))
