"""An enterprise of the cast in which people pay for the evening, for tests of the wall."""

from __future__ import annotations

from typing import Any

from balances import personal, personal_tariffs
from balances.models import PersonalAccount, PersonalTariff
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import GIB, Service
from policies.models import SteeringVersion
from policies.steering import publishing
from tests.cast import ACTOR, FEBRUARY, Cast, House

IN_FEBRUARY: dict[str, Any] = {"actor": ACTOR, "at": FEBRUARY}
EVENING = {"name": "Evening", "when": "not time within 08:00-18:00", "pays": "personal"}


def steer(house: House, *rules: dict[str, Any]) -> SteeringVersion:
    """Publish who pays, from the beginning of the contract on; people pay for the evening unless told otherwise."""
    draft = publishing.save_draft(account=house.root, rules=list(rules or (EVENING,)), **IN_FEBRUARY)
    return publishing.publish(version=draft, reason="Test", **IN_FEBRUARY)


def tariff(cast: Cast) -> PersonalTariff:
    """A gibibyte a month, then 1 cent a MiB; a minute for 6 cents, a message for 7."""
    made = personal_tariffs.create_tariff(operator=cast.operator, name="Evenings", currency="EUR", **IN_FEBRUARY)
    rates = [
        RateRow(Service.DATA, 10_000, 2**20),
        RateRow(Service.VOICE, 60_000, 60),
        RateRow(Service.MESSAGING, 70_000),
    ]
    allowances = [AllowanceRow("Included", Service.DATA, GIB)]
    personal_tariffs.add_version(tariff=made, effective_at=FEBRUARY, rates=rates, allowances=allowances, **IN_FEBRUARY)
    return made


def account_of(cast: Cast, key: str = "P-1") -> PersonalAccount:
    """A personal account of somebody of Aurora, accepted, that may owe much."""
    person = cast.aurora.people[key]
    PersonalAccount.objects.filter(person=person).update(opened_at=FEBRUARY, closed_at=FEBRUARY)  # the walk's
    opened = personal.open_account(
        person=person, tariff=tariff(cast), kind="postpaid", credit_limit_micros=10**9, **IN_FEBRUARY
    )
    return personal.accept(account=opened, text="Prices", **IN_FEBRUARY)
