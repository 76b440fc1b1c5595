"""The socket of the bell in every page's header: how many notices its reader has not opened.

`/live/notices/` sends the same kind of absolute state as other live pages, with `unread` in it; first on connect, then
whenever it has changed. Nudged by `portal.live.publish.noticed`; without a nudge it looks for itself every few seconds,
so that a lost message, or a lost role, shows within that time.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from portal import figures
from portal.live.publish import user_group
from portal.live.sessions import user_of_session
from portal.notices import inbox

log = structlog.get_logger(__name__)

SIGN_IN, FAILED = 4401, 1011
CHECK_SECONDS = 4.0
#: Not more often than this, however many notices come.
LEAST_INTERVAL_SECONDS = 0.5

_readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="bell")


def bell_state(unread: int) -> dict:
    """What the bell shows, as the page's HTML shows it too."""
    return {"unread": unread, "words": unread_words(unread), "as_of": datetime.now(UTC).isoformat()}


def unread_words(unread: int) -> str:
    """The bell's label."""
    if not unread:
        return "Notices, none unread"
    return f"Notices, {figures.count(unread)} unread"


class BellConsumer(AsyncJsonWebsocketConsumer):
    """One open page's bell."""

    async def connect(self) -> None:
        self._dirty = asyncio.Event()
        self._task: asyncio.Task | None = None
        self._group: str | None = None
        await self.accept()
        self._task = asyncio.create_task(self._live())

    async def disconnect(self, code: int) -> None:
        if self._task:
            self._task.cancel()
        if self._group:
            await self.channel_layer.group_discard(self._group, self.channel_name)

    async def receive(self, text_data=None, bytes_data=None, **kwargs) -> None:
        """Pages say nothing; whatever comes is ignored."""

    async def noticed(self, message) -> None:
        """From `portal.live.publish`: the user's inbox has changed."""
        self._dirty.set()

    async def _live(self) -> None:
        try:
            code = await self._serve()
        except asyncio.CancelledError:
            raise
        except Exception as problem:
            log.warning("live.bell_failed", problem=str(problem))
            code = FAILED
        await self.close(code)

    async def _serve(self) -> int:
        shown: int | None = None
        while True:
            self._dirty.clear()
            found = await database_sync_to_async(self._read, thread_sensitive=False, executor=_readers)()
            if found is None:
                return SIGN_IN
            user_id, unread = found
            if self._group is None:  # then read again: nothing may fall in between
                self._group = user_group(user_id)
                await self.channel_layer.group_add(self._group, self.channel_name)
                continue
            if unread != shown:
                shown = unread
                await self.send_json({"type": "state", **bell_state(unread)})
            await asyncio.sleep(LEAST_INTERVAL_SECONDS)
            try:
                await asyncio.wait_for(self._dirty.wait(), CHECK_SECONDS)
            except TimeoutError:
                pass

    def _read(self) -> tuple[int, int] | None:
        found = user_of_session(self.scope["session_key"])
        if found is None:
            return None
        user, scope = found
        return user.pk, inbox.unread(scope, user).count()
