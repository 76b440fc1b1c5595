"""Delivers batches of records over HTTP: the same bytes again until they are taken, so that each counts once.

Owns retries, backing off and the figures of the status line. What the portal refuses for good (a wrong
token, a batch that it cannot read) is an error for people: repeating it would not help.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from clients.traffic.model import Record, as_mapping

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
#: Answers that say "not now": the batch is kept and sent again.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Rejected(Exception):
    """The portal will not take this batch however often it is sent."""


@dataclass
class Figures:
    """What has been delivered so far."""

    records: int = 0
    batches: int = 0
    retries: int = 0


class Sender:
    """Posts batches to one portal. `stopping` ends waits at once; `say` is told of each outage."""

    def __init__(
        self,
        url: str,
        token: str,
        source: str,
        *,
        say: Callable[[str], None],
        stopping: threading.Event,
        client: httpx.Client | None = None,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ):
        self.address = url.rstrip("/") + "/api/v1/usage-batches"
        self.source, self.say, self.stopping, self.first_wait = source, say, stopping, first_wait_seconds
        self.client = client or httpx.Client(timeout=httpx.Timeout(30, connect=5), trust_env=False)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.figures = Figures()

    def deliver(self, records: Sequence[Record]) -> bool:
        """Send a batch until it is taken; False where stopping came first. Raises `Rejected`."""
        if not records:
            return True
        body = json.dumps({"source": self.source, "records": [as_mapping(record) for record in records]}).encode()
        wait, since = self.first_wait, 0.0
        while not self.stopping.is_set():
            trouble, asked_wait = self._attempt(body)
            if not trouble:
                if since:
                    self.say(f"delivery works again after {time.monotonic() - since:.0f} s; nothing is lost")
                self.figures.records += len(records)
                self.figures.batches += 1
                return True
            self.figures.retries += 1
            if not since:
                since = time.monotonic()
                self.say(f"{trouble}; keeping {len(records)} records and trying again")
            self.stopping.wait(min(max(wait, asked_wait), LONGEST_WAIT_SECONDS))
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
        return False

    def _attempt(self, body: bytes) -> tuple[str, float]:
        """One POST: what was wrong ("" for nothing), and how long the portal asks to wait."""
        try:
            answer = self.client.post(self.address, content=body, headers=self.headers)
        except httpx.TransportError as error:
            return f"the portal cannot be reached ({str(error) or type(error).__name__})", 0.0
        if answer.status_code in PASSING:
            return f"the portal answers {answer.status_code}", _seconds(answer.headers.get("Retry-After"))
        if not answer.is_success:
            raise Rejected(f"the portal answers {answer.status_code}: {_detail(answer)}")
        return "", 0.0


def _seconds(text: str | None) -> float:
    """A Retry-After in seconds; 0 where it is missing or a date."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


def _detail(answer: httpx.Response) -> str:
    """The sentence of a problem+json answer, else the beginning of its text."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:200]
    found = (problem.get("detail") or problem.get("title")) if isinstance(problem, dict) else None
    return str(found or problem)[:200]
