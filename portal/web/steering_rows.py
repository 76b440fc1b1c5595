"""The builder of a rule of who pays: groups and comparisons, parts of the payment, as form fields and back.

Owns: how a rule becomes a form that works without script, its buttons that add and remove, and the reading of it. A
node of the condition has its path as name: `n` the whole, `n.0` its first part, `n.0.2` that one's third. What is wrong
with a rule is said by `policies.steering.rules`. The text beside the rows counts where somebody changed it.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from balances.errors import Refused
from balances.units import SERVICES_BY_NAME
from policies.conditions import (
    ALWAYS,
    AllOf,
    AnyOf,
    Catalogue,
    ConditionFault,
    Field,
    Kind,
    Node,
    Not,
    Test,
    from_json,
    read_text,
    write_text,
)
from policies.conditions.catalogue import CIVIL, HOME, RADIO_NAMES, SEVERAL, WEEKDAY_NAMES, WEEKDAYS
from policies.conditions.tree import DEPTH_MOST, TESTS_MOST
from policies.steering.rules import EVERY, OF, PARTS_MOST, Part, Parts, SteeringRule, service_of
from portal.web import quantities

OPERATORS = {
    "is": "is", "in": "is one of", "starts": "begins with", "contains": "contains", "within": "is within",
    "at_least": "is at least", "below": "is below",
}  # fmt: skip
GROUPS = {
    "all": "all of this holds",
    "any": "any of this holds",
    "none": "none of this holds",
    "not-all": "not all of this holds",
}
BOUNDS = {"rest": "the rest", "percent": "percent", "units": "an amount of units", "micros": "an amount of money"}
EVERY_CHOICES = dict(zip(EVERY, ("a day", "a week", "a cycle", "altogether"), strict=True))
OF_CHOICES = dict(zip(OF, ("of each line", "of each person", "of all together"), strict=True))
#: Values that are offered as boxes to tick; more are typed.
BOXES_MOST = 24
_WORDS = {**dict(zip(WEEKDAYS, WEEKDAY_NAMES, strict=True)), **RADIO_NAMES}


@dataclass(slots=True)
class Choices:
    """What may be chosen in an enterprise: fields, and values that have names."""

    catalogue: Catalogue
    zones: dict[str, str] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> list[tuple[str, list[Field]]]:
        """The fields as the builder offers them, those that somebody declared apart."""
        known = list(self.catalogue.fields.values())
        grouped = [
            ("Fields", [one for one in known if not one.is_declared]),
            ("Declared by your operator", [one for one in known if one.is_declared and not one.is_own]),
            ("Declared by your enterprise", [one for one in known if one.is_own]),
        ]
        return [(name, fields) for name, fields in grouped if fields]

    def boxes(self, known: Field | None) -> list[tuple[str, str]]:
        """Values to tick with their words; none where a value is typed."""
        if known is None:
            return []
        if known.name == "zone":
            found = self.zones
        elif known.name == "list":
            found = self.lists
        elif known.kind is Kind.FLAG:
            return [("yes", "yes"), ("no", "no")]
        else:
            found = {value: _WORDS.get(value, value.replace("_", " ")) for value in known.choices}
        return list(found.items()) if len(found) <= BOXES_MOST else []


@dataclass(slots=True)
class TestForm:
    """A comparison as it is typed."""

    __test__ = False

    path: str
    choices: Choices
    name: str = ""
    op: str = ""
    negated: bool = False
    values: list[str] = field(default_factory=list)
    clock: str = ""
    is_group: bool = False

    @property
    def known(self) -> Field | None:
        """The field that is chosen."""
        return self.choices.catalogue.field_named(self.name) if self.name else None

    @property
    def is_free(self) -> bool:
        """Whether the field is one that the list of fields does not have: attributes.X, profile.X."""
        return bool(self.name) and self.name not in self.choices.catalogue.fields

    @property
    def operators(self) -> list[tuple[str, str]]:
        """What the field can be compared by; one of several values is the same as one."""
        known = self.known
        names = known.operators if known else tuple(OPERATORS)
        return [(name, OPERATORS[name]) for name in names if name != "in" or not {"is", "in"} <= set(names)]

    @property
    def boxes(self) -> list[tuple[str, str]]:
        """Values to tick."""
        return self.choices.boxes(self.known)

    @property
    def is_one_of(self) -> bool:
        """Whether one box excludes the others."""
        known = self.known
        return known is not None and known.kind is Kind.FLAG

    @property
    def value(self) -> str:
        """The values as text, with quotes around those with commas."""
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(self.values)
        return text.getvalue().replace(",", ", ") if not any("," in value for value in self.values) else text.getvalue()

    @property
    def has_clock(self) -> bool:
        """Whether it is read off a clock, which may be named."""
        known = self.known
        return known is not None and known.is_civil

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed."""
        return not self.name or not any(self.values)

    def as_json(self) -> dict[str, Any] | None:
        """The comparison; None where it is empty; not checked."""
        if self.is_empty:
            return None
        known, op, values = self.known, self.op or "is", list(self.values)
        if known is not None and op not in known.operators:
            op = known.operators[0]
        if len(values) > 1 and op == "is":
            op = "in"
        if known is not None and known.kind in CIVIL and "within" in known.operators:
            op = "within"
        said: Any = values if op in SEVERAL else values[0] if len(values) == 1 else values
        test: dict[str, Any] = {"field": self.name, "op": op, "value": said}
        if self.clock and self.clock != HOME and self.has_clock:
            test["clock"] = self.clock
        return {"not": test} if self.negated else test


@dataclass(slots=True)
class GroupForm:
    """A group as it is typed."""

    path: str
    kind: str = "all"
    parts: list[GroupForm | TestForm] = field(default_factory=list)
    is_group: bool = True

    @property
    def depth(self) -> int:
        """How deep it lies; 1: the whole condition."""
        return self.path.count(".") + 1

    @property
    def may_nest(self) -> bool:
        """Whether another group fits into it."""
        return self.depth < DEPTH_MOST - 1

    def as_json(self) -> dict[str, Any] | None:
        """The group without what is empty in it; None where nothing is left."""
        parts = [said for part in self.parts if (said := part.as_json()) is not None]
        if not parts:
            return None
        if self.kind in ("none", "not-all"):
            return {"not": {"any" if self.kind == "none" else "all": parts}}
        return {"any" if self.kind == "any" else "all": parts}


@dataclass(slots=True)
class PartForm:
    """A part of the payment as it is typed."""

    number: int
    payer: str = "corporate"
    bound: str = "rest"
    amount: str = ""
    every: str = "cycle"
    of: str = "person"


@dataclass(slots=True)
class RuleForm:
    """A rule as it is typed. `was`: the text of the condition as the rows say it; `place`: of the rule in its version,
    from 1; 0: another one."""

    place: int
    condition: GroupForm
    name: str = ""
    text: str = ""
    was: str = ""
    pays: str = "corporate"
    parts: list[PartForm] = field(default_factory=list)
    is_fixed: bool = False
    hint: str = ""
    #: The id of the control at which one goes on, after what a button did.
    focus: str = ""


# --- a rule as a form -----------------------------------------------------------------------------------------------


def form_of(rule: SteeringRule, place: int, choices: Choices) -> RuleForm:
    """A stored rule as a form."""
    text = "" if rule.when == ALWAYS else write_text(rule.when)
    form = RuleForm(
        place, group_of(rule.when, choices), rule.name, text, text,
        "parts" if len(rule.pays) > 1 else rule.pays[0].payer, parts_of(rule.pays, service_of(rule.when)),
        rule.is_fixed, rule.hint,
    )  # fmt: skip
    if not form.condition.parts:
        form.condition.parts.append(TestForm("n.0", choices))
    return form


def blank(choices: Choices) -> RuleForm:
    """A rule that is not there yet."""
    return RuleForm(0, GroupForm("n", parts=[TestForm("n.0", choices)]), parts=_two_parts())


def group_of(node: Node, choices: Choices) -> GroupForm:
    """A condition as a group of forms."""
    made = _made(node, "n", choices)
    if isinstance(made, GroupForm):
        return made
    made.path = "n.0"
    return GroupForm("n", parts=[made])


def _made(node: Node, path: str, choices: Choices) -> GroupForm | TestForm:
    negated = False
    while isinstance(node, Not):
        node, negated = node.part, not negated
    if isinstance(node, Test):
        values = ["yes" if value is True else "no" if value is False else str(value) for value in node.values]
        return TestForm(path, choices, node.field, node.op, negated, values, node.clock)
    kind = ("not-all" if negated else "all") if isinstance(node, AllOf) else ("none" if negated else "any")
    assert isinstance(node, AllOf | AnyOf)
    return GroupForm(path, kind, [_made(part, f"{path}.{place}", choices) for place, part in enumerate(node.parts)])


def parts_of(pays: Parts, service: str = "") -> list[PartForm]:
    """Parts of a payment as forms; two to begin with where one payer has all."""
    if len(pays) == 1:
        return _two_parts()
    return [
        PartForm(number, part.payer, _bound(part), _amount(part, service), part.every or "cycle", part.of or "person")
        for number, part in enumerate(pays)
    ]


def _two_parts() -> list[PartForm]:
    return [PartForm(0, "corporate", "percent", "50"), PartForm(1, "personal")]


def _bound(part: Part) -> str:
    if part.percent:
        return "percent"
    return "units" if part.units is not None else "micros" if part.micros is not None else "rest"


def _amount(part: Part, service: str) -> str:
    if part.percent:
        return str(part.percent)
    if part.micros is not None:
        return quantities.write_price(part.micros)
    if part.units is None:
        return ""
    return quantities.write(part.units, SERVICES_BY_NAME[service]) if service else f"{part.units:,}"


# --- a form as it was sent ------------------------------------------------------------------------------------------


def read(posted: QueryDict, choices: Choices) -> RuleForm:
    """The form as it was sent, and after what its buttons do: add-test, add-group, remove, add-part, remove-part."""
    place = posted.get("rule", "")
    condition = _read_node(posted, "n", choices, 1)
    assert isinstance(condition, GroupForm)
    form = RuleForm(
        int(place) if place.isascii() and place.isdigit() and len(place) < 5 else 0, condition,
        posted.get("name", "").strip(), posted.get("text", "").strip(), posted.get("was", ""),
        posted.get("pays", "corporate"), read_parts(posted), bool(posted.get("fixed")), posted.get("hint", "").strip(),
    )  # fmt: skip
    if form.text != form.was:
        _follow_text(form, choices)
    else:
        form.text = form.was = _text(form.condition, choices, form.text)
    _press(form, posted.get("do", ""), choices)
    return form


def _text(condition: GroupForm, choices: Choices, before: str) -> str:
    """What the rows say as text; what was there where they cannot be read."""
    said = condition.as_json()
    try:
        return write_text(from_json(said, choices.catalogue)) if said else ""
    except ConditionFault:
        return before


def _read_node(posted: QueryDict, path: str, choices: Choices, depth: int) -> GroupForm | TestForm:
    if f"{path}-field" in posted:
        name = posted.get(f"{path}-free", "").strip() or posted.get(f"{path}-field", "").strip()
        test = TestForm(
            path, choices, name, posted.get(f"{path}-op", "is"), bool(posted.get(f"{path}-not")),
            _values(posted.get(f"{path}-value", "")), posted.get(f"{path}-clock", "").strip(),
        )  # fmt: skip
        if boxes := [value for value, _ in test.boxes]:
            ticked = [value for value in posted.getlist(f"{path}-box") if value in boxes]
            test.values = ticked or test.values
        return test
    group = GroupForm(path, kind if (kind := posted.get(f"{path}-kind", "all")) in GROUPS else "all")
    if depth <= DEPTH_MOST:
        for number in range(TESTS_MOST + 10):
            inner = f"{path}.{number}"
            if f"{inner}-field" in posted or f"{inner}-kind" in posted:
                group.parts.append(_read_node(posted, inner, choices, depth + 1))
    return group


def _values(text: str) -> list[str]:
    """Values with commas between them; one with a comma in it stands in double quotes."""
    try:
        cells = next(csv.reader([text.replace("\n", " ")], skipinitialspace=True), [])
    except csv.Error:
        cells = text.split(",")
    return [cell.strip() for cell in cells if cell.strip()]


def read_parts(posted: QueryDict) -> list[PartForm]:
    """The parts as they were sent."""
    found = []
    for number in range(PARTS_MOST):
        prefix = f"p{number}-"
        if f"{prefix}payer" in posted:
            sent = [posted.get(prefix + key, "").strip() for key in ("payer", "bound", "amount", "every", "of")]
            found.append(PartForm(len(found), *sent))
    return found or _two_parts()


def _follow_text(form: RuleForm, choices: Choices) -> None:
    """Let the rows say what was typed as text, where that can be read."""
    try:
        node = read_text(form.text, choices.catalogue) if form.text else ALWAYS
    except ConditionFault:
        return
    form.condition = group_of(node, choices)
    form.was = form.text


def _press(form: RuleForm, button: str, choices: Choices) -> None:
    what, _, path = button.partition(":")
    if what in ("add-test", "add-group"):
        group = _at(form.condition, path)
        if isinstance(group, GroupForm) and _tests(form.condition) < TESTS_MOST:
            inner = f"{path}.{len(group.parts)}"
            test = TestForm(inner, choices)
            group.parts.append(test if what == "add-test" else GroupForm(inner, "any", [test]))
            form.focus = f"{inner}-field" if what == "add-test" else f"{inner}.0-field"
    elif what == "remove" and "." in path:
        group = _at(form.condition, path.rpartition(".")[0])
        if isinstance(group, GroupForm):
            group.parts = [part for part in group.parts if part.path != path]
            form.focus = f"{group.path}-more"
    elif what == "add-part" and len(form.parts) < PARTS_MOST:
        form.focus = f"p{len(form.parts) - 1}-payer"
        form.parts.insert(len(form.parts) - 1, PartForm(0, "corporate", "percent", ""))
    elif what == "remove-part" and path.isdigit() and len(form.parts) > 2:
        form.parts = [part for part in form.parts if part.number != int(path)]
        form.focus = "more-parts"
    for number, part in enumerate(form.parts):
        part.number = number
    _renumber(form.condition, "n")
    if not form.condition.parts:
        form.condition.parts.append(TestForm("n.0", choices))


def _at(group: GroupForm, path: str) -> GroupForm | TestForm | None:
    if group.path == path:
        return group
    for part in group.parts:
        if part.path == path:
            return part
        if isinstance(part, GroupForm) and path.startswith(f"{part.path}."):
            return _at(part, path)
    return None


def _renumber(group: GroupForm, path: str) -> None:
    group.path = path
    for place, part in enumerate(group.parts):
        part.path = f"{path}.{place}"
        if isinstance(part, GroupForm):
            _renumber(part, part.path)


def _tests(group: GroupForm) -> int:
    return sum(_tests(part) if isinstance(part, GroupForm) else 1 for part in group.parts)


# --- as rules are stored --------------------------------------------------------------------------------------------


def as_json(form: RuleForm, choices: Choices) -> dict[str, Any]:
    """The rule as it was typed, not checked yet. Raises Refused where an amount is none."""
    when: Any = form.text if form.text != form.was else form.condition.as_json()
    return {
        "name": form.name,
        "when": when or None,
        "pays": parts_json(form.pays, form.parts, _service(when, choices)),
        "fixed": form.is_fixed,
        "hint": form.hint,
    }


def parts_json(pays: str, parts: list[PartForm], service: str = "") -> Any:
    """Who pays, as it was typed. Raises Refused."""
    if pays != "parts":
        return pays
    return [_part_json(part, service, is_last=part.number == len(parts) - 1) for part in parts]


def _part_json(part: PartForm, service: str, *, is_last: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"payer": part.payer}
    if is_last or part.bound == "rest":
        return said
    place = f"Part {part.number + 1}"
    try:
        if part.bound == "percent":
            said["percent"] = int(quantities.number(part.amount.removesuffix("%").strip() or "-"))
            return said
        if part.bound == "micros":
            amount = quantities.read_price(part.amount)
        elif service:
            amount = quantities.read(part.amount, SERVICES_BY_NAME[service])
        else:
            amount = int(quantities.number(part.amount))
    except Refused as refusal:
        raise Refused(f"{place}: {refusal.message}", field="pays") from None
    return said | {part.bound: amount, "every": part.every, "of": part.of}


def _service(when: Any, choices: Choices) -> str:
    """The one service that a condition speaks of, if it can be read."""
    try:
        node = read_text(when, choices.catalogue) if isinstance(when, str) else from_json(when, choices.catalogue)
    except ConditionFault:
        return ""
    return service_of(node)
