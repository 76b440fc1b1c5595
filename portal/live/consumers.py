"""Sockets of live pages: absolute state, at most two a second, only as long as the reader may see it.

Owns: when a page is read again and sent, and when a socket ends. Reads through the page selectors within the scope, and
never trusts a message for a figure: `portal.live.publish` only says that there is something new.

    {"type": "state", ...}        see `portal.live.state`; first on connect
    {"type": "heartbeat", ...}    every few seconds: nothing of this page has changed up to `as_of`

Close codes: 4401 nobody is signed in, 4404 not in reach (also when the reach has changed while the page was open), 1011
something failed here: come back later.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.core.exceptions import ObjectDoesNotExist

from balances.models import Account, Line
from balances.scope import Scope
from balances.selectors import lines, pages, tree
from balances.selectors.terms import Progress, Terms, progress_of
from balances.units import SERVICES_BY_NAME
from policies.restricting import restricted_below
from portal.live.publish import group_of
from portal.live.sessions import scope_of_session
from portal.live.state import State, account_state, as_of, line_state

log = structlog.get_logger(__name__)

SIGN_IN, NOT_FOUND, FAILED = 4401, 4404, 1011
#: A page is sent at most every half second, and a page that is slow to read takes at most a third of a thread's time.
LEAST_INTERVAL_SECONDS = 0.5
SHARE_OF_TIME = 3
#: The reach is looked at again, and a heartbeat sent, this often: well within the 5 s that SCENARIOS 28 allows.
CHECK_SECONDS = 3.0

#: Sockets read in threads of their own, few enough to leave connections of the pool to pages.
_readers = ThreadPoolExecutor(max_workers=3, thread_name_prefix="live")


def _in_thread(function):
    return database_sync_to_async(function, thread_sensitive=False, executor=_readers)


class _PageConsumer(AsyncJsonWebsocketConsumer):
    """One open page. Subclasses say how it is read and which accounts' charges concern it."""

    def _look_up(self, access: Scope) -> Account | Line:
        """The page's object; raises ObjectDoesNotExist outside the reach."""
        raise NotImplementedError

    def _read(self, access: Scope) -> tuple[State, Terms, frozenset[int]]:
        """State, terms, and the accounts whose charges concern the page."""
        raise NotImplementedError

    async def connect(self):
        self.object_id: int = self.scope["url_route"]["kwargs"]["id"]
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        self.service: int | None = SERVICES_BY_NAME.get(query.get("service", [""])[0])
        self._dirty = asyncio.Event()
        self._seen_sequence = -1
        self._watched: frozenset[int] | None = None  # None: every account, until the page has been read
        self._task: asyncio.Task | None = None
        self._group: str | None = None
        await self.accept()  # refusing before would hide the close code from the page
        self._task = asyncio.create_task(self._live())

    async def disconnect(self, code):
        if self._task:
            self._task.cancel()
        if self._group:
            await self.channel_layer.group_discard(self._group, self.channel_name)

    async def receive(self, text_data=None, bytes_data=None, **kwargs):
        """Pages say nothing; whatever comes is ignored."""

    async def charged(self, message):
        """From `portal.live.publish`: the enterprise has been charged."""
        self._seen_sequence = max(self._seen_sequence, message["sequence"])
        accounts = message["account_ids"]
        if accounts is None or self._watched is None or not self._watched.isdisjoint(accounts):
            self._dirty.set()

    # --- the life of a socket ------------------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            code = await self._serve()
        except asyncio.CancelledError:
            raise
        except ObjectDoesNotExist:
            code = NOT_FOUND
        except Exception as problem:
            log.warning("live.socket_failed", path=self.scope["path"], problem=str(problem))
            code = FAILED
        await self.close(code)

    async def _serve(self) -> int:
        """Send the state, then keep it up to date; returns the code to close with."""
        access = await _in_thread(scope_of_session)(self.scope["session_key"])
        if access is None:
            return SIGN_IN
        rest_until = await self._begin(access)
        check_at = time.monotonic() + CHECK_SECONDS
        while True:
            if await self._dirty_before(check_at):
                await asyncio.sleep(max(0.0, min(rest_until, check_at) - time.monotonic()))
            if time.monotonic() >= check_at:
                access, progress = await _in_thread(self._look_again)()
                if access is None:
                    return SIGN_IN
                check_at = time.monotonic() + CHECK_SECONDS
                if progress.sequence > self._seen_sequence:  # a message got lost, or money moved by hand
                    self._seen_sequence = progress.sequence
                    self._dirty.set()
                if not self._dirty.is_set():
                    await self._beat(progress)
            if self._dirty.is_set() and time.monotonic() >= rest_until:
                rest_until = await self._send_state(access)

    async def _begin(self, access: Scope) -> float:
        """Join the enterprise's group before the first read, so that no charge falls in between."""
        found = await _in_thread(self._look_up)(access)
        self._enterprise_id = found.enterprise_id
        self._group = group_of(found.enterprise_id)
        await self.channel_layer.group_add(self._group, self.channel_name)
        return await self._send_state(access)

    async def _send_state(self, access: Scope) -> float:
        """Read and send; returns when the page may be read next."""
        self._dirty.clear()
        begun = time.monotonic()
        (state, self._terms, self._watched), took = await _in_thread(self._read_timed)(access)
        self._seen_sequence = max(self._seen_sequence, state["sequence"])
        await self.send_json({"type": "state", **state})
        return begun + max(LEAST_INTERVAL_SECONDS, took * SHARE_OF_TIME)

    def _read_timed(self, access: Scope) -> tuple[tuple[State, Terms, frozenset[int]], float]:
        """What was read, and how many seconds that took a thread; waiting for one is not the page's fault."""
        begun = time.monotonic()
        return self._read(access), time.monotonic() - begun

    async def _dirty_before(self, deadline: float) -> bool:
        try:
            await asyncio.wait_for(self._dirty.wait(), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return False
        return True

    def _look_again(self) -> tuple[Scope | None, Progress]:
        """The reach and the charge sequence now; raises ObjectDoesNotExist where the object is no longer in reach."""
        access = scope_of_session(self.scope["session_key"])
        if access is not None:
            self._look_up(access)
        return access, progress_of(self._enterprise_id)

    async def _beat(self, progress: Progress) -> None:
        charged_at = progress.charged_at.isoformat() if progress.charged_at else None
        await self.send_json(
            {
                "type": "heartbeat",
                "sequence": progress.sequence,
                "as_of": as_of(progress, self._terms),
                "charged_at": charged_at,
            }
        )


class AccountConsumer(_PageConsumer):
    """`/live/accounts/<id>/?service=data`"""

    def _look_up(self, access: Scope) -> Account:
        return tree.account(access, self.object_id)

    def _read(self, access: Scope) -> tuple[State, Terms, frozenset[int]]:
        page = pages.account_page(access, self.object_id, service=self.service)
        owners = {pool.owner.id for service in page.services for pool in service.pools if pool.owner}
        restricted = restricted_below(access, page.account, page.progress.as_of)
        return account_state(page, restricted), page.terms, frozenset({page.account.id} | owners)


class LineConsumer(_PageConsumer):
    """`/live/lines/<id>/?service=data`"""

    def _look_up(self, access: Scope) -> Line:
        return lines.line(access, self.object_id)

    def _read(self, access: Scope) -> tuple[State, Terms, frozenset[int]]:
        page = pages.line_page(access, self.object_id, service=self.service)
        owners = {bucket.account_id for bucket in page.serving.buckets if bucket.account_id}
        return line_state(page), page.terms, frozenset({page.line.account_id} | owners)
