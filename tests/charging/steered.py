"""What tests of who pays build and read, on the small world: people on its lines, published rules, legs of a record."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from balances import inventory
from balances.models import Person, UsageRecord
from policies.models import PolicyState, Steering, SteeringVersion
from portal.charging import ingest
from portal.charging.records import read_mapping
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World
from tests.charging.test_pipeline import drain


class Leg(NamedTuple):
    """A charge line, as far as who pays is concerned."""

    payer: str
    units: int
    refused: int
    starts: datetime
    codes: tuple[str, ...]


def person_on(world: World, line: str, name: str = "Paula") -> Person:
    """A person whose line it has been from the beginning."""
    held = world.lines[line]
    person = inventory.add_person(
        enterprise=world.enterprise,
        account=held.account,
        number=f"P-{line}",
        name=name,
        email="",
        actor=ACTOR,
        at=START,
    )
    inventory.change_person(line=held, person=person, actor=ACTOR, at=BOUNDARIES[0])
    return person


def steer(
    world: World, account: str, *rules: dict[str, Any], default: Any = None, missing: Any = None,
    effective_at: datetime = BOUNDARIES[0], ends_at: datetime | None = None,
) -> SteeringVersion:  # fmt: skip
    """Rules of who pays that are published, for usage of a time that may lie in the past."""
    steering, _ = Steering.objects.get_or_create(
        account=world.accounts[account], enterprise=world.enterprise, defaults={"made_at": START, "made_by": ACTOR}
    )
    number = steering.versions.count() + 1
    rules_ = [{"name": f"Rule {place}", **rule} for place, rule in enumerate(rules, start=1)]
    return SteeringVersion.objects.create(
        enterprise=world.enterprise, steering=steering, number=number,
        state=PolicyState.PUBLISHED if ends_at is None else PolicyState.RETIRED, rules=rules_, default=default,
        missing=missing or {}, effective_at=effective_at, ends_at=ends_at, made_at=START, made_by=ACTOR,
        published_at=START, published_by=ACTOR, published_sequence=-1,
    )  # fmt: skip


def event(world: World, name: str, line: str, units: int, at: datetime, **said: Any) -> None:
    """Deliver and charge a record with whatever else a network's message says of it."""
    sent = {
        "source_record_id": name, "msisdn": NUMBERS.get(line, line), "service": "data", "units": units,
        "started_at": at, **said,
    }  # fmt: skip
    delivery = ingest.Delivery(world.operator.id, world.enterprise.id, world.sources["one"], "test")
    ingest.accept(delivery=delivery, usages=[read_mapping(sent)], at=START)
    drain(world)


def legs(name: str) -> list[Leg]:
    """All charge lines of an event, the company's and people's, in order of time."""
    found = []
    for record in UsageRecord.objects.filter(source_record_id=name):
        for line in record.charge_lines.all():
            payer = "corporate" if record.payer == 1 else "personal"
            found.append(Leg(payer, line.units, line.refused_units, line.starts_at, tuple(line.reasons.split())))
    return sorted(found, key=lambda leg: (leg.starts, leg.payer))


def split_of(name: str) -> list[tuple[str, int]]:
    """Payer and units, granted or not, of each charge line of an event, in order of time."""
    return [(leg.payer, leg.units + leg.refused) for leg in legs(name)]
