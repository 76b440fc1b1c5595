"""Says after a commit that there are facts to tell, by a task's name: the room of notices lies above this one.

Never raises and never waits long. A nudge that gets lost costs a notice three seconds: `portal.notices.tasks.sweep`.
"""

from __future__ import annotations

import time

import structlog
from celery import current_app
from django.conf import settings

log = structlog.get_logger(__name__)

COLLECT = "portal.notices.tasks.collect"
#: After a failure nothing is sent for a while, so that a dead broker does not slow charging down.
PAUSE_SECONDS = 2.0

_paused_until = 0.0


def facts_written(enterprise_id: int) -> None:
    """Nudge the room of notices: crossings or restrictions of this enterprise are committed."""
    global _paused_until
    if time.monotonic() < _paused_until:
        return
    try:
        current_app.send_task(
            COLLECT, kwargs={"enterprise_id": enterprise_id}, queue=settings.NOTICES_QUEUE, retry=False, expires=60
        )
    except Exception as problem:  # the charge is committed; nothing that happens here may undo or repeat it
        _paused_until = time.monotonic() + PAUSE_SECONDS
        log.warning("notices.not_nudged", enterprise_id=enterprise_id, problem=str(problem))
