"""How far managers see with whom somebody was connected: the only writer of MaskingDeclaration. docs/byod.md

Owns: the rule of each country, what an enterprise declared to its operator, and the one place where numbers of other
parties are cut. The contract and the declaration in force at the time of use decide, so that none reaches back.
Whoever proved to be the person who had the line then (`Scope.person_ids`) reads numbers in full. Records are cut in
memory, never saved.

Each write opens its own transaction under the enterprise's lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from balances import audit, fields, locks
from balances.errors import Refused
from balances.models import Contract, Enterprise, MaskingDeclaration, MaskingRule, UsageRecord
from balances.models.accounts import PersonAssignment
from balances.scope import Scope

TEXT_MOST = 600
ELLIPSIS = "…"
HIDDEN = "not shown"
#: A number of fewer digits is found by chance in what else a network's message says.
LEAST_DIGITS = 6


class MaskingRefused(Refused):
    """A declaration that a country does not know, or that does not stand."""


@dataclass(frozen=True, slots=True)
class Country:
    """What holds in a country without a declaration: so many digits are cut; whether one may show numbers in full."""

    cut_digits: int
    may_be_full: bool
    source: str


COUNTRIES: dict[str, Country] = {
    "DE": Country(3, True, "§ 11 TDDDG: in full only once staff are informed and the works council was involved"),
    "AT": Country(3, True, "§ 6 EEN-V: in full only once all users of the line are informed, for periods after that"),
    "FR": Country(4, False, "CNIL, norme simplifiée no. 47: employers see numbers without the last four digits"),
}
#: Elsewhere, until somebody has looked it up: as in most of the table. Directive 2002/58/EC, article 7, leaves the
#: means to member states, and its recital 33 names cutting digits as one of them.
ELSEWHERE = Country(3, True, "Directive 2002/58/EC, article 7 and recital 33")


def rule_of_country(code: str) -> Country:
    """What holds there."""
    return COUNTRIES.get(code, ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Mask:
    """How numbers are shown. `cut_digits` 0: in full; None: not at all."""

    cut_digits: int | None

    def shown(self, other_party: str) -> str:
        """A number as it may be shown. What is no number has no digits to cut: it is shown in full or not at all."""
        if self.cut_digits == 0 or not other_party:
            return other_party
        if self.cut_digits is None or not other_party.removeprefix("+").isdigit():
            return HIDDEN
        return other_party[: -self.cut_digits] + ELLIPSIS


FULL = Mask(0)


def mask_of(rule: MaskingRule | str, country: str) -> Mask:
    """What a declared rule comes to in a country, which never shows more than the country lets it."""
    least = rule_of_country(country)
    if rule == MaskingRule.NONE:
        return Mask(None)
    if rule == MaskingRule.FULL and least.may_be_full:
        return FULL
    return Mask(least.cut_digits)


# --- declaring ---------------------------------------------------------------------------------------------------


def declare(*, enterprise: Enterprise, rule: str, text: str, actor: str, at: datetime) -> MaskingDeclaration:
    """What the enterprise declares, and how far numbers of later usage are shown; it takes the place of the one before.

    Raises MaskingRefused (no such rule in its country), Unreadable, Busy.
    """
    rule = fields.choice(rule, MaskingRule, field="rule", default="")
    text = fields.text(text, field="text", label="What is declared", most=TEXT_MOST)
    country = country_of(enterprise.id, at)
    if rule == MaskingRule.FULL and not rule_of_country(country).may_be_full:
        raise MaskingRefused(f"Numbers are not shown in full there: {rule_of_country(country).source}.", field="rule")
    with locks.enterprise(enterprise.id):
        _end(MaskingDeclaration.objects.filter(enterprise=enterprise, ended_at__isnull=True).first(), at)
        made = MaskingDeclaration.objects.create(
            enterprise=enterprise, rule=rule, country=country, text=text, declared_at=at, declared_by=actor
        )
        _record(made, "masking.declared", actor, at)
        return made


def end(*, declaration: MaskingDeclaration, actor: str, at: datetime) -> MaskingDeclaration:
    """Take a declaration back: for later usage the country's own rule holds. Raises MaskingRefused, Busy."""
    with locks.enterprise(declaration.enterprise_id):
        standing = MaskingDeclaration.objects.filter(id=declaration.id, ended_at__isnull=True).first()
        if standing is None:
            raise MaskingRefused("This declaration does not stand any more.")
        _end(standing, at)
        _record(standing, "masking.ended", actor, at)
        return standing


def _end(standing: MaskingDeclaration | None, at: datetime) -> None:
    if standing is not None:
        standing.ended_at = max(at, standing.declared_at)
        standing.save(update_fields=["ended_at"])


def _record(declaration: MaskingDeclaration, action: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=declaration.enterprise_id,
        actor=actor,
        action=action,
        subject=declaration.get_rule_display(),
        detail={"rule": declaration.rule, "country": declaration.country, "text": declaration.text},
        at=at,
    )


# --- where it holds ----------------------------------------------------------------------------------------------


def country_of(enterprise_id: int, at: datetime) -> str:
    """The country whose law holds at a time: of the time zone of the contract in force, else of the last that began
    by then, else of the first; "" where that says none."""
    return Masks([enterprise_id]).country_at(enterprise_id, at)


def countries_of(enterprise_ids: Collection[int]) -> dict[int, list[tuple[datetime, str]]]:
    """The countries of the contracts of enterprises, since when, in order; "" where a time zone says none."""
    found: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    contracts = Contract.objects.filter(enterprise_id__in=enterprise_ids).order_by("starts_at")
    for enterprise_id, starts_at, zone in contracts.values_list("enterprise_id", "starts_at", "time_zone"):
        found[enterprise_id].append((starts_at, _countries().get(zone, "")))
    return found


def country_of_zone(time_zone: str) -> str:
    """The country that a time zone is of, "Europe/Lisbon": PT; "" of one that is no country's."""
    return _countries().get(time_zone, "")


@cache
def _countries() -> dict[str, str]:
    text = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="ascii")
    columns = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return {column[2]: column[0] for column in columns}


class Masks:
    """How numbers are shown in some enterprises, at any time; two queries."""

    def __init__(self, enterprise_ids: Collection[int]):
        self._countries = countries_of(enterprise_ids)
        declared = MaskingDeclaration.objects.filter(enterprise_id__in=enterprise_ids)
        self._declared = list(declared.order_by("-declared_at", "-id"))

    def country_at(self, enterprise_id: int, at: datetime) -> str:
        """The country whose law holds; see `country_of`."""
        known = self._countries.get(enterprise_id, [])
        begun = [country for starts_at, country in known if starts_at <= at]
        return begun[-1] if begun else next((country for _, country in known), "")

    def at(self, enterprise_id: int, used_at: datetime) -> Mask:
        """What holds for usage of a time."""
        country = self.country_at(enterprise_id, used_at)
        for one in self._declared:
            if one.enterprise_id != enterprise_id or one.declared_at > used_at:
                continue
            if one.ended_at is None or used_at < one.ended_at:
                return mask_of(one.rule, country)
        return Mask(rule_of_country(country).cut_digits)


def show(records: Iterable[UsageRecord], scope: Scope) -> None:
    """Cut, in memory, the numbers that the reader of these records may not see whole."""
    told = [record for record in records if record.other_party]
    if not told:
        return
    own = _own(told, scope)
    others = [record for record in told if record.id not in own]
    masks = Masks({record.enterprise_id for record in others}) if others else None
    for record in others:
        assert masks is not None
        mask = masks.at(record.enterprise_id, record.used_at)
        record.attributes = cut_out(record.attributes, record.other_party, mask)
        record.other_party = mask.shown(record.other_party)


def show_sent(record: dict[str, Any], enterprise_id: int | None, masks: Masks, at: datetime) -> dict[str, Any]:
    """A record as it was sent, with the number cut as it is for usage of its time, or of `at` where it says none."""
    other_party = str(record.get("other_party") or "")
    if not other_party or enterprise_id is None:
        return record
    try:
        used_at = datetime.fromisoformat(str(record.get("started_at", "")))
    except ValueError:
        used_at = at
    mask = masks.at(enterprise_id, used_at if used_at.tzinfo else used_at.replace(tzinfo=UTC))
    shown = {**record, "other_party": mask.shown(other_party)}
    return shown | {"attributes": cut_out(record["attributes"], other_party, mask)} if "attributes" in record else shown


def cut_out(attributes: Any, other_party: str, mask: Mask) -> Any:
    """What else a network's message said, where it names the other party: with the number as it is shown."""
    number = other_party.removeprefix("+")
    if attributes is None or mask == FULL or len(number) < LEAST_DIGITS:
        return attributes
    if isinstance(attributes, dict):
        return {str(cut_out(name, number, mask)): cut_out(value, number, mask) for name, value in attributes.items()}
    if isinstance(attributes, list):
        return [cut_out(value, number, mask) for value in attributes]
    text = str(attributes)
    return text.replace(number, mask.shown(number)) if number in text else attributes


def _own(records: list[UsageRecord], scope: Scope) -> set[int]:
    """Those that are of people whom the reader proved to be: by name, or by whose line it was then."""
    person_ids = scope.person_ids()
    if not person_ids:
        return set()
    own = {record.id for record in records if record.person_id in person_ids}
    held = PersonAssignment.objects.filter(person__in=person_ids, line__in={record.line_id for record in records})
    for line_id, during in held.values_list("line_id", "during"):
        own |= {record.id for record in records if record.line_id == line_id and record.used_at in during}
    return own
