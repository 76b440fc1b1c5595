"""Eight processes charge while everybody allocates, trades, lends and limits: ten minutes, simulated in half of one.

Afterwards the reference does the same in the order in which it was committed, and must come to the same, bucket by
bucket. Which of the workers came first decides that order, so each run is another one; a seed gives the same people
with the same wishes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction

from balances import locks, proof, standing, trading_terms
from balances.models import Bucket, Loan, Offer, OfferAct, StandingRun, Trade
from policies.proof import CHECKS
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging import reference
from tests.charging.reference import Record
from tests.charging.small_world import SERVICES, START, VERSIONS, World, differences, rolled_back
from tests.databases import with_database
from tests.faults.charging_worker import Clock
from tests.faults.market_twin import APPROVAL_ABOVE, FLOOR, Twin
from tests.faults.traffic import Act, Traffic, deadlocks

WORKERS, PEOPLE = 8, 5
#: Ten minutes around a midnight of Berlin: a day's limits begin anew, standing transfers of the 18th are due.
BEGIN, SIMULATED_SECONDS, SPEED = datetime(2026, 3, 17, 22, 55, tzinfo=UTC), 600, 25
SEED = int(os.environ.get("TRAFFIC_SEED", "20260318"))
UNITS = {"Data": 30_000, "Data at home": 9_000, "Voice": 9_000}
#: Whatever the machine is busy with, a run with less than this proves little.
LEAST = {"records": 100, "allocate": 2, "offer": 5, "accept": 3, "limit": 1, "change": 2, "extend": 2}


def large_world() -> World:
    """The small enterprise with more to trade and to use."""
    grants = tuple(replace(grant, units=UNITS[grant.name]) for grant in VERSIONS[0].grants)
    world = World(versions=[replace(VERSIONS[0], grants=grants), VERSIONS[1]])
    trading_terms.set_terms(
        account=world.accounts["R"], service=SERVICES["data"], floor_units=FLOOR, approval_above_units=APPROVAL_ABOVE,
        actor=ACTOR, at=START,
    )  # fmt: skip
    return world


def run(world: World, patch: pytest.MonkeyPatch, *, workers: int, seconds: float) -> tuple[Traffic, list[dict]]:
    """Let everybody act for so many real seconds, and charge what is left; says what the workers say."""
    environment = {
        **os.environ,
        "DATABASE_URL": with_database(os.environ["DATABASE_URL"], connection.settings_dict["NAME"]),
    }
    command = [sys.executable, "-m", "tests.faults.charging_worker", str(world.enterprise.id)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    charging = [subprocess.Popen([*command, str(n % 2)], env=environment, **pipes) for n in range(workers)]
    assert [one.stdout.readline() for one in charging] == ["ready\n"] * workers
    clock = Clock(BEGIN.isoformat(), time.time(), SPEED, seconds)
    for one in charging:
        one.stdin.write(json.dumps(vars(clock)) + "\n")
        one.stdin.flush()
    traffic = Traffic(world, clock, seed=SEED)
    with patch.context() as patched:
        patched.setattr(locks, "enterprise", traffic.noting)
        patched.setattr(standing, "_run_next", traffic.running)
        threads = traffic.threads(PEOPLE)
        connection.close()  # the pool has eight
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 60)
    said = [json.loads(one.communicate(timeout=60)[0]) for one in charging]
    while pipeline.charge_group(world.enterprise.id, at=clock.now()) is not None:
        pass
    return traffic, said


def done_again(world: World, traffic: Traffic, left_out: Act | None = None) -> Twin:
    """The reference after all that was committed."""
    twin, keys = world.reference(Twin), world.bucket_keys()
    names = {number: name for name, number in world.sources.items()}
    numbers = {line.id: line.msisdn for line in world.lines.values()}
    services = {number: name for name, number in SERVICES.items()}
    for step in traffic.in_order():
        if isinstance(step, Act):
            if step is not left_out:
                do(twin, keys, step)
            continue
        for row in step:
            record = Record(
                names[row.source_id], row.source_record_id, services[row.service], numbers[row.line_id], row.units,
                row.used_at, row.ended_at, row.visited_network,
            )  # fmt: skip
            assert twin.take(record, row.charged_at) == "charged"
    return twin


def do(twin: Twin, keys: dict[int, str], act: Act) -> None:
    """What was done, by the reference."""
    facts, at, result = act.facts, act.at, act.result
    bucket = keys[facts["bucket"]] if "bucket" in facts else ""
    acts: dict[str, Callable[[], None]] = {
        "allocate": lambda: twin.allocate(bucket, facts["owner"], facts["units"], at),
        "take_back": lambda: twin.take_back(bucket, facts["units"], at),
        "offer": lambda: twin.offer(
            result.id, bucket, facts["to"], facts["units"], facts["expires"], facts["returns"], facts["counters"]
        ),
        "accept": lambda: twin.accept(result.id, facts["offer"], facts["taker"], facts["units"], at),
        "withdraw": lambda: twin.withdraw(facts["offer"]),
        "decline": lambda: twin.decline(facts["offer"]),
        "approve": lambda: twin.approve(facts["trade"]),
        "refuse": lambda: twin.refuse(facts["trade"], at),
        "repay": lambda: twin.repay(facts["trade"], facts["units"]),
        "sweep": lambda: twin.sweep(at),
        "return_due": lambda: twin.return_due(at),
        "order": lambda: twin.order(result.id, facts["giver"], facts["taker"], facts["units"], result.next_at),
        "run": lambda: twin.run(facts["order"], at),
        "limit": lambda: limit_made(twin, act),
        "change": lambda: limit_changed(twin, act),
        "extend": lambda: limit_extended(twin, act),
    }
    acts[act.kind]()


def limit_made(twin: Twin, act: Act) -> None:
    """A limit stands from then on; what was used in its period counts."""
    facts, made = act.facts, act.result
    services = {number: name for name, number in SERVICES.items()}
    limit = reference.Limit(
        made.id, facts["owner"], services.get(facts["service"]), "abroad" if facts["is_abroad"] else None,
        facts["measure"] == "money", facts["window"], facts["amount"], facts["action"], (50, 100), made.counts_from,
    )  # fmt: skip
    twin.limits.append(limit)
    twin.cross(limit, limit.period(act.at))


def limit_changed(twin: Twin, act: Act) -> None:
    """Another amount and action."""
    limit = next(known for known in twin.limits if known.name == act.facts["limit"])
    limit.amount, limit.action = act.facts["amount"], act.facts["action"]
    twin.cross(limit, limit.period(act.at))


def limit_extended(twin: Twin, act: Act) -> None:
    """More in a period; nothing where another's extension with the same number was first."""
    if act.result is not None:
        limit = next(known for known in twin.limits if known.name == act.facts["limit"])
        limit.extras.append((act.result.period_start, act.facts["amount"]))
        twin.cross(limit, limit.period(act.at))


def unlike(world: World, twin: Twin) -> dict[str, object]:
    """Everything in which the database and the reference differ."""
    found = differences(world, twin)
    offers, trades = Offer.objects.exclude(actor="beat"), Trade.objects.exclude(actor="beat")
    pairs = {
        "offers": (
            {one.id: (one.state, one.open_units, one.held_units) for one in offers},
            {number: (deal.state, deal.open, deal.held) for number, deal in twin.deals.items()},
        ),
        "trades": (
            {one.id: (one.state, one.units) for one in trades},
            {number: (trade.state, trade.units) for number, trade in twin.trades.items()},
        ),
        "loans": (
            {one.trade_id: (one.state, one.units, one.returned_units) for one in Loan.objects.all()},
            {number: (loan.state, loan.units, loan.back) for number, loan in twin.loans.items()},
        ),
        "standing": (
            {one.standing_id: one.units for one in StandingRun.objects.all()},
            {number: order.gave for number, order in twin.orders.items() if order.gave is not None},
        ),
        "limits anew": ({limit.name: twin.uses(limit) for limit in twin.limits}, twin.added_up_anew()),
    }
    for name, (real, wanted) in pairs.items():
        for key in real.keys() | wanted.keys():
            if real.get(key) != wanted.get(key):
                found[f"{name} {key}"] = {"database": real.get(key), "model": wanted.get(key)}
    return found


def damaged(world: World) -> list[str]:
    """Identities that do not hold."""
    number = world.enterprise.id
    findings = [*proof.prove(enterprise_id=number), *proof.prove(enterprise_id=number, checks=CHECKS)]
    return [str(finding) for finding in findings if not finding.holds]


def offers_that_did_not_end_once() -> list[int]:
    """Offers that are over without the act that ended them, or whose escrow is not what is open and what waits."""
    wrong = []
    ends = {"taken": "accepted", "withdrawn": "withdrawn", "refused": "refused", "expired": "expired"}
    waiting: dict[int, int] = {}
    for trade in Trade.objects.filter(state="waiting"):
        waiting[trade.offer_id] = waiting.get(trade.offer_id, 0) + trade.gave_units
    for offer in Offer.objects.all():
        acts = list(OfferAct.objects.filter(offer=offer).values_list("kind", "trade_id"))
        over = [kind for kind, trade in acts if kind in ("withdrawn", "expired", "refused") and trade is None]
        ended = ends.get(offer.state, "offered") in [kind for kind, _ in acts]
        held = (offer.open_units if offer.state == "open" else 0) + waiting.get(offer.id, 0)
        if len(over) > 1 or (over and offer.state in ("open", "taken")) or not ended or offer.held_units != held:
            wrong.append(offer.id)
    return wrong


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(240)
def test_ten_minutes_of_everything_at_once_are_what_the_reference_says(monkeypatch: pytest.MonkeyPatch) -> None:
    world, before = large_world(), deadlocks()
    traffic, said = run(world, monkeypatch, workers=WORKERS, seconds=SIMULATED_SECONDS / SPEED)
    assert (traffic.problems, [problem for one in said for problem in one["problems"]]) == ([], [])
    assert deadlocks() == before

    counted: dict[str, int] = {"records": sum(one["charged"] for one in said)}
    for act in traffic.journal:
        counted[act.kind] = counted.get(act.kind, 0) + 1
    print(json.dumps({**counted, "refused": traffic.refused, "workers": [one["charged"] for one in said]}))
    assert {kind: counted.get(kind, 0) for kind, least in LEAST.items() if counted.get(kind, 0) < least} == {}
    assert sum(one["charged"] > 0 for one in said) >= 2

    assert unlike(world, done_again(world, traffic)) == {}
    assert (damaged(world), offers_that_did_not_end_once()) == ([], [])
    call_command("check_ledger", verbosity=0)

    # The control: one unit from free to used, which the row's own identity does not see.
    with rolled_back():
        bucket = Bucket.objects.filter(remaining_units__gt=0).latest("id")
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE balances_bucket SET remaining_units = remaining_units - 1, used_units = used_units + 1 "
                "WHERE id = %s",
                [bucket.id],
            )
        assert damaged(world)
        assert unlike(world, done_again(world, traffic))


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(120)
def test_an_act_that_the_reference_is_not_told_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the other side: the order is complete, or the reference comes to something else."""
    world = large_world()
    traffic, _ = run(world, monkeypatch, workers=1, seconds=4)
    assert unlike(world, done_again(world, traffic)) == {}
    last = [act for act in traffic.journal if act.kind in ("allocate", "take_back", "limit")][-1]
    try:
        twin = done_again(world, traffic, left_out=last)
    except (reference.Refusal, KeyError, StopIteration):
        return  # what came after it is not possible
    assert unlike(world, twin)


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_would_be_seen() -> None:
    """The control: two that lock two things in opposite order are counted."""
    before, met = deadlocks(), threading.Barrier(2)

    def lock(first: int, second: int) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [first])
                met.wait(20)
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [second])
        except OperationalError:
            pass  # one of the two
        finally:
            connections.close_all()

    threads = [threading.Thread(target=lock, args=keys) for keys in ((881, 882), (882, 881))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    deadline = time.monotonic() + 10  # its statistics are written a moment later
    while deadlocks() == before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert deadlocks() == before + 1
