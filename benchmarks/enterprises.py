"""Enterprises to measure with, made through the same functions that users reach."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from balances import allocation, contracts, hierarchy, inventory_loads
from balances.allocation_plan import Wish
from balances.hierarchy import TreeRow
from balances.inventory_loads import LineRow
from balances.models import Account, Bucket, Enterprise, Operator, Threshold, Zone
from balances.units import GIB, KIB, MIB, Service
from portal.charging import records
from portal.charging.records import Usage

ACTOR = "bench"
#: About as many accounts whatever the depth, so that depth is all that differs.
ACCOUNTS = 300
#: Far more than is used: what is measured is charging, not running out.
AMPLE = 2**55


@dataclass(frozen=True)
class Subject:
    """An enterprise under measurement: who it is, and the numbers of its lines."""

    id: int
    operator_id: int
    first_number: int
    lines: int


@cache
def operator() -> tuple[Operator, dict[str, Zone]]:
    """The operator of all subjects, with a home zone and a roaming group."""
    now = datetime.now(UTC)
    made = Operator.objects.create(name="Bench")
    zones = {
        "home": contracts.create_zone(
            operator=made, code="home", name="Home", networks=["262"], is_home=True, actor=ACTOR, at=now
        ),
        "world": contracts.create_zone(
            operator=made, code="world", name="World", networks=[], is_default=True, actor=ACTOR, at=now
        ),
    }
    return made, zones


def build(*, number: int, lines: int, levels: int, hot: bool) -> Subject:
    """An enterprise of `lines` lines on `levels` levels, with thresholds at every account.

    `hot`: all usage draws on one bucket at the root; else every cost centre has data of its own.
    """
    now = datetime.now(UTC)
    made, zones = operator()
    name = f"Bench {number}"
    enterprise = hierarchy.create_enterprise(operator=made, name=name, number=f"B-{number}", actor=ACTOR, at=now)
    codes = _tree(levels)
    rows = [TreeRow(row, code, parent, code, "cost_centre") for row, (code, parent) in enumerate(codes, start=2)]
    refused = hierarchy.load_tree(enterprise=enterprise, rows=rows, actor=ACTOR, at=now).errors
    _contract(enterprise, zones, now)
    parents = {parent for _, parent in codes}
    leaves = [code for code, _ in codes if code not in parents]
    first_number = 49_150_000_000_000 + number * 1_000_000
    line_rows = [
        LineRow(
            row=i + 2,
            msisdn=str(first_number + i),
            account_code=leaves[i % len(leaves)],
            assigned_from=now - timedelta(days=2),
        )
        for i in range(lines)
    ]
    for start in range(0, lines, 25_000):
        chunk = line_rows[start : start + 25_000]
        refused += inventory_loads.load_lines(enterprise=enterprise, rows=chunk, actor=ACTOR, at=now).errors
    if refused:
        raise RuntimeError(f"The subject could not be built: {refused[:3]}")
    accounts = dict(Account.objects.filter(enterprise=enterprise).values_list("code", "id"))
    # In one go, not through the door: six hundred transactions would take longer than what is to be measured.
    Threshold.objects.bulk_create(
        Threshold(enterprise=enterprise, account_id=account_id, service=Service.DATA, units=level)
        for account_id in accounts.values()
        for level in (AMPLE // 4, AMPLE // 2)
    )
    if not hot:
        _allocate(enterprise, [accounts[code] for code in leaves], now)
    return Subject(enterprise.id, made.id, first_number, lines)


def _tree(levels: int) -> list[tuple[str, str]]:
    """(code, parent code) of about `ACCOUNTS` accounts on `levels` levels below and with the root."""
    width = {4: (7, 42, 250)}.get(levels) or (ACCOUNTS // (levels - 1),) * (levels - 1)
    codes: list[tuple[str, str]] = []
    above = [""]
    for depth, count in enumerate(width, start=1):
        here = [f"L{depth}-{i}" for i in range(count)]
        codes += [(code, above[i % len(above)]) for i, code in enumerate(here)]
        above = here
    return codes


def _contract(enterprise: Enterprise, zones: dict[str, Zone], now: datetime) -> None:
    starts_at = (now - timedelta(days=40)).replace(hour=0, minute=0, second=0, microsecond=0)
    contract = contracts.create_contract(
        enterprise=enterprise,
        number="C",
        starts_at=starts_at,
        time_zone="Europe/Berlin",
        currency="EUR",
        cycle_anchor_day=1,
        actor=ACTOR,
        at=now,
    )
    draft = contracts.draft_version(contract=contract, effective_at=starts_at, actor=ACTOR, at=now)
    for service in Service:
        contracts.add_allowance(
            version=draft, name=service.name.title(), service=service, granted_units=AMPLE, actor=ACTOR, at=now
        )
        for zone in zones.values():
            contracts.set_rate(
                version=draft,
                service=service,
                zone=zone,
                increment_units=KIB if service == Service.DATA else 1,
                minimum_units=0,
                overage_price_micros=4_000,
                overage_block_units=MIB if service == Service.DATA else 60,
                actor=ACTOR,
                at=now,
            )
    contracts.publish_version(version=draft, actor=ACTOR, at=now)


def _allocate(enterprise: Enterprise, account_ids: list[int], now: datetime) -> None:
    bucket = Bucket.objects.get(enterprise=enterprise, kind="grant", service=Service.DATA, valid_until__gt=now)
    wishes = [Wish(row, ("account", each), units=AMPLE // 1_000) for row, each in enumerate(account_ids, start=1)]
    allocation.apply(bucket_id=bucket.id, wishes=wishes, actor=ACTOR, at=now)


def usage(subject: Subject, count: int, *, tag: str, seed: int = 7) -> list[Usage]:
    """Records of a mixed day, uniform over the lines: mostly data, some voice, few messages and conferences."""
    rng = random.Random(seed)
    begins = datetime.now(UTC) - timedelta(hours=6)
    services = [Service.DATA] * 16 + [Service.VOICE] * 2 + [Service.MESSAGING, Service.VIDEO_CONFERENCING]
    most = {Service.DATA: GIB // 4, Service.VOICE: 900, Service.MESSAGING: 1, Service.VIDEO_CONFERENCING: 7_200}
    made = []
    for i in range(count):
        service = services[i % len(services)]
        made.append(
            records.seal(
                source_record_id=f"{tag}-{i:09}",
                service=int(service),
                number_kind=1,
                number=subject.first_number + int(rng.random() * subject.lines),
                units=1 + int(rng.random() * most[service]),
                used_at=records.canonical_time(begins + timedelta(milliseconds=i * 20_000_000 // count)),
                visited_network="26201",
                other_party="4930901820" if service == Service.VOICE else "",
                attributes={"apn": "internet", "rat": "NR"} if service == Service.DATA else None,
            )
        )
    return made
