"""A browser's end of a live socket, spoken to the ASGI application itself.

channels.testing would do, but importing it wants Daphne, which is not what serves here.
"""

from __future__ import annotations

import json
import time

from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.conf import settings
from django.test import Client

from portal.asgi import application
from portal.models import User


class Socket(ApplicationCommunicator):
    """One open socket."""

    async def message(self, timeout: float = 10) -> dict:
        """The next message; fails if the server closes instead."""
        output = await self.receive_output(timeout=timeout)
        assert output["type"] == "websocket.send", output
        return json.loads(output["text"])

    async def state(self, timeout: float = 10) -> dict:
        """The next state, past heartbeats."""
        deadline = time.monotonic() + timeout
        while True:
            message = await self.message(timeout=max(0.01, deadline - time.monotonic()))
            if message["type"] == "state":
                return message

    async def close_code(self, timeout: float = 10) -> int:
        """The code that the server closes with, past everything else."""
        while True:
            output = await self.receive_output(timeout=timeout)
            if output["type"] == "websocket.close":
                return output["code"]

    async def leave(self) -> None:
        """Close from this end."""
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait()


def _session_cookie(user: User) -> bytes:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}".encode()


async def opened(user: User | None, path: str) -> Socket:
    """A socket of a user's browser (None: of nobody's), accepted."""
    path, _, query = path.partition("?")
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost")]
    if user is not None:
        headers.append((b"cookie", await database_sync_to_async(_session_cookie)(user)))
    socket = Socket(
        application,
        {
            "type": "websocket",
            "path": path,
            "query_string": query.encode(),
            "headers": headers,
            "subprotocols": [],
        },
    )
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(timeout=10))["type"] == "websocket.accept"
    return socket
