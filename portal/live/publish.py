"""The only push door: tells open screens that an enterprise has been charged, or a user has a notice.

Owns: the message that workers send after commit, and the group it goes to. Never carries figures: whoever listens
reads what it may see. Never raises and never waits long: a lost message costs a screen a few seconds, because its
socket compares sequences by itself.

Workers have no event loop, and making one for every commit would cost more than the message; so a plain Redis client
publishes it, in the channel layer's own encoding, shard and channel name (tests/live/test_publish.py holds it to that).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime
from functools import cache
from typing import Any

import structlog
from channels.layers import get_channel_layer
from channels_redis.utils import _consistent_hash
from django.conf import settings
from redis import Redis

log = structlog.get_logger(__name__)

#: More accounts than these are not listed: every screen of the enterprise then looks for itself.
MOST_ACCOUNTS = 500
PATIENCE_SECONDS = 0.5
#: After a failure nothing is sent for a while, so that a dead Redis does not slow charging down.
PAUSE_SECONDS = 2.0

_paused_until = 0.0


def group_of(enterprise_id: int) -> str:
    """The channel group that the screens of an enterprise join."""
    return f"enterprise.{enterprise_id}"


def charged(*, enterprise_id: int, sequence: int, account_ids: Collection[int], charged_at: datetime) -> None:
    """Say that charge `sequence` is committed; `account_ids`: every account whose counters it changed."""
    global _paused_until
    if time.monotonic() < _paused_until:
        return
    message = {
        "type": "charged",
        "sequence": sequence,
        "account_ids": sorted(account_ids) if len(account_ids) <= MOST_ACCOUNTS else None,
        "charged_at": charged_at.isoformat(),
    }
    try:
        _publish(group_of(enterprise_id), message)
    except Exception as problem:  # the charge is committed; nothing that happens here may undo or repeat it
        _paused_until = time.monotonic() + PAUSE_SECONDS
        log.warning("live.publish_failed", enterprise_id=enterprise_id, sequence=sequence, problem=str(problem))


def user_group(user_id: int) -> str:
    """The channel group that a user's open pages join for their notices."""
    return f"user.{user_id}"


def noticed(user_ids: Collection[int]) -> None:
    """Say that these users' inboxes have changed; how many are unread, their pages read themselves."""
    for user_id in user_ids:
        try:
            _publish(user_group(user_id), {"type": "noticed"})
        except Exception as problem:  # pages look for themselves every few seconds
            log.warning("live.publish_failed", user_id=user_id, problem=str(problem))
            return


def _publish(group: str, message: dict) -> None:
    layer: dict[str, Any] = settings.CHANNEL_LAYERS["default"]["CONFIG"]  # type: ignore[assignment]
    channel = f"{layer.get('prefix', 'asgi')}__group__{group}"
    host = layer["hosts"][_consistent_hash(channel, len(layer["hosts"]))]
    _client(host).publish(channel, get_channel_layer().serialize(message))


@cache
def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS)
