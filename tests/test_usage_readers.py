"""Who reads usage, charge lines and counters at all, and that each of them knows of the wall (docs/byod.md).

The sources are read: every statement of SQL over these tables, and every query of the ORM that does not go through
`.within(scope)`, stands in a table below with the reason why nobody sees personal usage through it. A new one fails
until somebody has thought about it; one that is gone does, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLES = re.compile(r"balances_(usagerecord|chargeline|counter)\b")
MODELS = {"UsageRecord", "ChargeLine", "Counter"}
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

PAYER = "names the payer"
WRITES = "writes what was charged"
PROOF = "an identity of check_ledger, which tells ids and sums to the operator's staff at their own machine"

#: Statements of SQL: file and where in it -> why it is no hole in the wall.
SQL = {
    ("balances/draw_caps.py", "_DRAWN"): PAYER,
    ("balances/draw_caps.py", "_OF_LINE"): "a condition within _DRAWN",
    ("balances/draw_caps.py", "_with_usage"): PAYER,
    ("balances/personal_proof.py", "CHECKS"): PROOF,
    ("balances/proof.py", "CHECKS"): PROOF,
    ("balances/proof.py", "_COUNTED"): PROOF,
    ("balances/selectors/charges.py", "latest_below"): PAYER,
    ("policies/counting.py", "MATCHED"): PAYER,
    ("policies/proof.py", "CHECKS"): PAYER,
    ("policies/replaying.py", "_STRETCHES"): PAYER,
    ("policies/steering/proof.py", "CHECKS"): PROOF,
    ("policies/steering/proof.py", "_LINES"): PROOF,
    ("policies/steering/replaying.py", "_ROWS"): "decides again who pays, of both legs; its report has no event",
    ("portal/charging/state.py", "EnterpriseState._load_meters"): PAYER,
    (
        "portal/charging/steering.py",
        "Steering._so_far",
    ): "rules ask for all that a line used, and are answered yes or no",
    ("portal/charging/writing.py", "write"): WRITES,
    ("portal/charging/writing.py", "_RAISE_COUNTERS"): WRITES,
    ("portal/notices/watch.py", "_NEWS"): PAYER,
}
CORRECTS = "gives back what a person objected to, in the person's name"
OF_SHOWN = "the charge lines of records that came through the wall"
#: Queries of the ORM past `.within`.
QUERIES = {
    ("balances/allocation.py", "usage_before"): PAYER,
    ("balances/draw_caps.py", "_begin_counts"): PAYER,
    ("balances/personal_corrections.py", "personal_stretches"): CORRECTS,
    ("balances/personal_corrections.py", "personal_units"): CORRECTS,
    ("balances/personal_corrections.py", "take_back"): CORRECTS,
    ("balances/selectors/charges.py", "_with_amounts"): OF_SHOWN,
    ("balances/selectors/charges.py", "explain"): OF_SHOWN,
    ("balances/selectors/mine.py", "_lines_of"): OF_SHOWN,
    ("balances/selectors/ranking.py", "counters_of_line"): PAYER,
    ("balances/selectors/rebalancing.py", "_demand"): PAYER,
    ("balances/selectors/refused.py", "latest"): OF_SHOWN,
    (
        "balances/selectors/personal.py",
        "_Whole._of",
    ): "coarse totals of cycles that are over (tests/test_personal_totals.py)",
    ("policies/counting.py", "_used_by_counters"): PAYER,
    ("policies/replaying.py", "count"): PAYER,
    ("policies/steering/replaying.py", "count"): PAYER,
    ("portal/api/me.py", "Me"): "none; it has no rows of its own",
    ("portal/api/personal_totals.py", "PersonalTotals"): "none; it has no rows of its own",
    ("portal/api/usage.py", "Counters"): "narrowed by Endpoint.get_queryset",
    ("portal/api/usage.py", "UsageRecords"): "narrowed by Endpoint.get_queryset",
    ("portal/contests.py", "_disclosed"): "what the person themselves chose to show",
    ("portal/contests.py", "_send"): CORRECTS,
    ("portal/contests.py", "complete"): CORRECTS,
    ("portal/demo/controls.py", "Controls._data_of"): PAYER,
    ("portal/demo/people.py", "_charged"): "the demo's build chooses what its employee objects to; nobody reads it",
    ("portal/notices/facts.py", "_outlook"): PAYER,
    ("portal/notices/forecast.py", "_of_lines"): PAYER,
}


@cache
def sources() -> dict[str, ast.Module]:
    """The modules of the product, but for migrations and the tables themselves."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for room in ("balances", "policies", "portal")
        for path in sorted((ROOT / room).rglob("*.py"))
        if "migrations" not in path.parts and path != ROOT / "balances/models/usage.py"
    }


def places(node: ast.AST, where: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node below with where it stands: the function with its class, or the constant of the module."""
    for child in ast.iter_child_nodes(node):
        here = where
        if isinstance(child, _DEFINITIONS):
            here = f"{where}.{child.name}".lstrip(".")
        elif not where and isinstance(child, ast.Assign | ast.AnnAssign):
            here = ast.unparse(child.targets[0] if isinstance(child, ast.Assign) else child.target)
        yield here, child
        yield from places(child, here)


def sql() -> dict[tuple[str, str], str]:
    """Where SQL names one of the tables, with the texts of the whole place."""
    found: dict[tuple[str, str], str] = {}
    for file, tree in sources().items():
        texts: dict[str, str] = {}
        for where, node in places(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts[where] = f"{texts.get(where, '')}\n{node.value}"
        found |= {(file, where): text for where, text in texts.items() if TABLES.search(text)}
    return found


def queries() -> dict[tuple[str, str], str]:
    """Where the ORM is asked for one of the models past `.within`, with the source of the whole place."""
    found: dict[tuple[str, str], str] = {}
    for file, tree in sources().items():
        narrowed = {node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "within"}
        bodies = {where: node for where, node in places(tree) if isinstance(node, _DEFINITIONS)}
        for where, node in places(tree):
            if (_is_manager(node) or _is_related(node)) and node not in narrowed:
                found[file, where] = ast.unparse(bodies.get(where, tree))
    return found


def _is_manager(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("objects", "_default_manager", "_base_manager")
        and isinstance(node.value, ast.Name)
        and node.value.id in MODELS
    )


def _is_related(node: ast.AST) -> bool:
    """From a line to its usage, or from a record to its charge lines."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("all", "filter", "values_list", "aggregate", "order_by", "count", "first", "last")
        and isinstance(node.value, ast.Attribute)
        and node.value.attr in ("usage", "charge_lines")
    )


def test_every_statement_of_sql_over_usage_is_known() -> None:
    assert sql().keys() == SQL.keys()


def test_every_query_over_usage_without_a_scope_is_known() -> None:
    assert queries().keys() == QUERIES.keys()


def test_whoever_is_said_to_name_the_payer_does() -> None:
    assert not [place for place, text in sql().items() if SQL[place] == PAYER and "payer" not in text]
    assert not [place for place, text in queries().items() if QUERIES[place] == PAYER and "payer=" not in text]


def test_a_new_reader_is_found() -> None:
    tree = ast.parse("def peep(line):\n    return Counter.objects.filter(owner_id=line.id), line.usage.all()")
    assert [where for where, node in places(tree) if _is_manager(node) or _is_related(node)] == ["peep", "peep"]
