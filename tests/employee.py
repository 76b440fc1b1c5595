"""What tests of one's own pages begin with: Emil proved who he is, has a personal account, and rules say who pays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from balances import personal, personal_tariffs
from balances.models import Person, PersonalAccount, PersonalAccountKind, PersonalTariff
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import MIB, Service
from policies.models import PolicyState, Steering, SteeringVersion
from portal import claims
from portal.models import PersonClaim, User
from tests.cast import ACTOR, Cast, House

#: When tariff, account and rules began: before anything is used in tests that live today.
BEGUN = datetime(2026, 4, 1, tzinfo=UTC)
#: Who pays what in Aurora, unless a test says otherwise.
CALLS = {"name": "Private numbers", "when": "service is voice and other_party starts (4989)", "pays": "personal"}
SHARED = {
    "name": "Data abroad", "when": "service is data and roaming is yes",
    "pays": [{"payer": "corporate", "percent": 60}, {"payer": "personal"}],
}  # fmt: skip


def prove(user: User, person: Person) -> PersonClaim:
    """The user enters the code that the person is given."""
    _, code = claims.issue(person=person, actor=ACTOR, at=BEGUN)
    return claims.confirm(user=user, code=code, at=BEGUN)


def tariff(cast: Cast) -> PersonalTariff:
    """10 cents a MiB, a minute and a message; 10 MiB of data are included each month."""
    made = personal_tariffs.create_tariff(operator=cast.operator, name="Private", currency="EUR", actor=ACTOR, at=BEGUN)
    blocks = ((Service.DATA, MIB), (Service.VOICE, 60), (Service.MESSAGING, 1))
    rates = [RateRow(service, 100_000, block) for service, block in blocks]
    allowances = [AllowanceRow("Private data", Service.DATA, 10 * MIB)]
    personal_tariffs.add_version(
        tariff=made, effective_at=BEGUN, rates=rates, allowances=allowances, actor=ACTOR, at=BEGUN
    )
    return made


def open_account(cast: Cast, person: Person, *, accepted: bool = True, **terms: Any) -> PersonalAccount:
    """A personal account since `BEGUN`; prepaid with 20 euros in it, unless told."""
    kind = terms.pop("kind", PersonalAccountKind.PREPAID)
    paid_in = terms.pop("paid_in", 20_000_000 if kind == PersonalAccountKind.PREPAID else 0)
    account = personal.open_account(person=person, tariff=tariff(cast), kind=kind, actor=ACTOR, at=BEGUN, **terms)
    if accepted:
        account = personal.accept(account=account, text="Ten cents each.", actor=ACTOR, at=BEGUN)
    if paid_in:
        personal.top_up(account=account, micros=paid_in, key=f"first-{account.id}", actor=ACTOR, at=BEGUN)
        account.refresh_from_db()
    return account


def steer(house: House, *rules: dict[str, Any], missing: dict[str, Any] | None = None) -> SteeringVersion:
    """Rules at the top of a house that hold since `BEGUN`."""
    steering = Steering.objects.create(account=house.root, enterprise=house.enterprise, made_at=BEGUN, made_by=ACTOR)
    return SteeringVersion.objects.create(
        enterprise=house.enterprise, steering=steering, number=1, state=PolicyState.PUBLISHED, rules=list(rules),
        missing=missing or {}, effective_at=BEGUN, made_at=BEGUN, made_by=ACTOR, published_at=BEGUN,
        published_by=ACTOR, published_sequence=-1,
    )  # fmt: skip


@dataclass(frozen=True)
class Employee:
    """Emil with an account, and the rules of his company."""

    cast: Cast
    account: PersonalAccount
    rules: SteeringVersion

    @property
    def person(self) -> Person:
        return self.cast.aurora.people["P-1"]


def employee(cast: Cast, **terms: Any) -> Employee:
    """All of it, with the proof that the cast has; `missing`: what happens where he cannot pay."""
    missing = terms.pop("missing", None)
    account = open_account(cast, cast.aurora.people["P-1"], **terms)
    return Employee(cast, account, steer(cast.aurora, CALLS, SHARED, missing=missing))
