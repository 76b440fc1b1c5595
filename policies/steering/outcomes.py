"""Versions of rules as they hold for usage of a time, and the outcomes that they give: who pays, by which budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from policies.models import BudgetMeasure
from policies.steering.rules import COMPANY_PAYS, PERSONAL, Parts, SteeringRule, Terms

#: A rule's number in reasons and on charge lines: its version's id, and its place in it, from 1; 0 is the default.
NUMBERS = 1_000

BEGINNING, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount of a part, as its use is kept; `amount` 0 for what is shared by percent."""

    steering_id: int
    name: str
    measure: int
    every: str
    of: str
    amount: int
    account_id: int


@dataclass(slots=True, eq=False)
class Outcome:
    """Who pays by one rule or default. `id`: as reasons and charge lines name it; 0: nobody says, so the company pays.

    `budgets`: by part, from 1; of percents in a row the first has the one of all.
    """

    id: int
    version_id: int
    number: int
    account_id: int
    name: str
    parts: Parts
    budgets: Mapping[int, Budget]
    #: Whether the company or the person pays all of it, and whether the person pays any; worked out once, asked for
    #: each event.
    is_company: bool = field(init=False)
    is_personal: bool = field(init=False)
    has_personal: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_company = self.parts == COMPANY_PAYS
        self.is_personal = len(self.parts) == 1 and self.parts[0].payer == PERSONAL and not self.budgets
        self.has_personal = any(part.payer == PERSONAL for part in self.parts)

    @property
    def code(self) -> str:
        """The reason code of its charge lines."""
        return f"steer_default:{self.id}" if not self.number else f"steer:{self.id}"


NOBODY_SAYS = Outcome(0, 0, 0, 0, "", COMPANY_PAYS, {})


@dataclass(slots=True, eq=False)
class StandingVersion:
    """A version as it holds for usage of a time; its rules as outcomes."""

    id: int
    steering_id: int
    account_id: int
    terms: Terms
    starts: datetime
    ends: datetime
    _default: Outcome | None = None

    @property
    def default_outcome(self) -> Outcome:
        """The outcome of its default; always the same one, so that no session is cut where it goes on deciding."""
        if self._default is None:
            self._default = self.outcome_of(0, None)
        return self._default

    def outcome_of(self, number: int, rule: SteeringRule | None) -> Outcome:
        """The outcome of its rule of that number, from 1; without a rule its default."""
        parts = rule.pays if rule is not None else self.terms.default or COMPANY_PAYS
        name = rule.name if rule is not None else ""
        id_ = self.id * NUMBERS + number
        return Outcome(id_, self.id, number, self.account_id, name, parts, self._budgets(name, parts))

    def _budgets(self, name: str, parts: Parts) -> dict[int, Budget]:
        found: dict[int, Budget] = {}
        for place, part in enumerate(parts, start=1):
            budget_of = f"{name.casefold()}#{place}"  # of a default "": no rule is called so
            if part.percent and not (place > 1 and parts[place - 2].percent):
                found[place] = Budget(
                    self.steering_id, f"{budget_of} percent", int(BudgetMeasure.SHARED), "cycle", "line", 0,
                    self.account_id,
                )  # fmt: skip
            elif part.has_amount:
                measure = BudgetMeasure.UNITS if part.units is not None else BudgetMeasure.MICROS
                amount = part.units if part.units is not None else part.micros
                found[place] = Budget(  # whose money it is belongs to its name: another payer has used nothing of it
                    self.steering_id, f"{budget_of} {part.payer} {part.every}", int(measure), part.every, part.of,
                    amount or 0, self.account_id,
                )  # fmt: skip
        return found
