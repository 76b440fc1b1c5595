"""The account tree: what is refused, what history says, and that it stays whole under concurrent writers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balances import hierarchy, inventory, ledger, tree
from balances.errors import Refused
from balances.hierarchy import TreeRow
from balances.models import Account, AccountPlacement, AuditEvent, Bucket, ChargingState, Enterprise, Operator
from balances.models.accounts import DrawAbove
from balances.units import Service
from tests.cast import ACTOR, MARCH, NOW, Cast

BY = {"actor": ACTOR, "at": NOW}
HOUR = timedelta(hours=1)
ID_OF = "SELECT min({}) FROM balances_account WHERE code = '{}'"


@pytest.fixture
def enterprise(db: None) -> Enterprise:
    operator = Operator.objects.create(name="Nordnetz")
    return hierarchy.create_enterprise(operator=operator, name="Aurora AG", number="A-1", **BY)


def root_of(enterprise: Enterprise) -> Account:
    return Account.objects.get(enterprise=enterprise, parent__isnull=True)


def add(parent: Account, code: str, **more: Any) -> Account:
    return hierarchy.add_account(parent=parent, code=code, name=more.pop("name", code), kind="", **more, **BY)


def load(enterprise: Enterprise, *cells: tuple[str, ...]) -> Any:
    rows = [TreeRow(number, *row) for number, row in enumerate(cells, start=2)]
    return hierarchy.load_tree(enterprise=enterprise, rows=rows, **BY)


def placements(account: Account) -> list[tuple[int | None, Any, Any]]:
    rows = AccountPlacement.objects.filter(account=account).order_by("during")
    return [(row.parent_id, row.during.lower, row.during.upper) for row in rows]


class TestEnterprise:
    def test_begins_with_a_root_account_and_charging_state(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        assert (root.code, root.name, root.level) == ("A-1", "Aurora AG", 0)
        assert ChargingState.objects.filter(enterprise=enterprise).exists()
        assert placements(root) == [(None, None, None)]
        assert AuditEvent.objects.get(enterprise=enterprise).action == "enterprise.created"

    def test_keeps_its_number_for_itself(self, enterprise: Enterprise) -> None:
        with pytest.raises(hierarchy.AlreadyUsed) as refusal:
            hierarchy.create_enterprise(operator=enterprise.operator, name="Other", number=" A-1 ", **BY)
        assert refusal.value.field == "number"

    def test_leaves_the_trees_of_others_alone(self, enterprise: Enterprise) -> None:
        before = list(Account.objects.values())
        state = ChargingState.objects.get(enterprise=enterprise).configuration_version
        hierarchy.create_enterprise(operator=enterprise.operator, name="Aaa before", number="A-0", **BY)
        assert list(Account.objects.filter(enterprise=enterprise).values()) == before
        assert ChargingState.objects.get(enterprise=enterprise).configuration_version == state


class TestOneAccount:
    def test_hangs_between_its_siblings_by_name(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        for name in ("Berlin", "Aachen", "Coburg", "Bonn"):
            add(root, name)
        root.refresh_from_db()
        assert [account.name for account in root.get_children()] == ["Aachen", "Berlin", "Bonn", "Coburg"]
        assert hierarchy.check_tree() == []

    @pytest.mark.parametrize(
        ("cells", "field"),
        [
            ({"code": "A-1"}, "code"),
            ({"code": " "}, "code"),
            ({"code": "x" * 41}, "code"),
            ({"name": "two\nlines"}, "name"),
            ({"kind": "enterprise"}, "kind"),
            ({"kind": "planet"}, "kind"),
            ({"draw_above": "sometimes"}, "draw_above"),
        ],
    )
    def test_is_refused_by_field(self, enterprise: Enterprise, cells: dict[str, str], field: str) -> None:
        with pytest.raises(Refused) as refusal:
            hierarchy.add_account(
                parent=root_of(enterprise), **{"code": "N", "name": "North", "kind": "group", **cells}, **BY
            )
        assert refusal.value.field == field
        assert Account.objects.count() == 1

    def test_hangs_at_most_twelve_levels_below_the_root(self, enterprise: Enterprise) -> None:
        parent = root_of(enterprise)
        for level in range(1, tree.LEVELS_MOST + 1):
            parent = add(parent, f"L{level}")
        assert parent.level == 12
        with pytest.raises(hierarchy.TreeTooLarge):
            add(parent, "L13")

    def test_renamed_takes_its_new_place_and_the_root_renames_the_enterprise(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        first = add(root, "A")
        add(root, "B")
        hierarchy.rename_account(account=first, name="Z", **BY)
        hierarchy.rename_account(account=root, name="Aurora SE", **BY)
        assert [account.name for account in Account.objects.all()] == ["Aurora SE", "B", "Z"]
        enterprise.refresh_from_db()
        assert enterprise.name == "Aurora SE"
        assert hierarchy.check_tree() == []

    def test_says_whether_it_draws_above(self, enterprise: Enterprise) -> None:
        account = add(root_of(enterprise), "A")
        changed = hierarchy.set_draw_above(account=account, draw_above="never", **BY)
        assert changed.draw_above == DrawAbove.NEVER
        assert AuditEvent.objects.filter(action="account.draw_above_set").count() == 1

    def test_raises_the_configuration_version(self, enterprise: Enterprise) -> None:
        before = ChargingState.objects.get().configuration_version
        add(root_of(enterprise), "A")
        assert ChargingState.objects.get().configuration_version > before


class TestMove:
    def test_ends_one_placement_and_begins_another(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        north, south = add(root, "N"), add(root, "S")
        team = add(north, "T")
        add(team, "TT")
        moved = hierarchy.move_account(account=team, new_parent=south, **BY)
        assert moved.parent_id == south.id
        assert placements(team) == [(north.id, None, NOW), (south.id, NOW, None)]
        south.refresh_from_db()
        assert [account.code for account in south.get_descendants()] == ["T", "TT"]
        assert hierarchy.check_tree() == []

    def test_twice_at_one_instant_keeps_the_later_word(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        north, south, team = add(root, "N"), add(root, "S"), add(root, "T")
        hierarchy.move_account(account=team, new_parent=south, **BY)
        hierarchy.move_account(account=team, new_parent=north, **BY)
        assert placements(team) == [(root.id, None, NOW), (north.id, NOW, None)]
        assert hierarchy.check_tree() == []

    def test_is_refused_into_itself_before_its_last_move_and_for_the_root(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        north, south = add(root, "N"), add(root, "S")
        team = add(north, "T")
        for account, parent in ((north, team), (north, north), (root, team)):
            with pytest.raises(hierarchy.MoveRefused):
                hierarchy.move_account(account=account, new_parent=parent, **BY)
        hierarchy.move_account(account=team, new_parent=south, **BY)
        with pytest.raises(hierarchy.MoveRefused) as refusal:
            hierarchy.move_account(account=team, new_parent=root, actor=ACTOR, at=NOW - HOUR)
        assert refusal.value.field == "at"

    def test_is_refused_where_history_would_go_round_in_a_circle(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        upper, lower = add(root, "U"), add(root, "L")
        hierarchy.move_account(account=lower, new_parent=upper, **BY)
        hierarchy.move_account(account=lower, new_parent=root, actor=ACTOR, at=NOW + 2 * HOUR)
        with pytest.raises(hierarchy.MoveRefused) as refusal:
            hierarchy.move_account(account=upper, new_parent=lower, actor=ACTOR, at=NOW + HOUR)
        assert refusal.value.field == "at"
        hierarchy.move_account(account=upper, new_parent=lower, actor=ACTOR, at=NOW + 2 * HOUR)
        assert hierarchy.check_tree() == []

    def test_is_refused_into_another_enterprise(self, cast: Cast) -> None:
        with pytest.raises(hierarchy.MoveRefused):
            hierarchy.move_account(
                account=cast.aurora.accounts["NORTH"], new_parent=cast.borealis.accounts["EAST"], **BY
            )

    def test_counts_the_levels_of_what_comes_along(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        deep = root
        for level in range(1, 12):
            deep = add(deep, f"L{level}")
        pair = add(root, "P")
        add(pair, "PP")
        with pytest.raises(hierarchy.TreeTooLarge):
            hierarchy.move_account(account=pair, new_parent=deep, **BY)

    def test_works_on_what_is_there_now_not_on_what_the_caller_remembers(self, enterprise: Enterprise) -> None:
        root = root_of(enterprise)
        north, south = add(root, "N"), add(root, "S")
        team = add(north, "T")
        stale_north, stale_team = Account.objects.get(id=north.id), Account.objects.get(id=team.id)
        for code in ("A", "B", "C"):
            add(south, code)
        hierarchy.move_account(account=north, new_parent=south, **BY)
        hierarchy.move_account(account=stale_team, new_parent=root, **BY)
        add(stale_north, "NN")
        assert hierarchy.check_tree() == []


class TestClose:
    def test_is_refused_while_anything_hangs_there(self, cast: Cast) -> None:
        north, field = cast.aurora.accounts["NORTH"], cast.aurora.accounts["N-FIELD"]
        with pytest.raises(hierarchy.StillInUse, match="2 open accounts below it"):
            hierarchy.close_account(account=north, **BY)
        with pytest.raises(hierarchy.StillInUse, match="2 lines in service"):
            hierarchy.close_account(account=field, **BY)
        with pytest.raises(hierarchy.StillInUse, match="root"):
            hierarchy.close_account(account=cast.aurora.root, **BY)

    def test_is_refused_while_units_are_left(self, cast: Cast) -> None:
        empty = add(cast.aurora.root, "EMPTY")
        bucket = Bucket.objects.get(enterprise=cast.aurora.enterprise, service=Service.VOICE, cycle_start=MARCH)
        ledger.allocate(bucket_id=bucket.id, account_id=empty.id, units=10, **BY)
        with pytest.raises(hierarchy.StillInUse, match="1 bucket with units"):
            hierarchy.close_account(account=empty, **BY)

    def test_lets_go_once_all_is_gone_and_takes_nothing_new(self, cast: Cast) -> None:
        service = cast.aurora.accounts["N-SERVICE"]
        inventory.assign_line(line=cast.aurora.lines["service van"], account=cast.aurora.root, from_at=NOW, **BY)
        closed = hierarchy.close_account(account=service, **BY)
        assert closed.closed_at == NOW
        with pytest.raises(hierarchy.NotInTree):
            add(closed, "NEW")
        with pytest.raises(inventory.NotFound):
            inventory.assign_line(line=cast.aurora.lines["service van"], account=closed, from_at=NOW + HOUR, **BY)


class TestLoad:
    def test_takes_rows_in_any_order_below_rows_and_accounts(self, enterprise: Enterprise) -> None:
        add(root_of(enterprise), "OLD")
        result = load(
            enterprise,
            ("C", "B", "Third", "Group"),
            ("B", "A", "Second", "Cost centre"),
            ("D", "OLD", "Below an old one", ""),
            ("A", "", "First", "division"),
        )
        assert (result.created, result.errors) == (4, [])
        levels = dict(Account.objects.filter(enterprise=enterprise).values_list("code", "level"))
        assert levels == {"A-1": 0, "OLD": 1, "A": 1, "B": 2, "C": 3, "D": 2}
        assert hierarchy.check_tree() == []

    def test_reports_every_problem_and_makes_nothing(self, enterprise: Enterprise) -> None:
        result = load(
            enterprise,
            ("A", "", "Fine"),
            ("A", "", "Twice"),
            ("B", "NOWHERE", "No parent"),
            ("A-1", "", "Taken"),
            ("", "", ""),
            ("X", "Y", "Circle"),
            ("Y", "X", "Circle"),
            ("Z", "Y", "Below a circle"),
            ("S", "S", "Its own parent"),
            ("K", "", "x" * 121, "planet"),
        )
        assert result.created == 0
        assert [(error.row, error.column) for error in result.errors] == [
            (3, "code"),
            (4, "parent_code"),
            (5, "code"),
            (6, "code"),
            (6, "name"),
            (7, "parent_code"),
            (8, "parent_code"),
            (10, "parent_code"),
            (11, "kind"),
            (11, "name"),
        ]
        assert Account.objects.count() == 1

    def test_reports_what_hangs_too_deep_or_below_a_closed_account(self, enterprise: Enterprise) -> None:
        closed = hierarchy.close_account(account=add(root_of(enterprise), "SHUT"), **BY)
        chain = [(f"L{n}", f"L{n - 1}" if n > 1 else "", f"Level {n}") for n in range(1, 15)]
        result = load(enterprise, *chain, ("UNDER", closed.code, "Below closed"))
        assert [(error.row, error.column) for error in result.errors] == [
            (14, "parent_code"),
            (15, "parent_code"),
            (16, "parent_code"),
        ]

    def test_makes_two_thousand_accounts_with_few_queries(
        self, enterprise: Enterprise, django_assert_max_num_queries: Callable[..., Any]
    ) -> None:
        cells = [(f"K{n}", f"K{n // 4}" if n >= 4 else "", f"Cost centre {n:04}") for n in range(1, 2001)]
        Random(7).shuffle(cells)
        with django_assert_max_num_queries(16):
            assert load(enterprise, *cells).created == 2000
        assert hierarchy.check_tree() == []
        root = root_of(enterprise)
        assert (root.lft, root.rght) == (1, 4002)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_agrees_with_a_dictionary_of_parents(self, enterprise: Enterprise, data: st.DataObject) -> None:
        """Random loads and moves against the plainest model there is: code -> parent's code."""
        with transaction.atomic():
            model = self._loaded(enterprise, data)
            for step in range(data.draw(st.integers(0, 6))):
                self._moved(enterprise, model, data, NOW + step * HOUR)
            stored = Account.objects.filter(enterprise=enterprise)
            assert {a.code: a.parent.code if a.parent else None for a in stored.select_related("parent")} == model
            assert hierarchy.check_tree() == []
            for account in stored:
                below = {a.code for a in account.get_descendants()}
                assert below == {c for c in model if account.code in tree.ancestors(model, c)}
            transaction.set_rollback(True)

    @staticmethod
    def _loaded(enterprise: Enterprise, data: st.DataObject) -> dict[str, str | None]:
        count = data.draw(st.integers(1, 14))
        codes = [f"K{n}" for n in range(count)]
        wanted: dict[str, str | None] = {code: data.draw(st.sampled_from(["A-1", *codes])) for code in codes}
        order = data.draw(st.permutations(codes))
        names = st.sampled_from(["Amber", "amber", "Ärger", "Zinc"])
        result = load(enterprise, *((code, wanted[code] or "", data.draw(names)) for code in order))
        model: dict[str, str | None] = {"A-1": None, **wanted}
        sound = all(tree.ancestors(model, code)[-1:] == ["A-1"] for code in codes)
        deep = any(len(tree.ancestors(model, code)) > tree.LEVELS_MOST for code in codes)
        assert bool(result.errors) == (not sound or deep)
        return {"A-1": None} if result.errors else model

    @staticmethod
    def _moved(enterprise: Enterprise, model: dict[str, str | None], data: st.DataObject, at: Any) -> None:
        code, target = (data.draw(st.sampled_from(sorted(model))) for _ in range(2))
        mine = Account.objects.filter(enterprise=enterprise)
        account, parent = mine.get(code=code), mine.get(code=target)
        depth = len(tree.ancestors(model, target)) + 1 + tree.height(model, code)
        wrong = code == "A-1" or code == target or code in tree.ancestors(model, target)
        if wrong or depth > tree.LEVELS_MOST:
            with pytest.raises(Refused):
                hierarchy.move_account(account=account, new_parent=parent, actor=ACTOR, at=at)
        else:
            hierarchy.move_account(account=account, new_parent=parent, actor=ACTOR, at=at)
            model[code] = target


class TestCheck:
    @pytest.mark.parametrize(
        ("table", "change", "code", "words"),
        [
            ("account", "lft = lft + 1", "N-SALES", "has lft"),
            ("account", "level = 7", "S-PLANT", "level 7"),
            ("account", f"tree_id = ({ID_OF.format('tree_id', 'E-LAB')})", "N-FIELD", "is shared by"),
            ("account", f"parent_id = ({ID_OF.format('id', 'S-MACHINES')})", "SOUTH", "hangs below itself"),
            ("account", f"parent_id = ({ID_OF.format('id', 'E-LAB')})", "S-PLANT", "of another enterprise"),
            ("accountplacement", "during = '(,2026-01-01)'", "S-PLANT", "0 placements"),
            ("accountplacement", f"parent_id = ({ID_OF.format('id', 'NORTH')})", "S-PLANT", "is placed below"),
        ],
    )
    def test_finds_damage(self, cast: Cast, table: str, change: str, code: str, words: str) -> None:
        assert hierarchy.check_tree() == []
        with connection.cursor() as cursor:
            key = "id" if table == "account" else "account_id"
            cursor.execute(f"UPDATE balances_{table} SET {change} WHERE {key} = ({ID_OF.format('id', code)})")
            assert cursor.rowcount == 1
        faults = hierarchy.check_tree()
        assert any(words in fault for fault in faults), faults
        with pytest.raises(CommandError):
            call_command("check_tree")

    def test_says_so_when_all_is_well(self, cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("check_tree", enterprise=cast.aurora.enterprise.id)
        assert "sound" in capsys.readouterr().out


WRITERS, ACTS = 8, 12
ROUNDS = 10  # of the control: damage is a matter of chance, and of how busy the machine is


def _in_threads(work: Callable[[int], None]) -> None:
    """Run `work(number)` in eight threads at once, each with a database connection of its own."""

    def run(number: int) -> None:
        try:
            work(number)
        finally:
            connection.close()

    connection.close()  # the pool has one for each writer, and none to spare
    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(run, number) for number in range(WRITERS)]:
            done.result(timeout=90)


@pytest.mark.django_db(transaction=True)
class TestConcurrentWriters:
    @pytest.fixture
    def enterprise(self) -> Enterprise:
        operator = Operator.objects.create(name="Nordnetz")
        enterprise = hierarchy.create_enterprise(operator=operator, name="Aurora", number="A-1", **BY)
        load(enterprise, *((f"K{n}", f"K{n // 3}" if n >= 3 else "", f"Cost centre {n}") for n in range(1, 41)))
        return enterprise

    def test_leave_the_tree_whole(self, enterprise: Enterprise) -> None:
        def work(number: int) -> None:
            random = Random(number)
            for act in range(ACTS):
                accounts = list(Account.objects.filter(enterprise=enterprise))
                account, parent = random.sample(accounts, 2)
                try:
                    if act % 3:
                        hierarchy.move_account(account=account, new_parent=parent, actor=ACTOR, at=NOW + act * HOUR)
                    else:
                        add(parent, f"T{number}-{act}")
                except (hierarchy.MoveRefused, hierarchy.TreeTooLarge):
                    pass

        _in_threads(work)
        assert hierarchy.check_tree() == []
        assert AuditEvent.objects.filter(action="account.moved").count() > WRITERS
        assert Account.objects.count() == AuditEvent.objects.filter(action="account.added").count() + 41

    def test_would_break_it_without_the_lock(self, enterprise: Enterprise, monkeypatch: pytest.MonkeyPatch) -> None:
        """The control: the same work must leave damage when nothing serialises it, sooner or later."""
        monkeypatch.setattr(hierarchy.locks, "enterprise", lambda _: transaction.atomic())
        accounts = list(Account.objects.filter(enterprise=enterprise, level=3))
        numbers = count()

        def work(number: int) -> None:
            for _ in range(ACTS):
                try:
                    add(accounts[number % len(accounts)], f"T{next(numbers)}")
                except Exception:  # deadlocks and the like are the point
                    connection.close()

        for _ in range(ROUNDS):
            _in_threads(work)
            if hierarchy.check_tree():
                return
        pytest.fail("The tree stayed whole without its lock: the test beside this one proves nothing.")

    def test_never_give_two_enterprises_one_tree(self, enterprise: Enterprise) -> None:
        def work(number: int) -> None:
            for act in range(3):
                hierarchy.create_enterprise(
                    operator=enterprise.operator, name=f"E{number}", number=f"E{number}-{act}", **BY
                )

        _in_threads(work)
        assert Enterprise.objects.count() == 1 + WRITERS * 3
        assert hierarchy.check_tree() == []


def test_placement_of_two_places_at_once_is_refused_by_the_database(enterprise: Enterprise) -> None:
    account = add(root_of(enterprise), "A")
    with pytest.raises(IntegrityError, match="account_placement_no_overlap"):
        AccountPlacement.objects.create(
            account=account,
            parent=account.parent,
            enterprise=enterprise,
            during=DateTimeTZRange(NOW, NOW + HOUR),
        )
