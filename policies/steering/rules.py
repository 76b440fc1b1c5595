"""Rules of who pays, as data: read and checked, said in words. Pure: no Django, no clock.

    {"name": "Office hours",
     "when": <condition>,                      policies.conditions, as JSON or as text
     "pays": "corporate" | "personal" | [      parts, in order; the last one has no bound and takes the rest
        {"payer": "corporate", "units": 5368709120, "every": "cycle", "of": "person"},
        {"payer": "corporate", "micros": 20000000, "every": "cycle", "of": "line"},
        {"payer": "corporate", "percent": 60},
        {"payer": "personal"}],
     "fixed": false,                           nobody below may say otherwise
     "hint": ""}

A version holds rules in order, a default ("pays" where no rule matches; null: ask above), and what happens where a
person cannot pay: {"action": "refuse"}, or {"action": "interim", "micros": 10000000} (on credit, so much a person).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from balances.errors import Refused
from balances.money import exact_money
from balances.units import MICROS_PER_MAJOR
from policies.conditions import (
    ALWAYS,
    BUILT_IN,
    AllOf,
    Catalogue,
    ConditionFault,
    Node,
    Test,
    describe,
    from_json,
    read_text,
    tests_of,
    to_json,
)

RULES_MOST, PARTS_MOST, NAME_LENGTH, HINT_LENGTH = 300, 6, 80, 200
#: Values in all conditions of one version.
VALUES_MOST = 20_000
AMOUNT_MOST = 2**56

CORPORATE, PERSONAL = "corporate", "personal"
PAYERS = (CORPORATE, PERSONAL)
EVERY = ("day", "week", "cycle", "lifetime")
OF = ("line", "person", "account")

PAYER_WORDS = {CORPORATE: "the company", PERSONAL: "the person"}
EVERY_WORDS = {"day": "a day", "week": "a week", "cycle": "a cycle", "lifetime": "altogether"}
OF_WORDS = {"line": "of each line", "person": "of each person", "account": "of all together"}


class SteeringFault(Refused):
    """A rule that cannot be; `where` names the place: `rules[2].pays[0].percent`."""

    def __init__(self, message: str, where: str):
        super().__init__(f"At {where}: {message}", field="rules")
        self.where = where


@dataclass(frozen=True, slots=True)
class Part:
    """What one payer takes: a percentage, up to an amount in a period, or (the last) the rest.

    `units`: of the event's service; `micros`: at the contract's rate. Exactly one of percent, units and micros is set,
    none of the last part.
    """

    payer: str
    percent: int = 0
    units: int | None = None
    micros: int | None = None
    every: str = ""
    of: str = ""

    @property
    def has_amount(self) -> bool:
        """Whether it is a budget."""
        return self.units is not None or self.micros is not None


Parts = tuple[Part, ...]
COMPANY_PAYS: Parts = (Part(CORPORATE),)
PERSON_PAYS: Parts = (Part(PERSONAL),)


@dataclass(frozen=True, slots=True)
class SteeringRule:
    """One rule of who pays; see the module's paragraph."""

    name: str
    when: Node
    pays: Parts
    is_fixed: bool = False
    hint: str = ""

    def words(
        self,
        zone_names: Mapping[str, str] | None = None,
        currency: str = "",
        catalogue: Catalogue = BUILT_IN,
        units_words: UnitsWords | None = None,
    ) -> str:
        """The rule as a sentence: "Data, on Monday to Friday: the company pays." """
        pays = parts_words(self.pays, currency, units_words, service_of(self.when))
        said = f"{describe(self.when, zone_names, catalogue)}: {pays}"
        if self.is_fixed:
            said += "; nobody below may say otherwise"
        return f"{said[0].upper()}{said[1:]}."


@dataclass(frozen=True, slots=True)
class Missing:
    """What happens where a person has no account, or not enough money: refused, or so much on credit a person."""

    interim_micros: int | None = None


REFUSE = Missing()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a version says. `default` None: whoever stands above is asked; `missing` None likewise."""

    rules: tuple[SteeringRule, ...] = ()
    default: Parts | None = None
    missing: Missing | None = None


# --- words -----------------------------------------------------------------------------------------------------------


#: How a number of units of a service is said; by its name.
UnitsWords = Callable[[int, str], str]


def service_of(node: Node) -> str:
    """The one service that a condition can hold of, by name; "" where there may be several."""
    if isinstance(node, Test):
        return str(node.values[0]) if node.field == "service" and len(node.values) == 1 else ""
    if isinstance(node, AllOf):
        return next((found for part in node.parts if (found := service_of(part))), "")
    return ""


def parts_words(parts: Parts, currency: str = "", units_words: UnitsWords | None = None, service: str = "") -> str:
    """Who pays, in words: "the company pays the first 5,120 units a cycle of each person, the person the rest"."""
    if len(parts) == 1:
        return f"{PAYER_WORDS[parts[0].payer]} pays"
    said = []
    for number, part in enumerate(parts):
        verb = " pays" if not number else ""
        who = PAYER_WORDS[part.payer]
        if part.percent:
            before = " of what is left" if number and not parts[number - 1].percent else ""
            said.append(f"{who}{verb} {part.percent} %{before}")
        elif part.has_amount:
            more = "up to" if number else "the first"
            said.append(f"{who}{verb} {more} {amount_words(part, currency, units_words, service)}")
        else:
            said.append(f"{who} the rest")
    return ", ".join(said)


def amount_words(part: Part, currency: str = "", units_words: UnitsWords | None = None, service: str = "") -> str:
    """A budget in words; units are plain numbers where a rule may speak of several services, or nobody says how."""
    if part.micros is not None:
        amount = _money_words(part.micros, currency)
    elif units_words is not None and service:
        amount = units_words(part.units or 0, service)
    else:
        amount = f"{part.units:,} units"
    return f"{amount} {EVERY_WORDS[part.every]} {OF_WORDS[part.of]}"


def missing_words(missing: Missing, currency: str = "") -> str:
    """What happens where a person cannot pay, in words."""
    if missing.interim_micros is None:
        return "it is refused"
    return f"it is granted on credit, up to {_money_words(missing.interim_micros, currency)} a person"


def _money_words(micros: int, currency: str) -> str:
    """An amount; a plain number where nobody says of which currency."""
    if currency:
        return exact_money(micros, currency)
    major, rest = divmod(micros, MICROS_PER_MAJOR)
    return f"{major:,}.{rest // 10_000:02}" if rest % 10_000 == 0 else f"{major:,}.{rest:06}"


# --- JSON ------------------------------------------------------------------------------------------------------------


def terms_from_json(rules: Any, default: Any = None, missing: Any = None, *, catalogue: Catalogue = BUILT_IN) -> Terms:
    """What a version says, checked. Raises SteeringFault."""
    return Terms(
        rules_from_json(rules, catalogue=catalogue),
        None if default is None else parts_from_json(default, "default"),
        _missing(missing),
    )


def rules_from_json(data: Any, *, catalogue: Catalogue = BUILT_IN) -> tuple[SteeringRule, ...]:
    """The rules that JSON says, in order. Raises SteeringFault."""
    if not isinstance(data, list):
        raise SteeringFault("a list of rules is needed.", "rules")
    if len(data) > RULES_MOST:
        raise SteeringFault(f"at most {RULES_MOST} rules fit.", "rules")
    rules: list[SteeringRule] = []
    values = 0
    for number, one in enumerate(data):
        rules.append(_rule(one, f"rules[{number}]", catalogue))
        values += sum(len(test.values) for test in tests_of(rules[-1].when))
        if values > VALUES_MOST:
            message = (
                f"the rules up to this one have more than {VALUES_MOST:,} values in their conditions: "
                "put numbers into a list of numbers, and lines under a tag."
            )
            raise SteeringFault(message, f"rules[{number}].when")
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.name.casefold() in seen:
            message = f"another rule is called “{rule.name}” already; budgets go by the name."
            raise SteeringFault(message, f"rules[{number}].name")
        seen.add(rule.name.casefold())
    return tuple(rules)


def rules_to_json(rules: Sequence[SteeringRule]) -> list[dict[str, Any]]:
    """The rules as they are stored."""
    return [
        {
            "name": rule.name,
            "when": to_json(rule.when),
            "pays": parts_to_json(rule.pays),
            "fixed": rule.is_fixed,
            "hint": rule.hint,
        }
        for rule in rules
    ]


def parts_to_json(parts: Parts) -> str | list[dict[str, Any]]:
    """Parts as they are stored: one payer is a word."""
    if len(parts) == 1:
        return parts[0].payer
    written = []
    for part in parts:
        one: dict[str, Any] = {"payer": part.payer}
        if part.percent:
            one["percent"] = part.percent
        for name in ("units", "micros"):
            if (amount := getattr(part, name)) is not None:
                one |= {name: amount, "every": part.every, "of": part.of}
        written.append(one)
    return written


def missing_to_json(missing: Missing | None) -> dict[str, Any]:
    """What is stored of what happens where a person cannot pay; nothing where that is asked above."""
    if missing is None:
        return {}
    if missing.interim_micros is None:
        return {"action": "refuse"}
    return {"action": "interim", "micros": missing.interim_micros}


def parts_from_json(data: Any, where: str) -> Parts:
    """Who pays. Raises SteeringFault."""
    if data in PAYERS:
        return (Part(data),)
    if not isinstance(data, list) or not data:
        raise SteeringFault(f"use {' or '.join(PAYERS)}, or a list of parts.", where)
    if len(data) > PARTS_MOST:
        raise SteeringFault(f"at most {PARTS_MOST} parts fit.", where)
    parts = tuple(_part(one, f"{where}[{number}]", is_last=number == len(data) - 1) for number, one in enumerate(data))
    for number in range(len(parts)):
        together = 0
        for part in parts[number:]:
            if not part.percent:
                break
            together += part.percent
        if together >= 100:
            raise SteeringFault("percents in a row come to 100 or more: the last part takes the rest.", where)
    if len({part.payer for part in parts}) == 1:
        raise SteeringFault(f"all parts are paid by {PAYER_WORDS[parts[0].payer]}: write “{parts[0].payer}”.", where)
    return parts


def check_names(rules: Sequence[SteeringRule], zones: Set[str], lists: Set[str]) -> None:
    """Refuse rules that name a zone or a list of numbers which there is not. Raises SteeringFault."""
    for number, rule in enumerate(rules):
        for field, known, noun in (("zone", zones, "zone"), ("list", lists, "list of numbers")):
            named = {str(value) for test in tests_of(rule.when) if test.field == field for value in test.values}
            if unknown := sorted(named - known):
                message = f"there is no {noun} “{unknown[0]}”; there are {', '.join(sorted(known)) or 'none'}."
                raise SteeringFault(message, f"rules[{number}].when")


def changes(before: Sequence[SteeringRule], after: Sequence[SteeringRule], **said: Any) -> list[str]:
    """What differs between two versions, in words; rules are known by their names. `said`: as `SteeringRule.words`."""
    old, new = ({rule.name.casefold(): rule for rule in rules} for rules in (before, after))
    found = [f"Removed “{rule.name}”: {rule.words(**said)}" for key, rule in old.items() if key not in new]
    for key, rule in new.items():
        if key not in old:
            found.append(f"Added “{rule.name}”: {rule.words(**said)}")
        elif rule != old[key]:
            found.append(f"Changed “{rule.name}”: was: {old[key].words(**said)} Is: {rule.words(**said)}")
    kept = [key for key in old if key in new]
    if kept != [key for key in new if key in old]:
        found.append("The order of the rules is another one.")
    return found


def differences(before: Terms, after: Terms, **said: Any) -> list[str]:
    """What differs between two versions, with the default and what happens where a person cannot pay."""
    found = changes(before.rules, after.rules, **said)
    currency = str(said.get("currency", ""))
    if before.default != after.default:
        otherwise = parts_words(after.default, currency) if after.default else "as above"
        found.append(f"Where no rule matches: {otherwise}.")
    if before.missing != after.missing:
        otherwise = missing_words(after.missing, currency) if after.missing else "as above"
        found.append(f"Where a person cannot pay: {otherwise}.")
    return found


_KEYS = {"name", "when", "pays", "fixed", "hint"}


def _rule(data: Any, where: str, catalogue: Catalogue) -> SteeringRule:
    if not isinstance(data, dict):
        raise SteeringFault("a rule is an object with name, when and pays.", where)
    if extra := sorted(str(key) for key in set(data) - _KEYS):
        raise SteeringFault(f"“{extra[0]}” does not belong into a rule.", where)
    fixed = data.get("fixed", False)
    if not isinstance(fixed, bool):
        raise SteeringFault("true or false is needed.", f"{where}.fixed")
    return SteeringRule(
        name=_text(data.get("name"), NAME_LENGTH, f"{where}.name", required=True),
        when=_when(data.get("when"), f"{where}.when", catalogue),
        pays=parts_from_json(data.get("pays"), f"{where}.pays"),
        is_fixed=fixed,
        hint=_text(data.get("hint", ""), HINT_LENGTH, f"{where}.hint", required=False),
    )


def _when(data: Any, where: str, catalogue: Catalogue) -> Node:
    """A condition as JSON or as text; none: always."""
    if data is None or data == {}:
        return ALWAYS
    try:
        return read_text(data, catalogue) if isinstance(data, str) else from_json(data, catalogue)
    except ConditionFault as fault:
        place = f"{where}.{fault.where}" if fault.where else where
        message = str(fault).removeprefix(f"At {fault.where}: ") if fault.where else str(fault)
        raise SteeringFault(message, place) from None


def _part(data: Any, where: str, *, is_last: bool) -> Part:
    if not isinstance(data, dict):
        raise SteeringFault("a part is an object with payer and percent, units or micros.", where)
    payer = data.get("payer")
    if payer not in PAYERS:
        raise SteeringFault(f"use {' or '.join(PAYERS)}.", f"{where}.payer")
    bounds = [name for name in ("percent", "units", "micros") if data.get(name) is not None]
    if extra := sorted(str(key) for key in set(data) - {"payer", "percent", "units", "micros", "every", "of"}):
        raise SteeringFault(f"“{extra[0]}” does not belong into a part.", where)
    if is_last:
        if bounds or data.get("every") or data.get("of"):
            raise SteeringFault("the last part takes the rest: it has neither percent nor amount.", where)
        return Part(payer)
    if len(bounds) != 1:
        raise SteeringFault("give one of percent, units and micros; only the last part takes the rest.", where)
    bound = bounds[0]
    value, most = data[bound], 99 if bound == "percent" else AMOUNT_MOST
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise SteeringFault(f"a whole number from 1 to {most} is needed.", f"{where}.{bound}")
    if bound == "percent":
        if data.get("every") or data.get("of"):
            raise SteeringFault("a percentage has no period: remove “every” and “of”.", where)
        return Part(payer, percent=value)
    every, of = data.get("every"), data.get("of")
    if every not in EVERY:
        raise SteeringFault(f"use one of {', '.join(EVERY)}.", f"{where}.every")
    if of not in OF:
        raise SteeringFault(f"use one of {', '.join(OF)}.", f"{where}.of")
    return Part(payer, every=every, of=of, **{bound: value})


def _missing(data: Any) -> Missing | None:
    if data is None or data == {}:
        return None
    if not isinstance(data, dict) or data.get("action") not in ("refuse", "interim"):
        raise SteeringFault("an object with action refuse, or interim and micros, is needed.", "missing")
    if data["action"] == "refuse":
        if set(data) - {"action"}:
            raise SteeringFault("refuse takes nothing else.", "missing")
        return REFUSE
    micros = data.get("micros")
    if not isinstance(micros, int) or isinstance(micros, bool) or not 1 <= micros <= AMOUNT_MOST:
        raise SteeringFault(f"a whole number from 1 to {AMOUNT_MOST} is needed.", "missing.micros")
    if set(data) - {"action", "micros"}:
        raise SteeringFault("interim takes micros and nothing else.", "missing")
    return Missing(micros)


def _text(value: Any, most: int, where: str, *, required: bool) -> str:
    if not isinstance(value, str) or (required and not value.strip()):
        raise SteeringFault("a text is needed.", where)
    value = value.strip()
    if len(value) > most or not value.isprintable():
        raise SteeringFault(f"a text of at most {most} characters on one line is needed.", where)
    return value
