"""An enterprise for fault tests, whose contract runs now: workers read the clock of the machine.

`build()` makes it in the database of the calling process, through the same functions that users reach; `build_in()`
has a process of its own do so for a stack with servers of its own. Several of them are twins: equal but for their
ids, and for the numbers of their lines, which run in step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from portal.runtime.service import ROOT

#: Allowances of the root: data and voice last, messages run out under load.
GRANTED = {"data": 10**15, "voice": 10**9, "messaging": 200, "video_conferencing": 10**9}
#: Shared by the root to these accounts, so that charges are drawn over several buckets of a chain.
SHARED = {"NORTH": {"data": 10**9, "messaging": 60}, "N-FIELD": {"data": 10**8, "messaging": 15}}
ACCOUNTS = [
    ("NORTH", "", "North", "division"),
    ("N-SALES", "NORTH", "North sales", "cost_centre"),
    ("N-FIELD", "N-SALES", "Field sales", "group"),
    ("SOUTH", "", "South", "division"),
]
LINES_AN_ACCOUNT = 4
FIRST_NUMBER, NUMBERS_APART = 4917050000000, 1_000
#: The cycle turns half a month from now, so that the last days' usage lies in one open cycle whenever tests run.
DAYS_TO_TURN = 14
DAYS_OF_CONTRACT = 70


@dataclass(frozen=True)
class House:
    """What a client needs to send usage, and a test to look at it."""

    enterprise_id: int
    operator_id: int
    number: str
    token: str
    msisdns: list[str]


def build(name: str, *, at: datetime) -> House:
    """An operator of that name with one enterprise: tree, lines, contract, thresholds, a token that may ingest."""
    from balances import hierarchy
    from balances.hierarchy import TreeRow
    from balances.models import Account, Operator
    from balances.scope import Verb
    from portal import tokens
    from portal.models import Membership, Role, User

    actor = "user:0 Fault test"
    operator = Operator.objects.create(name=name)
    enterprise = hierarchy.create_enterprise(operator=operator, name=name, number="F-1", actor=actor, at=at)
    rows = [TreeRow(row, *cells) for row, cells in enumerate(ACCOUNTS, start=2)]
    hierarchy.load_tree(enterprise=enterprise, rows=rows, actor=actor, at=at)
    accounts = {account.code: account for account in Account.objects.filter(enterprise=enterprise)}
    began_at = at - timedelta(days=DAYS_OF_CONTRACT)
    msisdns = _add_lines(enterprise, accounts, began_at, actor, at)
    _agree(operator, enterprise, accounts, began_at, actor, at)
    owner = User.objects.create(email=f"{operator.pk}@example.org", name="Owner")
    Membership.objects.create(user=owner, role=Role.OWNER, enterprise=enterprise)
    _, token = tokens.issue(
        operator=operator,
        enterprise=enterprise,
        name="Mediation",
        verbs=[Verb.VIEW, Verb.INGEST],
        created_by=owner,
        at=at,
    )
    return House(enterprise.pk, operator.pk, enterprise.number, token, msisdns)


def _add_lines(enterprise, accounts, began_at: datetime, actor: str, at: datetime) -> list[str]:
    from balances import inventory

    msisdns = []
    first = FIRST_NUMBER + enterprise.pk * NUMBERS_APART
    for code, *_ in ACCOUNTS:
        for _ in range(LINES_AN_ACCOUNT):
            msisdns.append(str(first + len(msisdns)))
            inventory.add_line(
                enterprise=enterprise,
                account=accounts[code],
                msisdn=msisdns[-1],
                assigned_from=began_at,
                actor=actor,
                at=at,
            )
    return msisdns


def _agree(operator, enterprise, accounts, began_at: datetime, actor: str, at: datetime) -> None:
    """Contract, allowances, rates, thresholds; then some of what the root was granted goes down the tree."""
    from balances import contracts, ledger
    from balances.models import Bucket
    from balances.units import Service

    zone = contracts.create_zone(
        operator=operator, code="home", name="Home", networks=["262"], is_home=True, is_default=True, actor=actor, at=at
    )
    contract = contracts.create_contract(
        enterprise=enterprise,
        number="FC-1",
        starts_at=began_at,
        time_zone="Europe/Berlin",
        currency="EUR",
        cycle_anchor_day=min((at + timedelta(days=DAYS_TO_TURN)).day, 28),
        actor=actor,
        at=at,
    )
    draft = contracts.draft_version(contract=contract, effective_at=began_at, actor=actor, at=at)
    for name, units in GRANTED.items():
        service = Service[name.upper()]
        contracts.add_allowance(version=draft, name=name, service=service, granted_units=units, actor=actor, at=at)
        contracts.set_rate(
            version=draft,
            service=service,
            zone=zone,
            increment_units=1,
            minimum_units=0,
            overage_price_micros=70_000,
            overage_block_units=1,
            actor=actor,
            at=at,
        )
    contracts.publish_version(version=draft, actor=actor, at=at)
    for code in SHARED:
        contracts.set_threshold(account=accounts[code], service=Service.MESSAGING, units=10, actor=actor, at=at)
    for bucket in Bucket.objects.filter(
        enterprise=enterprise, account=accounts[enterprise.number], valid_until__gt=at
    ).order_by("id"):
        for code, shares in SHARED.items():
            if units := shares.get(Service(bucket.service).name.lower()):
                ledger.allocate(bucket_id=bucket.pk, account_id=accounts[code].pk, units=units, actor=actor, at=at)


def build_in(environment: Mapping[str, str], *names: str) -> list[House]:
    """Twins of these names, made in the database of another environment."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.faults.house", *names],
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return [House(**fields) for fields in json.loads(finished.stdout.splitlines()[-1])]


def main() -> None:
    """Build one of each name in the database of the environment and print them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    import django

    django.setup()
    at = datetime.now(UTC)
    print(json.dumps([asdict(build(name, at=at)) for name in sys.argv[1:]]))


if __name__ == "__main__":
    main()
