"""The wall, walked: nothing that managers, observers, the operator's staff, other employees, strangers and tokens can
read tells the detail of what a person pays (docs/byod.md, issue 4).

Emil's personal usage has values that occur nowhere else: canaries. Every address of the site that answers is asked as
everybody, with the ids of personal records put in wherever an id goes; so are sockets, forms, error pages, jobs, mails,
webhooks, audit and logs. The person sees them; and without the condition on rows the walk finds them, too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from channels.layers import get_channel_layer
from django.core import mail
from django.db import transaction
from django.test import Client
from structlog.testing import capture_logs

from balances import personal
from balances.models import AuditEvent, PersonalNews, UsageBatch, UsageRecord
from balances.models.counters import Payer
from balances.models.usage import _WalledQuerySet
from balances.scope import ScopedQuerySet, Verb
from policies.steering import publishing
from portal import contests, figures
from portal.api.endpoints import Endpoint
from portal.charging import charger, pipeline
from portal.charging import tasks as charging_tasks
from portal.models import Delivery, Notice
from portal.notices import deliver, forecast, outbox, watch, webhooks, words
from tests import employee, walled
from tests.api.client import Api, read
from tests.cast import Cast, build, issue_token
from tests.live.socket import opened
from tests.test_access_walk import ROUTES, SCREENS, Things, filled
from tests.web import usage as web_usage

BERLIN = ZoneInfo("Europe/Berlin")
READERS = "alice bruno carla dora olga mallory stranger feed script all"
#: Ids of usage records are so long that they are found by nothing else.
FIRST_ID = 7_700_000_001
#: What Emil's evening comes to is more than four fifths of it.
CREDIT = 7_123_457


@dataclass
class Wall:
    """The world, what of it is personal, and what each canary looks like wherever it is written."""

    things: Things
    personal: list[UsageRecord]
    canaries: list[str]

    def told(self, text: str) -> list[str]:
        """The canaries in a text."""
        return [canary for canary in self.canaries if re.search(rf"(?<![0-9A-Za-z]){canary}(?![0-9A-Za-z])", text)]


def corporate_usage(things: Things) -> list[dict[str, Any]]:
    """What the company pays, of yesterday and today."""
    line = things.cast.aurora.lines["emil phone"]
    noon = datetime.combine(days_ago(3), time(12), BERLIN)
    return [
        web_usage.used(line, "data", 4096 * (1 + number), noon + timedelta(hours=number)) for number in range(3)
    ] + [web_usage.used(things.cast.aurora.lines["service van"], "voice", 61, noon)]


def days_ago(days: int):
    return (datetime.now(BERLIN) - timedelta(days=days)).date()


def personal_usage(things: Things) -> list[dict[str, Any]]:
    """An evening's data and call of Emil's, and a call of both: the company's until six."""
    line, day = things.cast.aurora.lines["emil phone"], days_ago(3)
    evening = datetime.combine(day, time(22, 13, 44), BERLIN)
    begun, ended = (datetime.combine(day, at, BERLIN) for at in (time(17, 53, 17), time(18, 41, 58)))
    said = {"imei": "358240051111110", "attributes": {"apn": "canary-apn"}, "source_record_id": "canary-one"}
    return [
        web_usage.used(line, "data", 7_654_321, evening, **said),
        web_usage.used(line, "voice", 4_321, evening, other_party="4930777888999", source_record_id="canary-two"),
        web_usage.used(line, "voice", 2_921, begun, ended_at=ended.isoformat()),
    ]


def canaries_of(personal: list[UsageRecord]) -> list[str]:
    found = ["4930777888(999)?", "35824005111111[0-9]?", "canary-[a-z]+"]
    for record in personal:
        found += [str(record.id)]
        for units in {record.units, record.charged_units}:
            found += [str(units), re.escape(figures.count(units)), re.escape(figures.quantity(units, record.service))]
        for instant in (record.used_at, record.ended_at):
            if instant is not None and instant.astimezone(BERLIN).time() != time(18):
                local = instant.astimezone(BERLIN)
                found += [f"{instant:%Y-%m-%dT%H:%M:%S}", f"{local:%Y-%m-%dT%H:%M:%S}", f"{local:%H:%M:%S}"]
                found += [re.escape(figures.moment(instant, BERLIN))]
    return found


@pytest.fixture
def wall(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Aurora with something behind every address, in which Emil pays for the evening."""
    pipeline.forget_everything()
    things = Things.of(build())
    _, plain = issue_token(
        things.cast, things.cast.alice, Verb.VIEW, Verb.MANAGE, Verb.INGEST, enterprise=things.cast.aurora.enterprise
    )
    things.tokens["all"] = plain
    walled.steer(things.cast.aurora)
    account = walled.account_of(things.cast)
    personal.set_credit_limit(account=account, credit_limit_micros=CREDIT, **walled.IN_FEBRUARY)
    numbers = count(FIRST_ID)
    monkeypatch.setattr(charger, "_usage_ids", numbers)
    web_usage.charge(things.cast.aurora, *corporate_usage(things))
    return Wall(things, [], [])


def use_personally(wall: Wall) -> None:
    web_usage.charge(wall.things.cast.aurora, *personal_usage(wall.things))
    # Whoever sends usage knows it: here none of the readers did.
    UsageBatch.objects.update(accepted_by="token:999999 Mediation")
    wall.personal = list(UsageRecord.objects.filter(payer=Payer.PERSONAL).order_by("id"))
    object_and_hear(wall)
    wall.canaries = canaries_of(wall.personal)
    assert [record.counterpart_id is not None for record in wall.personal] == [False, False, True]
    assert sum(record.units for record in wall.personal[2:]) == 2_518


def object_and_hear(wall: Wall) -> None:
    """Emil's credit nears its limit, and he objects without showing anything of the charge, which is declined."""
    cast, now = wall.things.cast, datetime.now(UTC)
    whose = {"person": cast.aurora.people["P-1"], "actor": f"user:{cast.emil.pk} Emil Engel"}
    [contest] = contests.file(usages=[wall.personal[1]], reason="Work", shown=[], at=now, **whose)
    contests.decide(contest=contest, uphold=False, answer="No", actor=f"user:{cast.alice.pk} Alice Arden", at=now)
    assert [news.level for news in PersonalNews.objects.all()] == [80]


def personal_notices() -> list[str]:
    """What is told to Emil alone, wherever it is written."""
    return [re.escape(words.message(notice).title) for notice in Notice.objects.filter(person__isnull=False)]


def screens(wall: Wall) -> Iterator[str]:
    """Every screen with the object of the walk's table, and with each personal record where a usage record goes."""
    house = wall.things.cast.aurora
    for route, screen in SCREENS.items():
        if "sign-out" in route or "theme" in route:
            continue
        yield filled(route, wall.things.ids.get(screen.thing, ""))
        if "usage_id" in route:
            yield from (filled(route, record.id) for record in wall.personal)
        if "<int:account_id>" in route:
            yield filled(route, house.root.id)
    for service in ("data", "voice"):
        yield f"/accounts/{house.root.id}/?service={service}"
        yield f"/lines/{house.lines['emil phone'].id}/?service={service}"
    yield f"/enterprises/{house.enterprise.id}/search/?q=Emil"


def api_addresses(wall: Wall) -> Iterator[str]:
    """Every address of the API that is read, with ids of personal records, owners and filters."""
    base, house = "/api/v1", wall.things.cast.aurora
    for (method, route), (thing, _) in ROUTES.items():
        if method != "GET":
            continue
        yield base + filled(route, wall.things.ids.get(thing, ""))
        if route.startswith("usage-records/"):
            yield from (base + filled(route, record.id) for record in wall.personal)
    for owner in (f"line={house.lines['emil phone'].id}", f"account={house.root.id}"):
        for noun in (
            "usage-records",
            "usage-records?refused=true",
            "counters",
            "counters?grain=day",
            "personal-totals",
        ):
            yield f"{base}/{noun}{'&' if '?' in noun else '?'}{owner}"
        yield f"{base}/usage-records?{owner}&limit=1"
    for batch in UsageBatch.objects.values_list("id", flat=True):
        yield f"{base}/usage-batches/{batch}/records?limit=1000"
    yield f"{base}/rebalancing-proposals?account={house.root.id}&service=data"


def look(wall: Wall, name: str) -> dict[str, str]:
    """What somebody reads at every address."""
    client, headers = wall.things.client(name)
    return {
        address: client.get(address, headers=headers).content.decode(errors="replace")
        for address in (*screens(wall), *api_addresses(wall))
    }


def found_by(wall: Wall, pages: dict[str, str]) -> dict[str, list[str]]:
    return {address: told for address, text in pages.items() if (told := wall.told(text))}


def send(wall: Wall, name: str) -> dict[str, str]:
    """What forms and methods that write answer to nonsense: error pages and problems."""
    client, headers = wall.things.client(name)
    answers = {}
    for route, screen in SCREENS.items():
        if "sign-out" not in route:
            address = filled(route, wall.things.ids.get(screen.thing, ""))
            answers[f"POST {address}"] = client.post(address, {"action": "nonsense"}, headers=headers)
    for (method, route), (thing, _) in ROUTES.items():
        if method != "GET":
            address = "/api/v1" + filled(route, wall.things.ids.get(thing, ""))
            call = getattr(client, method.lower())
            answers[f"{method} {address}"] = call(address, {"x": 1}, content_type="application/json", headers=headers)
    return {address: answer.content.decode(errors="replace") for address, answer in answers.items()}


def run_jobs(wall: Wall) -> None:
    """All that beat starts, at once."""
    now = datetime.now(UTC)
    enterprise_id = wall.things.cast.aurora.enterprise.id
    for task in (
        charging_tasks.sweep_inbox, charging_tasks.turn_cycles, charging_tasks.sweep_reservations,
        charging_tasks.lift_restrictions, charging_tasks.expire_offers, charging_tasks.return_loans,
        charging_tasks.run_standing_transfers,
    ):  # fmt: skip
        task()
    while outbox.collect(enterprise_id=enterprise_id, at=now).more:
        pass
    watch.turn(at=now)
    forecast.tell(enterprise_id=enterprise_id, at=now)
    deliver.escalate(at=now)
    Delivery.objects.filter(channel="email").update(next_at=now - timedelta(minutes=1))
    deliver.send_mails(at=now)


def told_by_jobs() -> dict[str, str]:
    """Notices of others than the person, all mails, webhooks and audit."""
    now = datetime.now(UTC)
    theirs = Notice.objects.filter(person__isnull=True)
    said = {f"notice {notice.key}": json.dumps(notice.facts) for notice in theirs}
    said |= {f"mail {number}": str(message.message()) for number, message in enumerate(mail.outbox)}
    for delivery in Delivery.objects.filter(channel="webhook").select_related("notice", "endpoint"):
        said[f"webhook {delivery.id}"] = str(webhooks.request_of(delivery, now))
    for event in AuditEvent.objects.all():
        said[f"audit {event.id}"] = f"{event.actor} {event.subject} {json.dumps(event.detail)}"
    return said


def socket_states(wall: Wall) -> dict[str, str]:
    """The first state of each socket that opens."""
    house = wall.things.cast.aurora
    paths = [f"/live/lines/{house.lines['emil phone'].id}/?service={service}" for service in ("data", "voice")]
    paths += [f"/live/accounts/{account.id}/" for account in (house.accounts["N-FIELD"], house.root)]

    async def listen() -> dict[str, str]:
        heard = {}
        for name in ("alice", "carla", "olga"):
            for path in paths[: -1 if name == "carla" else None]:  # hers begins below the root
                socket = await opened(wall.things.cast.users[name], path)
                heard[f"{name} {path}"] = json.dumps(await socket.state(), ensure_ascii=False)
                await socket.leave()
        await get_channel_layer().flush()
        return heard

    return asyncio.run(listen())


def test_nobody_but_the_person_reads_what_is_personal(
    wall: Wall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.DEBUG, logger="portal"), capture_logs() as logs:
        use_personally(wall)
        run_jobs(wall)
        wall.canaries += personal_notices()
        leaks = {name: found for name in READERS.split() if (found := found_by(wall, look(wall, name)))}
        assert not leaks
        for name in ("alice", "olga", "all"):
            with transaction.atomic():
                assert not found_by(wall, send(wall, name)), name
                transaction.set_rollback(True)
    assert not found_by(wall, socket_states(wall))
    assert not found_by(wall, told_by_jobs())
    assert not wall.told(json.dumps(logs, default=str) + caplog.text)

    whom = Delivery.objects.filter(notice__person__isnull=False).values_list("user__name", flat=True)
    assert set(whom) == {"Emil Engel"}
    assert any("There is news for you alone" in str(message.body) for message in mail.outbox)

    seen = " ".join(look(wall, "emil").values())
    assert not [title for title in personal_notices() if not re.search(title, seen)]
    missing = [str(record.id) for record in wall.personal if str(record.id) not in seen]
    assert not missing
    assert "4930777888999" in seen
    assert "358240051111110" in seen

    # Without the condition on rows the walk finds them: so it would find a hole.
    monkeypatch.setattr(_WalledQuerySet, "within", ScopedQuerySet.within)
    found = found_by(wall, look(wall, "alice"))
    assert any("/usage-records" in address for address in found)
    assert any("/lines/" in address for address in found)


#: What moves with everything that is charged, whoever pays (docs/byod.md, "What the wall does not hide").
MOVES = re.compile(r"usage-batches|personal-totals|/me/|/files/|operator/$|suspense|audit-events")
VOLATILE = [
    re.compile(pattern)
    for pattern in (
        r"\d{4}-\d{2}-\d{2}T[0-9:.+]+Z?", r"\d{1,2}:\d{2}(:\d{2})?", r'nonce="[^"]*"',
        r'name="(csrfmiddlewaretoken|[a-z]+-shown)" value="[^"]*"', r'"(sequence|charge_sequence)": ?\d+',
        r'data-[a-z-]*sequence[a-z-]*="\d+"',
        r"(\d+|an?|one) ?\u202f?(s|min|seconds?|minutes?) ago", r"just now", r'X-CSRFToken[^}]*', r'"problem": "[^"]*"',
    )
]  # fmt: skip


def steady(pages: dict[str, str]) -> dict[str, str]:
    """Pages without what every moment changes."""
    found = {}
    for address, text in pages.items():
        if not MOVES.search(address):
            for pattern in VOLATILE:
                text = pattern.sub("·", text)
            found[address] = text
    return found


def common_notices() -> list[str]:
    return list(Notice.objects.filter(person__isnull=True).values_list("key", flat=True))


def test_managers_pages_and_notices_are_the_same_with_and_without_personal_usage(wall: Wall) -> None:
    run_jobs(wall)
    mail.outbox.clear()
    for name in ("alice", "carla"):
        look(wall, name)  # what is opened counts as read from then on
    before = {name: steady(look(wall, name)) for name in ("alice", "carla")}
    notices = set(common_notices())
    line = wall.things.cast.aurora.lines["emil phone"]
    evenings = [datetime.combine(days_ago(day), time(22, 13, 44), BERLIN) for day in range(1, 9)]
    web_usage.charge(wall.things.cast.aurora, *(
        web_usage.used(line, "data", 900_000_000_000, at, imei="358240051111110") for at in evenings
    ))  # fmt: skip
    assert UsageRecord.objects.filter(payer=Payer.PERSONAL).count() == len(evenings)
    run_jobs(wall)
    assert set(common_notices()) == notices
    assert Notice.objects.filter(person__isnull=False).exists(), "Emil is told that his credit limit is reached"
    assert {address for message in mail.outbox for address in message.to} == {wall.things.cast.emil.email}
    for name, pages in before.items():
        after = steady(look(wall, name))
        assert [address for address, text in pages.items() if after[address] != text] == [], name


def test_an_employee_sees_nothing_personal_of_another(wall: Wall) -> None:
    use_personally(wall)
    cast = wall.things.cast
    cast.emil.claims.all().delete()  # named an employee by the employer, and no more
    assert not found_by(wall, look(wall, "emil"))
    assert Client().get(f"/usage/{wall.personal[0].id}/").status_code == 302


MIB = 2**20
#: The person pays first, then the company; and both by percent.
PEOPLE_FIRST: list[dict[str, Any]] = [
    {"name": "Cut", "when": "service is data and time within 18:00-18:10", "pays": "corporate"},
    {
        "name": "Daily",
        "when": "service is data",
        "pays": [{"payer": "personal", "units": 50 * MIB, "every": "lifetime", "of": "person"}, {"payer": "corporate"}],
    },
    {
        "name": "Worth",
        "when": "service is messaging",
        "pays": [{"payer": "personal", "micros": 500_000, "every": "lifetime", "of": "line"}, {"payer": "corporate"}],
    },
    {"name": "Shared", "when": "service is voice",
     "pays": [{"payer": "corporate", "percent": 60}, {"payer": "personal"}]},
]  # fmt: skip
#: The same budgets, asked as if they were the company's.
COMPANY_FIRST = [
    rule if isinstance(rule["pays"], str) else rule | {"pays": [
        part | {"payer": "corporate" if part["payer"] == "personal" else "personal"} for part in rule["pays"]
    ]}
    for rule in PEOPLE_FIRST
]  # fmt: skip


@pytest.mark.django_db
def test_no_made_up_event_tells_what_a_person_used_or_can_pay(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle: an event of which the company's part is what the person's budget does not cover any more."""
    monkeypatch.setattr(Endpoint, "clock", staticmethod(lambda: datetime.now(UTC)))
    phone = cast.aurora.lines["emil phone"]
    employee.steer(cast.aurora, *PEOPLE_FIRST)
    doing: dict[str, Any] = {"actor": "user:0 Test", "at": datetime.now(UTC)}
    uses = {"name": "Use", "when": f"used at_least {16 * MIB} or spent at_least 1", "pays": "corporate"}
    drafts = [
        publishing.save_draft(account=cast.aurora.root, rules=COMPANY_FIRST, **doing),
        publishing.save_draft(account=phone.account, rules=[uses], **doing),
    ]
    begins = datetime.combine(days_ago(-1), time(17, 30), BERLIN)
    session = {"started_at": begins.isoformat(), "ended_at": (begins + timedelta(hours=1)).isoformat()}
    asked = [
        {"line": phone.id, "started_at": begins.isoformat(), **event, "draft": by}
        for event in (
            {"service": "data", "units": 100 * MIB},
            {"service": "data", "units": 100 * MIB, **session},
            {"service": "messaging", "units": 100},
            {"service": "voice", "units": 1},
        )
        for by in (None, *(draft.id for draft in drafts))
    ]
    alice = Api.of(cast, "alice")

    def answers() -> list[Any]:
        return [read(alice.post("/steering-trials", event)) for event in asked]

    without_account = answers()
    employee.open_account(cast, cast.aurora.people["P-1"])
    assert answers() == without_account
    web_usage.charge(
        cast.aurora,
        web_usage.used(phone, "data", 17 * MIB),
        web_usage.used(phone, "messaging", 1),
        web_usage.used(phone, "voice", 61),
    )
    assert UsageRecord.objects.filter(payer=Payer.PERSONAL).count() == 3
    assert answers() == without_account
    units = [[leg["units"] for leg in one["legs"]] for one in without_account]
    assert units[0] == [50 * MIB, 50 * MIB]
    assert units[9] == [1]


@pytest.mark.django_db
def test_what_is_left_of_the_companys_own_budget_is_told(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "clock", staticmethod(lambda: datetime.now(UTC)))
    phone = cast.aurora.lines["emil phone"]
    parts = [{"payer": "corporate", "units": 50 * MIB, "every": "lifetime", "of": "line"}, {"payer": "personal"}]
    employee.steer(cast.aurora, {"name": "Daily", "when": "service is data", "pays": parts})
    web_usage.charge(cast.aurora, web_usage.used(phone, "data", 17 * MIB))
    event = {"line": phone.id, "service": "data", "units": 100 * MIB, "started_at": datetime.now(UTC).isoformat()}
    legs = read(Api.of(cast, "alice").post("/steering-trials", event))["legs"]
    assert [(leg["payer"], leg["units"]) for leg in legs] == [("corporate", 33 * MIB), ("personal", 67 * MIB)]
