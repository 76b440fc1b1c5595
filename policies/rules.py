"""Rules of a policy, as data: read and checked, said in words. Pure: no Django, no clock.

    {"name": "No data abroad at night",
     "when": <condition>,                       policies.conditions
     "beyond": null | {"service": ..., "zone": ..., "window": ..., "owner": ...},
     "action": "stop_now",                      policies.decision.Action
     "grace": {"units": 0} | {"percent": 10},   how far an executive's conference may run beyond
     "approval": false,                         nothing happens before a person approves it, but that people are told
     "exception": false}                        an explicit exception to stricter rules

`beyond` null: the rule stands by itself, and all that it matches is beyond. Else it says what happens beyond limits:
all that apply to the event ("any", or no word at all), or those of one service, zone, window, or level of owner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from balances.errors import Refused
from balances.units import SERVICE_NAMES
from policies.conditions import (
    ALWAYS,
    ConditionFault,
    Node,
    describe,
    for_policies,
    from_json,
    read_text,
    tests_of,
    to_json,
)
from policies.decision import LENIENT, STRICTNESS, Action

RULES_MOST, NAME_LENGTH, HINT_LENGTH = 50, 80, 200
PERCENT_MOST = 100
GRACE_MOST = 2**56

#: What conditions of policies may ask for.
CATALOGUE = for_policies()
WINDOWS = ("day", "week", "cycle", "sliding_24h", "lifetime")
OWNERS = ("line", "tag", "account")
#: Action -> what people read, in a sentence that begins with the rule's condition.
ACTION_WORDS: dict[Action, str] = {
    Action.NOTIFY: "people are told, and it runs on",
    Action.OVERAGE: "it runs on at the overage rate",
    Action.THROTTLE: "the line is slowed down",
    Action.BLOCK_NEW: "what is new is blocked",
    Action.STOP_NOW: "it is stopped at once",
    Action.CONSENT: "it is stopped until somebody consents",
    Action.SUSPEND: "the line is suspended",
    Action.STEER_PERSONAL: "the rest is left to the person",
}
WINDOW_WORDS = {
    "day": "daily",
    "week": "weekly",
    "cycle": "cycle's",
    "sliding_24h": "24-hour",
    "lifetime": "lifetime",
}


class RuleFault(Refused):
    """A rule that cannot be; `where` names the place: `rules[2].when.all[0].value`."""

    def __init__(self, message: str, where: str):
        super().__init__(f"At {where}: {message}", field="rules")
        self.where = where


@dataclass(frozen=True, slots=True)
class Beyond:
    """The limits that a rule speaks of; empty: any of them."""

    service: str = ""
    zone: str = ""
    window: str = ""
    owner: str = ""

    def speaks_of(self, service: str, zone: str, window: str, owner: str) -> bool:
        """Whether a limit with these facts ("" for all services, or all zones) is meant."""
        asked = ((self.service, service), (self.zone, zone), (self.window, window), (self.owner, owner))
        return all(not mine or mine == theirs for mine, theirs in asked)

    def overlaps(self, other: Beyond) -> bool:
        """Whether one limit can be meant by both."""
        pairs = (
            (self.service, other.service), (self.zone, other.zone), (self.window, other.window),
            (self.owner, other.owner),
        )  # fmt: skip
        return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)

    def words(self, zone_names: Mapping[str, str]) -> str:
        """ "beyond the daily data limits of accounts" """
        parts = ["beyond"]
        if self == Beyond():
            return "beyond any limit"
        parts.append("the")
        if self.window:
            parts.append(WINDOW_WORDS[self.window])
        if self.service:
            parts.append(self.service.replace("_", " "))
        parts.append("limits")
        if self.zone:
            parts.append(f"for {zone_names.get(self.zone, self.zone)}")
        if self.owner:
            parts.append(f"of {self.owner}s")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy; see the module's paragraph."""

    name: str
    when: Node
    action: Action
    beyond: Beyond | None = None
    grace_units: int = 0
    grace_percent: int = 0
    needs_approval: bool = False
    is_exception: bool = False
    hint: str = ""

    @property
    def strictness(self) -> int:
        """The higher, the stricter."""
        return STRICTNESS[self.action]

    def words(self, zone_names: Mapping[str, str] | None = None) -> str:
        """The rule as a sentence: "Data while roaming, beyond any limit: it is stopped until somebody consents." """
        names = zone_names or {}
        said = describe(self.when, names)
        if self.beyond is not None:
            said += f", {self.beyond.words(names)}"
        said += f": {ACTION_WORDS[self.action]}"
        if self.grace_percent or self.grace_units:
            grace = f"{self.grace_percent} percent" if self.grace_percent else f"{self.grace_units:,} units"
            said += f", {grace} of grace for an executive's conference in progress"
        if self.needs_approval:
            said += ", once a person approves"
        if self.is_exception:
            said += "; an exception to stricter rules"
        return f"{said[0].upper()}{said[1:]}."


def check_zones(rules: Sequence[Rule], codes: Set[str]) -> None:
    """Refuse rules that name a zone which the operator does not have. Raises RuleFault."""
    for number, rule in enumerate(rules):
        named = {str(value) for test in tests_of(rule.when) if test.field == "zone" for value in test.values}
        if rule.beyond is not None and rule.beyond.zone:
            named.add(rule.beyond.zone)
        if unknown := sorted(named - codes):
            message = f"there is no zone “{unknown[0]}”; there are {', '.join(sorted(codes)) or 'none'}."
            raise RuleFault(message, f"rules[{number}].when")


def rules_from_json(data: Any) -> tuple[Rule, ...]:
    """The rules that JSON says, in order, checked. Raises RuleFault."""
    if not isinstance(data, list):
        raise RuleFault("a list of rules is needed.", "rules")
    if len(data) > RULES_MOST:
        raise RuleFault(f"at most {RULES_MOST} rules fit into a policy.", "rules")
    rules = tuple(_rule(one, f"rules[{number}]") for number, one in enumerate(data))
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.name.casefold() in seen:
            raise RuleFault(f"another rule is called “{rule.name}” already.", f"rules[{number}].name")
        seen.add(rule.name.casefold())
    return rules


def rules_to_json(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The rules as they are stored."""
    return [_written(rule) for rule in rules]


def _written(rule: Rule) -> dict[str, Any]:
    beyond = None
    if rule.beyond is not None:
        names = ("service", "zone", "window", "owner")
        beyond = {name: getattr(rule.beyond, name) for name in names if getattr(rule.beyond, name)}
    grace = {"percent": rule.grace_percent} if rule.grace_percent else {"units": rule.grace_units}
    return {
        "name": rule.name,
        "when": to_json(rule.when),
        "beyond": beyond,
        "action": rule.action.value,
        "grace": grace,
        "approval": rule.needs_approval,
        "exception": rule.is_exception,
        "hint": rule.hint,
    }


def changes(before: Sequence[Rule], after: Sequence[Rule], zone_names: Mapping[str, str] | None = None) -> list[str]:
    """What differs between two versions, in words; rules are known by their names."""
    old, new = ({rule.name.casefold(): rule for rule in rules} for rules in (before, after))
    said = [f"Removed “{rule.name}”: {rule.words(zone_names)}" for key, rule in old.items() if key not in new]
    for key, rule in new.items():
        if key not in old:
            said.append(f"Added “{rule.name}”: {rule.words(zone_names)}")
        elif rule != old[key]:
            said.append(f"Changed “{rule.name}”: was: {old[key].words(zone_names)} Is: {rule.words(zone_names)}")
    kept = [key for key in old if key in new]
    if kept != [key for key in new if key in old]:
        said.append("The order of the rules is another one.")
    return said


_KEYS = {"name", "when", "beyond", "action", "grace", "approval", "exception", "hint"}


def _rule(data: Any, where: str) -> Rule:
    if not isinstance(data, dict):
        raise RuleFault("a rule is an object with name, when, beyond and action.", where)
    if extra := sorted(str(key) for key in set(data) - _KEYS):
        raise RuleFault(f"“{extra[0]}” does not belong into a rule.", where)
    action = data.get("action")
    if action not in list(Action):
        raise RuleFault(f"use one of {', '.join(Action)}.", f"{where}.action")
    rule = Rule(
        name=_text(data.get("name"), NAME_LENGTH, f"{where}.name", required=True),
        when=_when(data.get("when"), f"{where}.when"),
        action=Action(action),
        beyond=_beyond(data.get("beyond"), f"{where}.beyond"),
        needs_approval=_flag(data.get("approval", False), f"{where}.approval"),
        is_exception=_flag(data.get("exception", False), f"{where}.exception"),
        hint=_text(data.get("hint", ""), HINT_LENGTH, f"{where}.hint", required=False),
    )
    rule = _with_grace(rule, data.get("grace") or {}, f"{where}.grace")
    if rule.beyond is None and rule.action in (Action.CONSENT, Action.OVERAGE) and not rule.is_exception:
        raise RuleFault("consent and overage need a limit to be beyond: choose limits.", f"{where}.beyond")
    if rule.beyond is None and rule.needs_approval:
        raise RuleFault("what is approved is that a limit stops a line: choose limits.", f"{where}.approval")
    if rule.is_exception and rule.action not in LENIENT:
        raise RuleFault("an exception lets usage run: choose notify, overage or throttle.", f"{where}.action")
    return rule


def _when(data: Any, where: str) -> Node:
    """A condition as JSON or as text; none: always."""
    if data is None or data == {}:
        return ALWAYS
    try:
        return read_text(data, CATALOGUE) if isinstance(data, str) else from_json(data, CATALOGUE)
    except ConditionFault as fault:
        place = f"{where}.{fault.where}" if fault.where else where
        message = str(fault).removeprefix(f"At {fault.where}: ") if fault.where else str(fault)
        raise RuleFault(message, place) from None


def _beyond(data: Any, where: str) -> Beyond | None:
    if data is None:
        return None
    if data == "any":
        return Beyond()
    if not isinstance(data, dict):
        raise RuleFault("null, “any”, or an object with service, zone, window, owner is needed.", where)
    known = {"service": tuple(SERVICE_NAMES.values()), "window": WINDOWS, "owner": OWNERS, "zone": None}
    values = {}
    for key, value in data.items():
        if key not in known:
            raise RuleFault(f"“{key}” does not belong here: use {', '.join(known)}.", where)
        choices = known[key]
        if value in ("", None, "any"):
            continue
        if not isinstance(value, str) or len(value) > 40 or (choices and value not in choices):
            raise RuleFault(f"use one of {', '.join(choices or ['the codes of zones'])}.", f"{where}.{key}")
        values[key] = value
    return Beyond(**values)


def _with_grace(rule: Rule, data: Any, where: str) -> Rule:
    if not isinstance(data, dict) or len(data) > 1 or set(data) - {"units", "percent"}:
        raise RuleFault("grace is units or percent.", where)
    for key, most in (("units", GRACE_MOST), ("percent", PERCENT_MOST)):
        value = data.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise RuleFault(f"a whole number from 0 to {most} is needed.", f"{where}.{key}")
    return replace(rule, grace_units=data.get("units", 0), grace_percent=data.get("percent", 0))


def _text(value: Any, most: int, where: str, *, required: bool) -> str:
    if not isinstance(value, str) or (required and not value.strip()):
        raise RuleFault("a text is needed.", where)
    value = value.strip()
    if len(value) > most or not value.isprintable():
        raise RuleFault(f"a text of at most {most} characters on one line is needed.", where)
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise RuleFault("true or false is needed.", where)
    return value
