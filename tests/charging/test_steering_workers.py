"""Four processes charge forked usage of one enterprise at once: no budget and no account is passed by a unit."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Sum

from balances import proof
from balances.models import ChargeLine, PersonalAccount
from policies.models import SteeringUse
from portal.charging import pipeline
from portal.charging.state import EnterpriseState
from portal.management.commands.check_ledger import CHECKS
from tests.charging.byod_world import People, parts
from tests.charging.small_world import START, World
from tests.charging.steered import split_of, steer
from tests.charging.test_pipeline import charge, used
from tests.databases import with_database

WORKERS, DELIVERIES, UNITS = 4, 50, 3


def faults(world: World) -> list[str]:
    findings = proof.prove(enterprise_id=world.enterprise.id, checks=CHECKS)
    return [f"{finding.check.name}: {fault}" for finding in findings for fault in finding.faults]


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(240)
def test_four_workers_pass_no_budget_that_many_lines_share_and_no_prepaid_account() -> None:
    """Of 1,050 units of data the company pays 100 of all lines together and 30 a person; Otto has money for 45."""
    people = People(World())
    world = people.world
    people.uses("Otto", "c")
    people.open("Otto", "prepaid 450")
    shared = "company 100 units a cycle of all together, then company 30 units a day of each person, then person"
    steer(
        world, "R", {"when": "service is data", "pays": parts(shared)},
        {"when": "service is messaging", "pays": parts("company 60 %, then person")},
    )  # fmt: skip
    for number in range(DELIVERIES):
        at = START - timedelta(minutes=number)
        data = [used(f"{number}-{place}", line, UNITS, at) for place, line in enumerate("abccccd")]
        world.accept([*data, used(f"{number}-sms", "a", 1, at, service="messaging")], START)
    environment = {
        **os.environ,
        "DATABASE_URL": with_database(os.environ["DATABASE_URL"], connection.settings_dict["NAME"]),
    }
    command = [sys.executable, "-m", "tests.charging.drain_worker", str(world.enterprise.id), START.isoformat()]
    workers = [subprocess.Popen(command, env=environment) for _ in range(WORKERS)]
    assert [worker.wait(200) for worker in workers] == [0] * WORKERS

    taken = list(SteeringUse.objects.order_by("budget", "owner_kind", "owner_id").values_list("budget", "used"))
    assert taken == [
        ("rule 1#1 corporate cycle", 100),
        ("rule 1#2 corporate day", 30),  # of line d, which nobody is known to use
        ("rule 1#2 corporate day", 30),
        ("rule 1#2 corporate day", 30),
        ("rule 2#1 percent", DELIVERIES),
    ]
    units = {
        (line["payer"], line["usage__service"]): (line["granted"], line["refused"])
        for line in ChargeLine.objects.values("payer", "usage__service")
        .annotate(granted=Sum("units"), refused=Sum("refused_units"))
        .order_by("payer")
    }
    assert units[1, 1] == (190, 0)
    assert sum(units[2, 1]) == DELIVERIES * 7 * UNITS - 190
    assert (units[1, 3], units[2, 3]) == ((30, 0), (20, 0))
    otto = PersonalAccount.objects.get(person=people.persons["Otto"])
    assert (otto.balance_micros, otto.entries.filter(kind="charge").aggregate(paid=Sum("micros"))["paid"]) == (0, -450)
    assert faults(world) == []


def test_a_worker_that_does_not_look_again_would_be_seen_to_pass_a_budget(world: World, monkeypatch) -> None:
    """The control: what keeps workers within a budget is that they compare sequences under the lock."""
    steer(world, "N", {"name": "First", "pays": parts("company 30 units a cycle of all together, then person")})
    charge(world, used("1", "a", 20))
    first = pipeline._states
    pipeline.forget_everything()
    charge(world, used("2", "b", 10))
    assert faults(world) == []
    monkeypatch.setattr(EnterpriseState, "refresh", lambda *_: None)
    monkeypatch.setattr(pipeline, "_states", first)
    charge(world, used("3", "a", 10))
    assert split_of("3") == [("corporate", 10)]
    assert any(fault.startswith("budgets-are-not-passed") for fault in faults(world))
