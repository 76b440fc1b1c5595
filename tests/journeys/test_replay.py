"""A policy is replayed over months of usage in a real browser, which shows how far it has come all the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from playwright.sync_api import Browser, expect

from balances.models import Account, AccountPath, Rate, UsagePart
from balances.models.accounts import NumberKind
from balances.models.usage import PartState
from balances.units import Service
from policies import publishing
from portal.charging import ingest, records
from tests.cast import ACTOR, Cast, build
from tests.databases import empty_tables
from tests.journeys.conftest import Complaints
from tests.journeys.test_portal import assert_accessible, signed_in
from tests.stack import Stack, live_stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

RECORDS, DELIVERED = 80_000, 1_000
_USAGE = """
INSERT INTO balances_usagerecord (id, enterprise_id, line_id, account_id, part_id, position, source_id,
    source_record_id, service, zone_id, units, charged_units, used_at, charge_sequence, charged_at)
SELECT n, %(enterprise)s, %(line)s, %(account)s, %(part)s + (n - 1) / %(delivered)s,
    (n - 1) %% %(delivered)s, %(source)s, n::text,
    1, %(zone)s, 1000, 1000, u.at, 1, u.at
FROM generate_series(1, %(records)s) AS n,
    LATERAL (SELECT %(until)s::timestamptz - interval '1 second' * ((%(records)s - n) * 40 + 60) AS at) AS u
"""
_CHARGES = """
INSERT INTO balances_chargeline (enterprise_id, usage_id, number, used_at, starts_at, cycle_start, payer, path_id,
    version_id, rate_id, units, overage_units, amount_micros, reasons, charge_sequence)
SELECT enterprise_id, id, 0, used_at, used_at, date_trunc('month', used_at), 1, %(path)s, %(version)s, %(rate)s, units,
    units, 2000, 'overage', 1
FROM balances_usagerecord WHERE enterprise_id = %(enterprise)s
"""


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """Aurora with ten weeks of usage as charging leaves it, and a draft of a policy."""
    with django_db_blocker.unblock():
        made = build()
        fill(made)
        rules = [{"name": "Nights", "when": "time within 02:00-03:00", "action": "stop_now"}]
        publishing.create(account=root_of(made), name="Nights", rules=rules, actor=ACTOR, at=datetime.now(UTC))
        yield made
        empty_tables()


def root_of(cast: Cast) -> Account:
    """Where Aurora begins."""
    return Account.objects.get(enterprise=cast.aurora.enterprise, parent__isnull=True)


def fill(cast: Cast) -> None:
    """Usage of one line, a record every 40 seconds, of which each page of the portal can be opened."""
    line, house = cast.aurora.lines["emil phone"], cast.aurora.enterprise.id
    rate = Rate.objects.filter(version__enterprise_id=house, service=Service.DATA, zone__is_home=True)[0]
    path = AccountPath.objects.create(enterprise_id=house, account_ids=[line.account_id, root_of(cast).id])
    until = datetime.now(UTC)
    part = _delivered(cast, until)
    values = {
        "enterprise": house, "line": line.id, "account": line.account_id, "zone": rate.zone_id, "records": RECORDS,
        "until": until, "path": path.id, "version": rate.version_id, "rate": rate.id, "part": part.id,
        "source": part.source_id, "delivered": DELIVERED,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT balances_prepare_usage_month((now() - make_interval(months => m))::date) "
            "FROM generate_series(0, 3) m"
        )
        cursor.execute(_USAGE, values)
        cursor.execute(_CHARGES, values)
        cursor.execute("ANALYZE balances_usagerecord, balances_chargeline")


def _delivered(cast: Cast, until: datetime) -> UsagePart:
    """What the records came in as, charged long since; the first of their deliveries, which lie side by side."""
    house, line = cast.aurora.enterprise, cast.aurora.lines["emil phone"]
    source = ingest.source(operator_id=cast.operator.id, name="Gateway")
    delivery = ingest.Delivery(cast.operator.id, house.id, source, ACTOR)
    for first in range(1, RECORDS + 1, DELIVERED):
        times = ((n, until - timedelta(seconds=(RECORDS - n) * 40 + 60)) for n in range(first, first + DELIVERED))
        usages = [
            records.seal(
                source_record_id=str(n), service=int(Service.DATA), number_kind=NumberKind.MSISDN,
                number=int(line.msisdn), units=1000, used_at=records.canonical_time(used_at),
            )
            for n, used_at in times
        ]  # fmt: skip
        ingest.record(delivery=delivery, usages=usages, at=until)
    parts = UsagePart.objects.filter(enterprise=house)
    parts.update(state=PartState.DONE, charged_count=DELIVERED, outcomes="c" * DELIVERED, done_at=until)
    return parts.earliest("id")


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


def test_the_bar_moves_while_months_of_usage_are_replayed(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    page = signed_in(browser, stack, cast.alice, complaints)
    page.goto(f"{stack.url}/accounts/{root_of(cast).id}/policies/")
    page.get_by_role("link", name="Nights").click()
    page.get_by_role("button", name=re.compile("Replay")).click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    seen: set[int] = set()
    while values := page.locator("#replaying").evaluate_all("bars => bars.map(bar => bar.value)"):
        seen.update(values)
        page.wait_for_timeout(200)
    assert seen - {0, 100}, f"the bar showed {sorted(seen)} and nothing between"
    expect(page.locator("#replay")).to_contain_text(f"{RECORDS:,}")
    assert_accessible(page)
