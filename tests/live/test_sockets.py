"""Sockets send absolute state to whoever may see it, as long as they may, and not more often than is bearable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from balances.units import GIB, MIB
from portal.live import consumers, publish
from portal.models import Membership
from tests.cast import Cast, build
from tests.live.socket import Socket, opened
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def charged(transactional_db: None) -> Iterator[Cast]:
    """A cast that other threads see too, with a first charge."""
    cast = build()
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "data", GIB))
    return cast


async def states_until_quiet(socket: Socket) -> int:
    """How many states come before a second without one."""
    states = 0
    while True:
        try:
            await socket.state(timeout=1)
        except TimeoutError:
            return states
        states += 1


def run(scenario) -> None:
    """One event loop a test, its channel layer closed with it."""

    async def whole() -> None:
        try:
            await scenario
        finally:
            await get_channel_layer().flush()

    asyncio.run(whole())


def test_a_charge_arrives_as_new_absolute_state(charged: Cast):
    async def scenario() -> None:
        socket = await opened(charged.alice, f"/live/accounts/{charged.aurora.root.id}/")
        first = await socket.state()
        assert first["figures"]["data.left"] == "99\u202fGiB"
        usage = used(charged.aurora.lines["press 7"], "data", 9 * GIB)
        begun = time.monotonic()
        await database_sync_to_async(charge)(charged.aurora, usage)
        second = await socket.state()
        assert second["sequence"] > first["sequence"]
        assert second["figures"]["data.left"] == "90\u202fGiB"
        assert second["rows"]["latest"][0]["id"] != first["rows"]["latest"][0]["id"]
        assert time.monotonic() - begun < consumers.CHECK_SECONDS + 2
        await socket.leave()

    run(scenario())


def test_a_burst_is_coalesced(charged: Cast):
    async def scenario() -> None:
        root = charged.aurora.root.id
        socket = await opened(charged.alice, f"/live/accounts/{root}/")
        await socket.state()
        begun = time.monotonic()
        sent = 0
        while time.monotonic() - begun < 2:
            await asyncio.to_thread(
                publish.charged,
                enterprise_id=charged.aurora.enterprise.id,
                sequence=1,
                account_ids=[root],
                charged_at=datetime.now(UTC),
            )
            sent += 1
            await asyncio.sleep(0.02)
        states = await states_until_quiet(socket)
        assert sent > 20
        assert 1 <= states <= 6

    run(scenario())


def test_charges_elsewhere_do_not_concern_a_page(charged: Cast):
    async def scenario() -> None:
        south = charged.aurora.accounts["SOUTH"].id
        socket = await opened(charged.dora, f"/live/accounts/{south}/")
        await socket.state()
        await database_sync_to_async(charge)(charged.aurora, used(charged.aurora.lines["emil phone"], "data", MIB))
        message = await socket.message(timeout=8)
        assert message["type"] == "heartbeat"
        await socket.leave()

    run(scenario())


def test_a_lost_message_is_made_up_for(charged: Cast, monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        socket = await opened(charged.alice, f"/live/accounts/{charged.aurora.root.id}/")
        first = await socket.state()
        monkeypatch.setattr(publish, "_publish", lambda *_: None)
        usage = used(charged.aurora.lines["emil phone"], "data", GIB)
        await database_sync_to_async(charge)(charged.aurora, usage)
        second = await socket.state()
        assert second["figures"]["data.left"] == "98\u202fGiB" != first["figures"]["data.left"]
        await socket.leave()

    run(scenario())


def test_a_quiet_page_hears_a_heartbeat_within_five_seconds(charged: Cast):
    async def scenario() -> None:
        socket = await opened(charged.alice, f"/live/lines/{charged.aurora.lines['emil phone'].id}/")
        state = await socket.state()
        beat = await socket.message(timeout=5)
        assert beat["type"] == "heartbeat"
        assert beat["sequence"] == state["sequence"]
        await socket.leave()

    run(scenario())


def test_who_may_not_see_it_is_sent_away(charged: Cast):
    async def scenario() -> None:
        account = f"/live/accounts/{charged.aurora.accounts['NORTH'].id}/"
        line = f"/live/lines/{charged.aurora.lines['emil phone'].id}/"
        for path in (account, line):
            assert await (await opened(None, path)).close_code() == consumers.SIGN_IN
            for stranger in (charged.bruno, charged.dora, charged.mallory):
                assert await (await opened(stranger, path)).close_code() == consumers.NOT_FOUND
        employee = await opened(charged.emil, line)
        assert (await employee.state())["figures"]
        await employee.leave()
        assert await (await opened(charged.emil, account)).close_code() == consumers.NOT_FOUND

    run(scenario())


def test_a_reassigned_manager_is_cut_off_within_five_seconds(charged: Cast):
    async def scenario() -> None:
        path = f"/live/accounts/{charged.aurora.accounts['NORTH'].id}/"
        socket = await opened(charged.carla, path)
        await socket.state()
        mine = Membership.objects.filter(user=charged.carla)
        await database_sync_to_async(mine.update)(account=charged.aurora.accounts["SOUTH"])
        begun = time.monotonic()
        assert await socket.close_code() == consumers.NOT_FOUND
        assert time.monotonic() - begun < 5

    run(scenario())


def test_signing_out_ends_the_socket(charged: Cast):
    from django.contrib.sessions.models import Session

    async def scenario() -> None:
        socket = await opened(charged.alice, f"/live/accounts/{charged.aurora.root.id}/")
        await socket.state()
        await database_sync_to_async(Session.objects.all().delete)()
        assert await socket.close_code() == consumers.SIGN_IN

    run(scenario())
