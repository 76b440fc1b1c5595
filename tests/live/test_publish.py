"""The push door speaks the channel layer's own language, and never disturbs charging."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest
from channels.layers import get_channel_layer

from portal.live import publish

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _not_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_paused_until", 0.0)


def test_a_message_reaches_the_group_through_the_channel_layer():
    async def scenario() -> dict:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(publish.group_of(7), channel)
        await asyncio.to_thread(publish.charged, enterprise_id=7, sequence=41, account_ids={3, 1}, charged_at=AT)
        message = await asyncio.wait_for(layer.receive(channel), 5)
        await layer.flush()
        return message

    assert asyncio.run(scenario()) == {
        "type": "charged",
        "sequence": 41,
        "account_ids": [1, 3],
        "charged_at": "2026-03-15T12:00:00+00:00",
    }


def test_many_accounts_are_not_listed(monkeypatch: pytest.MonkeyPatch):
    sent = []
    monkeypatch.setattr(publish, "_publish", lambda _group, message: sent.append(message))
    publish.charged(enterprise_id=7, sequence=1, account_ids=range(publish.MOST_ACCOUNTS + 1), charged_at=AT)
    assert sent[0]["account_ids"] is None


def test_a_dead_redis_is_swallowed_and_left_alone_for_a_while(settings, monkeypatch: pytest.MonkeyPatch):
    layers = {"default": {"BACKEND": "unused", "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]}}}
    monkeypatch.setattr(publish, "get_channel_layer", lambda: get_channel_layer())
    monkeypatch.setattr(publish.settings, "CHANNEL_LAYERS", layers, raising=False)
    tried = []
    real = publish._publish
    monkeypatch.setattr(publish, "_publish", lambda *message: tried.append(1) or real(*message))
    begun = time.monotonic()
    for sequence in range(50):
        publish.charged(enterprise_id=7, sequence=sequence, account_ids=[1], charged_at=AT)
    assert len(tried) == 1
    assert time.monotonic() - begun < 2
