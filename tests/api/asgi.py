"""A client of plain ASGI callables: what a server would say to them, without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a callable sent back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


def call(
    application,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Iterable[bytes] = (b"",),
    ends: str = "complete",
) -> Answer:
    """One request; `body` comes in these chunks. `ends`: complete, disconnect (half-way), or never."""
    return asyncio.run(_call(application, method, path, headers or {}, list(body), ends))


async def _call(
    application, method: str, path: str, headers: Mapping[str, str], chunks: list[bytes], ends: str
) -> Answer:
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")] + [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
    }
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": ends != "complete" or place < len(chunks)}
        for place, chunk in enumerate(chunks, start=1)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        if ends == "disconnect":
            return {"type": "http.disconnect"}
        return await asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start, *rest = sent
    assert start["type"] == "http.response.start", start
    names = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], names, b"".join(message.get("body", b"") for message in rest))
