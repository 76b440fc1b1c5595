"""The only push door: tells watchers, after a commit, that an enterprise's figures have changed. Never raises."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

log = structlog.get_logger(__name__)


def charged(*, enterprise_id: int, sequence: int, account_ids: Iterable[int], charged_at: datetime) -> None:
    """Say that charging has committed up to `sequence`; watchers read the new state themselves."""
    message = {
        "type": "enterprise.charged",
        "sequence": sequence,
        "account_ids": list(account_ids)[:500],
        "charged_at": charged_at.isoformat(),
    }
    try:
        async_to_sync(get_channel_layer().group_send)(f"enterprise.{enterprise_id}", message)
    except Exception as error:
        log.warning("publish.failed", enterprise_id=enterprise_id, error=str(error))
