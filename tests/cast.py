"""The cast that all tests use: one operator, two enterprises, and the people who may or may not see them.

Built through the same functions that users reach, at one fixed instant, `NOW`. The contracts began with
February, so that the cycles of February and March are open. Who is who:

    alice    telecoms manager of Aurora          bruno    telecoms manager of Borealis
    carla    manager of Aurora's North           dora     observer of Aurora's South
    emil     employee of Aurora, two lines       olga     account manager of the operator, for both
    mallory  outsider: signs in, holds nothing
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from django.contrib.auth.hashers import make_password

from balances import contracts, hierarchy, inventory
from balances.hierarchy import TreeRow
from balances.models import (
    Account,
    Contract,
    ContractVersion,
    Device,
    Enterprise,
    Line,
    Operator,
    Person,
    Zone,
)
from balances.scope import Verb
from balances.units import GIB, KIB, MIB, Service
from portal import claims, tokens
from portal.models import ApiToken, Membership, Role, User

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
#: Midnight of 1 February, 1 March and 1 April in Berlin; the clocks change on 29 March.
FEBRUARY = datetime(2026, 1, 31, 23, tzinfo=UTC)
MARCH = datetime(2026, 2, 28, 23, tzinfo=UTC)
APRIL = datetime(2026, 3, 31, 22, tzinfo=UTC)

ACTOR = "user:0 Test cast"
PASSWORD = "quiet-otter-42"

DATA_UNITS = 100 * GIB
DATA_ROLLOVER_UNITS = 20 * GIB
VOICE_UNITS = 60_000
MESSAGING_UNITS = 1_000
CONFERENCING_UNITS = 36_000

#: Service, zone: increment, minimum, price in micros a block, block.
RATES: dict[tuple[Service, str], tuple[int, int, int, int]] = {
    (Service.DATA, "home"): (KIB, 0, 4_000, MIB),
    (Service.DATA, "eu"): (KIB, 0, 4_000, MIB),
    (Service.DATA, "world"): (100 * KIB, 0, 250_000, MIB),
    (Service.VOICE, "home"): (1, 0, 60_000, 60),
    (Service.VOICE, "eu"): (1, 30, 90_000, 60),
    (Service.VOICE, "world"): (60, 60, 990_000, 60),
    (Service.MESSAGING, "home"): (1, 0, 70_000, 1),
    (Service.MESSAGING, "eu"): (1, 0, 70_000, 1),
    (Service.MESSAGING, "world"): (1, 0, 290_000, 1),
    (Service.VIDEO_CONFERENCING, "home"): (60, 0, 20_000, 60),
    (Service.VIDEO_CONFERENCING, "eu"): (60, 0, 20_000, 60),
    (Service.VIDEO_CONFERENCING, "world"): (60, 0, 150_000, 60),
}


@dataclass(frozen=True)
class House:
    """An enterprise with all that belongs to it; accounts by code, people by number, lines by label."""

    enterprise: Enterprise
    accounts: dict[str, Account]
    people: dict[str, Person]
    devices: list[Device]
    lines: dict[str, Line]
    contract: Contract
    version: ContractVersion

    @property
    def root(self) -> Account:
        return self.accounts[self.enterprise.number]


@dataclass(frozen=True)
class Cast:
    """Everybody and everything."""

    operator: Operator
    zones: dict[str, Zone]
    aurora: House
    borealis: House
    alice: User
    bruno: User
    carla: User
    dora: User
    emil: User
    olga: User
    mallory: User

    @property
    def users(self) -> dict[str, User]:
        """All who sign in, by name."""
        names = ("alice", "bruno", "carla", "dora", "emil", "olga", "mallory")
        return {name: getattr(self, name) for name in names}


def build() -> Cast:
    """The whole cast, freshly made."""
    operator = Operator.objects.create(name="Nordnetz")
    zones = _zones(operator)
    aurora = _aurora(operator, zones)
    borealis = _borealis(operator, zones)
    cast = Cast(
        operator=operator,
        zones=zones,
        aurora=aurora,
        borealis=borealis,
        alice=_user("alice", "Alice Arden"),
        bruno=_user("bruno", "Bruno Berg"),
        carla=_user("carla", "Carla Castell"),
        dora=_user("dora", "Dora Dahl"),
        emil=_user("emil", "Emil Engel"),
        olga=_user("olga", "Olga Ohm"),
        mallory=_user("mallory", "Mallory Moor"),
    )
    _memberships(cast)
    return cast


def issue_token(
    cast: Cast,
    maker: User,
    *verbs: Verb,
    enterprise: Enterprise | None = None,
    account: Account | None = None,
    name: str = "Mediation",
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """A token of `maker` and its plain text."""
    return tokens.issue(
        operator=cast.operator,
        enterprise=enterprise,
        account=account,
        name=name,
        verbs=verbs or (Verb.VIEW,),
        created_by=maker,
        expires_at=expires_at,
        at=NOW,
    )


def bearer(plain: str) -> dict[str, str]:
    """The headers of a REST client with this token."""
    return {"Authorization": f"Bearer {plain}"}


def imei(number: int) -> str:
    """A valid IMEI with this serial number."""
    digits = f"35209900{number:06}"
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(digits))
    return digits + str(-sum(d // 10 + d % 10 for d in doubled) % 10)


def _zones(operator: Operator) -> dict[str, Zone]:
    zones = [
        ("home", "Home", ["262"], {"is_home": True}),
        ("eu", "European Union", ["208", "222", "232", "240"], {}),
        ("world", "World", ["228", "310", "440"], {"is_default": True}),
    ]
    return {
        code: contracts.create_zone(
            operator=operator, code=code, name=name, networks=networks, actor=ACTOR, at=NOW, **flags
        )
        for code, name, networks, flags in zones
    }


def _aurora(operator: Operator, zones: dict[str, Zone]) -> House:
    """Lines in both divisions; two of them are Emil's."""
    return _house(
        operator,
        zones,
        name="Aurora AG",
        number="A-1000",
        tree=[
            ("NORTH", "", "North", "division"),
            ("N-SALES", "NORTH", "North sales", "cost_centre"),
            ("N-FIELD", "N-SALES", "Field sales", "group"),
            ("N-SERVICE", "NORTH", "North service", "cost_centre"),
            ("SOUTH", "", "South", "division"),
            ("S-PLANT", "SOUTH", "Plant", "cost_centre"),
            ("S-MACHINES", "S-PLANT", "Machines", "group"),
        ],
        people=[("P-1", "Emil Engel", "N-FIELD"), ("P-2", "Frida Fels", "S-PLANT")],
        lines=[
            ("emil phone", "4917010000001", "N-FIELD", "P-1"),
            ("emil tablet", "4917010000002", "N-FIELD", "P-1"),
            ("service van", "4917010000003", "N-SERVICE", None),
            ("frida phone", "4917010000004", "S-PLANT", "P-2"),
            ("press 7", "4917010000005", "S-MACHINES", None),
        ],
    )


def _borealis(operator: Operator, zones: dict[str, Zone]) -> House:
    """Smaller, with the same codes and personnel numbers where that can lead astray."""
    return _house(
        operator,
        zones,
        name="Borealis GmbH",
        number="B-2000",
        tree=[
            ("NORTH", "", "North", "division"),
            ("EAST", "", "East", "division"),
            ("E-LAB", "EAST", "Laboratory", "cost_centre"),
            ("E-ROBOTS", "E-LAB", "Robots", "group"),
        ],
        people=[("P-1", "Gerda Grau", "E-LAB")],
        lines=[
            ("gerda phone", "4917020000001", "E-LAB", "P-1"),
            ("robot 1", "4917020000002", "E-ROBOTS", None),
        ],
    )


def _house(
    operator: Operator,
    zones: dict[str, Zone],
    *,
    name: str,
    number: str,
    tree: list[tuple[str, str, str, str]],
    people: list[tuple[str, str, str]],
    lines: list[tuple[str, str, str, str | None]],
) -> House:
    enterprise = hierarchy.create_enterprise(operator=operator, name=name, number=number, actor=ACTOR, at=NOW)
    rows = [TreeRow(row, *cells) for row, cells in enumerate(tree, start=2)]
    loaded = hierarchy.load_tree(enterprise=enterprise, rows=rows, actor=ACTOR, at=NOW)
    assert not loaded.errors, loaded.errors
    accounts = {account.code: account for account in Account.objects.filter(enterprise=enterprise)}
    contract, version = _contract(enterprise, zones)
    persons = {
        key: inventory.add_person(
            enterprise=enterprise, account=accounts[code], number=key, name=person, actor=ACTOR, at=NOW
        )
        for key, person, code in people
    }
    devices, made = [], {}
    for label, msisdn, code, person in lines:
        device = inventory.add_device(
            enterprise=enterprise, imei=imei(int(msisdn[-6:])), model="Fairphone 6", actor=ACTOR, at=NOW
        )
        devices.append(device)
        made[label] = inventory.add_line(
            enterprise=enterprise,
            account=accounts[code],
            msisdn=msisdn,
            imsi=f"26207{msisdn[-10:]}",
            label=label,
            person=persons[person] if person else None,
            device=device,
            assigned_from=FEBRUARY,
            actor=ACTOR,
            at=NOW,
        )
    return House(enterprise, accounts, persons, devices, made, contract, version)


def _contract(enterprise: Enterprise, zones: dict[str, Zone]) -> tuple[Contract, ContractVersion]:
    contract = contracts.create_contract(
        enterprise=enterprise,
        number=f"C-{enterprise.number}",
        starts_at=FEBRUARY,
        time_zone="Europe/Berlin",
        currency="EUR",
        cycle_anchor_day=1,
        actor=ACTOR,
        at=NOW,
    )
    draft = contracts.draft_version(contract=contract, effective_at=FEBRUARY, actor=ACTOR, at=NOW)
    for name, service, units, where, cap in (
        ("Data", Service.DATA, DATA_UNITS, ("home", "eu"), DATA_ROLLOVER_UNITS),
        ("Voice", Service.VOICE, VOICE_UNITS, (), 0),
        ("Messages", Service.MESSAGING, MESSAGING_UNITS, (), 0),
        ("Video conferencing", Service.VIDEO_CONFERENCING, CONFERENCING_UNITS, (), 0),
    ):
        contracts.add_allowance(
            version=draft,
            name=name,
            service=service,
            granted_units=units,
            zones=[zones[code] for code in where],
            rollover_cap_units=cap,
            actor=ACTOR,
            at=NOW,
        )
    set_rates(draft, zones)
    return contract, contracts.publish_version(version=draft, actor=ACTOR, at=NOW)


def set_rates(draft: ContractVersion, zones: dict[str, Zone]) -> None:
    """All of `RATES` on a draft."""
    for (service, code), (increment, minimum, price, block) in RATES.items():
        contracts.set_rate(
            version=draft,
            service=service,
            zone=zones[code],
            increment_units=increment,
            minimum_units=minimum,
            overage_price_micros=price,
            overage_block_units=block,
            actor=ACTOR,
            at=NOW,
        )


@cache
def _password_hash() -> str:
    """Made once: hashing is slow on purpose."""
    return make_password(PASSWORD)


def _user(key: str, name: str) -> User:
    return User.objects.create(email=f"{key}@example.org", name=name, password=_password_hash())


def _memberships(cast: Cast) -> None:
    aurora, borealis = cast.aurora, cast.borealis

    def join(user: User, role: Role, **place: object) -> None:
        Membership.objects.create(user=user, role=role, **place)

    join(cast.alice, Role.OWNER, enterprise=aurora.enterprise)
    join(cast.bruno, Role.OWNER, enterprise=borealis.enterprise)
    join(cast.carla, Role.MANAGER, enterprise=aurora.enterprise, account=aurora.accounts["NORTH"])
    join(cast.dora, Role.OBSERVER, enterprise=aurora.enterprise, account=aurora.accounts["SOUTH"])
    join(cast.emil, Role.EMPLOYEE, enterprise=aurora.enterprise, person=aurora.people["P-1"])
    # And he proved to be the person, which opens what is personal to him.
    _, code = claims.issue(person=aurora.people["P-1"], actor=ACTOR, at=NOW)
    claims.confirm(user=cast.emil, code=code, at=NOW)
    join(cast.olga, Role.OPERATOR, operator=cast.operator)
    join(cast.olga, Role.OPERATOR, operator=cast.operator, enterprise=aurora.enterprise)
    join(cast.olga, Role.OPERATOR, operator=cast.operator, enterprise=borealis.enterprise)
