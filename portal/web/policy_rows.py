"""The builder of rules: rows that work without script, one comparison a row, and the text form beside them.

Owns: how rules become form fields and back. What is wrong with them is said by `policies.rules`. A rule whose condition
is nested deeper than rows can show has its text only; where the text was changed, it is what counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from balances.units import SERVICE_NAMES
from policies.conditions import ALWAYS, AllOf, AnyOf, Kind, Node, Not, Test, write_text
from policies.rules import ACTION_WORDS, CATALOGUE, OWNERS, RULES_MOST, WINDOW_WORDS, Rule, rules_from_json

#: Comparisons a row form shows; more are written as text.
ROWS_MOST = 6
OPERATORS = [
    ("is", "is"), ("in", "is one of"), ("starts", "begins with"), ("contains", "contains"), ("within", "is within"),
    ("at_least", "is at least"), ("below", "is below"),
]  # fmt: skip
FIELD_CHOICES = [(known.name, known.label, known.hint) for known in CATALOGUE.fields.values()]
ACTION_CHOICES = [(action.value, f"{words[0].upper()}{words[1:]}") for action, words in ACTION_WORDS.items()]
BEYOND_SERVICES = [("", "any service"), *((name, name.replace("_", " ")) for name in SERVICE_NAMES.values())]
BEYOND_WINDOWS = [("", "any window"), *((key, f"{words} limits") for key, words in WINDOW_WORDS.items())]
BEYOND_OWNERS = [("", "any owner"), *((name, f"of {name}s") for name in OWNERS)]


@dataclass(slots=True)
class Row:
    """One comparison as it is typed."""

    field: str = ""
    negated: str = ""
    op: str = "is"
    value: str = ""
    clock: str = ""


@dataclass(slots=True)
class RuleForm:
    """One rule as it is typed; `is_text_only` where rows cannot show its condition."""

    number: int
    name: str = ""
    join: str = "all"
    rows: list[Row] = field(default_factory=list)
    text: str = ""
    was: str = ""
    is_text_only: bool = False
    beyond: str = "limits"
    service: str = ""
    window: str = ""
    owner: str = ""
    zone: str = ""
    action: str = "notify"
    grace: str = "0"
    grace_units: str = "0"
    approval: bool = False
    exception: bool = False
    hint: str = ""
    remove: bool = False


def forms_of(rules: tuple[Rule, ...]) -> list[RuleForm]:
    """The rules as forms, and an empty one for the next."""
    return [_form(number, rule) for number, rule in enumerate(rules)] + [blank(len(rules))]


def blank(number: int) -> RuleForm:
    """A rule that is not there yet."""
    return RuleForm(number, rows=[Row(), Row()])


def _form(number: int, rule: Rule) -> RuleForm:
    text = "" if rule.when == ALWAYS else write_text(rule.when)
    rows = _rows(rule.when)
    form = RuleForm(
        number, rule.name, "any" if isinstance(rule.when, AnyOf) else "all", [*(rows or []), Row()], text, text,
        is_text_only=rows is None, action=rule.action.value, grace=str(rule.grace_percent),
        grace_units=str(rule.grace_units), approval=rule.needs_approval, exception=rule.is_exception, hint=rule.hint,
        beyond="limits" if rule.beyond is not None else "itself",
    )  # fmt: skip
    if rule.beyond is not None:
        form.service, form.window, form.owner = rule.beyond.service, rule.beyond.window, rule.beyond.owner
        form.zone = rule.beyond.zone
    return form


def _rows(node: Node) -> list[Row] | None:
    parts = node.parts if isinstance(node, AllOf | AnyOf) else (node,)
    rows = []
    for part in parts:
        test = part.part if isinstance(part, Not) else part
        if not isinstance(test, Test) or any("," in str(value) for value in test.values):
            return None
        values = ["yes" if value is True else "no" if value is False else str(value) for value in test.values]
        rows.append(Row(test.field, "not" if isinstance(part, Not) else "", test.op, ", ".join(values), test.clock))
    return rows if len(rows) <= ROWS_MOST else None


def read(posted: QueryDict) -> list[RuleForm]:
    """The forms as they were sent; empty and removed ones are left out."""
    found = []
    for number in range(RULES_MOST + 1):
        prefix = f"r{number}-"
        if f"{prefix}name" not in posted:
            continue

        def sent(name: str, default: str = "", prefix: str = prefix) -> str:
            return posted.get(prefix + name, default).strip()

        form = RuleForm(
            len(found), sent("name"), sent("join", "all"), [], sent("text"), sent("was"), bool(sent("textonly")),
            sent("beyond", "limits"), sent("service"), sent("window"), sent("owner"), sent("zone"),
            sent("action", "notify"), sent("grace", "0"), sent("graceunits", "0"), bool(sent("approval")),
            bool(sent("exception")), sent("hint"), bool(sent("remove")),
        )  # fmt: skip
        for place in range(ROWS_MOST + 2):
            row = Row(*(sent(f"c{place}-{key}") for key in ("field", "not", "op", "value", "clock")))
            if row.field and row.value:
                form.rows.append(row)
        is_empty = not form.name and not form.rows and not form.text
        if not is_empty and not form.remove:
            found.append(form)
    return found


def as_json(forms: list[RuleForm]) -> list[dict[str, Any]]:
    """What was typed as rules; not checked yet."""
    return [_json(form) for form in forms]


def _json(form: RuleForm) -> dict[str, Any]:
    beyond = None
    if form.beyond != "itself":
        keys = ("service", "window", "owner", "zone")
        beyond = {key: getattr(form, key) for key in keys if getattr(form, key)}
    percent = form.grace if form.grace.isascii() and form.grace.isdigit() else "0"
    units = form.grace_units if form.grace_units.isascii() and form.grace_units.isdigit() else "0"
    return {
        "name": form.name,
        "when": _when(form),
        "beyond": beyond,
        "action": form.action,
        "grace": {"percent": int(percent[:4])} if int(percent[:4]) else {"units": int(units[:17])},
        "approval": form.approval,
        "exception": form.exception,
        "hint": form.hint,
    }


def _when(form: RuleForm) -> Any:
    """The text where it was changed or rows could not show it, else the rows."""
    if form.is_text_only or form.text != form.was:
        return form.text or None
    parts = []
    for row in form.rows:
        known = CATALOGUE.field_named(row.field)
        values: Any = [value.strip() for value in row.value.split(",") if value.strip()]
        op = row.op or "is"
        if len(values) > 1 and op == "is":
            op = "in"
        if known and known.kind in (Kind.TIME, Kind.DATE) and op in ("is", "in"):
            op = "within"
        test: dict[str, Any] = {"field": row.field, "op": op, "value": values}
        if row.clock and known and known.is_civil:
            test["clock"] = row.clock
        parts.append({"not": test} if row.negated else test)
    if not parts:
        return None
    return {"any" if form.join == "any" else "all": parts}


def checked(forms: list[RuleForm]) -> tuple[Rule, ...]:
    """The rules that were typed. Raises RuleFault."""
    return rules_from_json(as_json(forms))
