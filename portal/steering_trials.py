"""Who would pay for a made-up event, as far as a manager may see it: the same for the screen and for REST.

Owns: reading what was asked into a usage record, and leaving out what is behind the wall (docs/byod.md): of what a
person would pay a manager sees that the person pays and for how much usage, neither price nor whether there is an
account or money in it. `portal.charging.steering_trial` charges it as if people had used nothing and could pay
anything, and keeps nothing: so no question tells what somebody did, and asking is not audited.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from balances.errors import Refused
from balances.models import Account, Line, NumberAssignment
from balances.models.accounts import NumberKind
from balances.scope import Scope
from balances.units import SERVICE_NAMES, Service
from policies.conditions import Traced, fields_read
from policies.conditions.places import is_country, network_of
from policies.models import SteeringVersion
from policies.steering.loading import catalogue_of, terms_of
from policies.steering.outcomes import NUMBERS
from portal.charging import reasons as wording
from portal.charging import records, steering_trial
from portal.charging.steering_trial import Asked, ForeseenLeg

#: Reasons of a personal leg that say why the person pays, and nothing of the account.
_OF_STEERING = ("steer", "steer_default", "unknown", "budget_used", "limit_steer_personal", "rule_steer_personal")
SOURCE_RECORD_ID = "trial"
#: Fields that read the other party, and services that have one.
_OF_NUMBERS, _SPOKEN = frozenset({"other_party", "list", "directory"}), (Service.VOICE, Service.MESSAGING)


class TrialRefused(Refused):
    """An event that cannot be tried."""


@dataclass(frozen=True, slots=True)
class ShownRule:
    """The rule that decided; number 0: the default. `account` None: it stands above the reader's reach."""

    version: int
    version_number: int
    number: int
    name: str
    account: Account | None

    @property
    def words(self) -> str:
        """Which rule, and where it stands."""
        what = f"Rule “{self.name}”" if self.number else "The default"
        where = f"of {self.account.name}" if self.account else "from above your reach"
        return f"{what} {where} (version {self.version_number}) decided."


@dataclass(frozen=True, slots=True)
class ShownLeg:
    """What one payer would have of one piece. Of a person's all figures but the units are None."""

    starts_at: datetime
    ends_at: datetime | None
    is_personal: bool
    units: int
    refused_units: int | None
    covered_units: int | None
    amount_micros: int | None
    value_micros: int | None
    rule: ShownRule | None
    part: int | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownAsked:
    """What a rule says to the event at its beginning. `holds` None: the event does not say enough."""

    rule: ShownRule
    is_fixed: bool
    holds: bool | None
    decides: bool
    comparisons: tuple[Traced, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """The legs in order of time, or why such a record would wait in suspense."""

    service: int
    legs: tuple[ShownLeg, ...]
    asked: tuple[ShownAsked, ...]
    reason: str = ""
    detail: str = ""
    misses_number: bool = False  # a rule could not be applied for want of the other party, before one decided

    @property
    def company_units(self) -> int:
        """Units that the company would have, refused ones, too."""
        return sum(leg.units + (leg.refused_units or 0) for leg in self.legs if not leg.is_personal)

    @property
    def person_units(self) -> int:
        """Units that the person would have."""
        return sum(leg.units for leg in self.legs if leg.is_personal)

    @property
    def amount_micros(self) -> int:
        """What the company would pay beyond allowances."""
        return sum(leg.amount_micros or 0 for leg in self.legs)

    @property
    def cuts(self) -> list[datetime]:
        """Where the event would be cut."""
        return sorted({leg.starts_at for leg in self.legs} - {min(leg.starts_at for leg in self.legs)})


def network(where: str) -> str:
    """The code of a network from what was typed: itself, that of a country, or none for home. Raises TrialRefused."""
    text = where.strip().upper()
    if not text or (text.isascii() and text.isdigit() and len(text) in (3, 5, 6)):
        return text
    if is_country(text) and (found := network_of(text)):
        return found
    message = f"“{where.strip()[:20]}” is no network and no country: write 20801 or FR; nothing for home."
    raise TrialRefused(message, field="where")


def usage_of(line: Line, service: int, units: int, starts_at: datetime, said: Mapping[str, Any]) -> records.Usage:
    """A made-up event of a line as a usage record. `said`: what else a record may say. Raises TrialRefused."""
    numbers = NumberAssignment.objects.filter(line=line, kind=NumberKind.MSISDN, during__contains=starts_at)
    number = numbers.values_list("number", flat=True).first()
    sent = {
        "source_record_id": SOURCE_RECORD_ID,
        "msisdn": str(number or line.msisdn),
        "service": SERVICE_NAMES[service],
        "units": units,
        "started_at": starts_at,
        **{key: value for key, value in said.items() if value not in (None, "", {})},
    }
    usage = records.read_mapping(sent)
    if usage.fault:
        detail = (usage.raw or {}).get("detail") or usage.fault
        raise TrialRefused(f"Such an event cannot be: {detail}")
    return usage


def tried(
    *, scope: Scope, line: Line, usage: records.Usage, now: datetime, draft: SteeringVersion | None = None
) -> Trial:
    """Who would pay, as far as `scope` may see it; at the end of the event, where that is still to come."""
    ends = records.parse_canonical(usage.ended_at or usage.used_at)
    foreseen = steering_trial.foresee(line=line, usage=usage, at=max(now, ends), instead=draft, is_walled=True)
    ids = {asked.version.id for asked in foreseen.asked}
    ids |= {leg.rule_id // NUMBERS for leg in foreseen.legs if leg.rule_id}
    rules = _Rules(scope, line.enterprise_id, ids)
    asked = tuple(
        ShownAsked(rules.of(one.version.id, one.number), one.is_fixed, one.holds, one.decides, one.comparisons)
        for one in foreseen.asked
    )
    if not foreseen.is_charged:
        return Trial(usage.service, (), asked, foreseen.reason, foreseen.detail)
    misses_number = usage.service in _SPOKEN and not usage.other_party and _misses_number(foreseen.asked)
    legs = tuple(_shown(leg, rules) for leg in foreseen.legs)
    return Trial(usage.service, legs, asked, misses_number=misses_number)


def _misses_number(asked: tuple[Asked, ...]) -> bool:
    for one in itertools.takewhile(lambda one: not one.decides, asked):
        rule = one.version.terms.rules[one.number - 1]
        if one.holds is None and fields_read(rule.when) & _OF_NUMBERS:
            return True
    return False


class _Rules:
    """The rules that a trial names, with their places as far as the reader sees them."""

    def __init__(self, scope: Scope, enterprise_id: int, version_ids: set[int]):
        versions = SteeringVersion.objects.filter(enterprise_id=enterprise_id, id__in=version_ids)
        self._versions = {version.id: version for version in versions.select_related("steering")}
        catalogue = catalogue_of(enterprise_id)
        #: What stands for a field that an event does not say.
        self.labels = {f"unknown:{name}": known.label for name, known in catalogue.fields.items()}
        self._terms = {version.id: terms_of(version, catalogue) for version in self._versions.values()}
        places = {version.steering.account_id for version in self._versions.values()}
        self._accounts = Account.objects.within(scope).in_bulk(places)

    def of(self, version_id: int, number: int) -> ShownRule:
        version = self._versions[version_id]
        name = self._terms[version_id].rules[number - 1].name if number else ""
        account = self._accounts.get(version.steering.account_id)
        return ShownRule(version_id, version.number, number, name, account)


def _shown(leg: ForeseenLeg, rules: _Rules) -> ShownLeg:
    rule = rules.of(*divmod(leg.rule_id, NUMBERS)) if leg.rule_id else None
    codes = [code for code in leg.codes.split() if not leg.is_personal or code.partition(":")[0] in _OF_STEERING]
    sentences = [rule.words] if rule else []
    rest = [code for code in codes if code.partition(":")[0] not in ("steer", "steer_default")]
    sentences += wording.words(" ".join(rest), rules.labels)
    if leg.is_personal:
        units = leg.units + leg.refused_units
        return ShownLeg(
            leg.starts_at, leg.ends_at, True, units, None, None, None, None, rule, leg.part, tuple(sentences)
        )
    return ShownLeg(
        leg.starts_at, leg.ends_at, False, leg.units, leg.refused_units, leg.covered_units, leg.amount_micros,
        leg.value_micros, rule, leg.part, tuple(sentences),
    )  # fmt: skip
