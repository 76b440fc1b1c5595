"""SIGKILL between fact and notice, and between sending and noting it: nothing is lost, the inbox doubles nothing.

What may come twice, a webhook whose answer could not be noted, comes with the id by which its receiver knows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest

from tests.faults.house import House, build_in
from tests.faults.sender import post
from tests.stack import Stack, own_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


class Receiver(BaseHTTPRequestHandler):
    """Keeps the ids of what it gets; holds its first answer back until the sender is dead."""

    got: list[str] = []
    has_one, may_answer = Event(), Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Receiver.got.append(self.headers["webhook-id"])
        Receiver.has_one.set()
        Receiver.may_answer.wait(30)
        try:
            self.send_response(204)
            self.end_headers()
        except OSError:
            """Whoever asked is dead."""

    def log_message(self, *arguments) -> None:
        """Silent."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", address)
    monkeypatch.setenv("SENDING_FIRST_PAUSE_SECONDS", "2")
    yield address
    server.shutdown()
    server.server_close()


@pytest.fixture
def stack(receiver: str) -> Iterator[Stack]:
    with own_stack(workers=1, sender=True) as started:
        yield started


def until(what: Callable[[], bool], seconds: float = 40) -> None:
    """Wait till it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.1)


def test_killed_between_fact_and_reader_it_is_told_once(stack: Stack, receiver: str) -> None:
    house: House = build_in(stack.environment, "Notices")[0]
    with (
        psycopg.connect(stack.environment["DATABASE_URL"], autocommit=True) as look,
        psycopg.connect(stack.environment["DATABASE_URL"]) as holder,
    ):

        def count(query: str) -> int:
            return look.execute(query).fetchone()[0]

        look.execute(
            "INSERT INTO portal_webhookendpoint (enterprise_id, url, secret, kinds, created_by, created_at) "
            "VALUES (%s, %s, %s, '[\"threshold\"]', 'test', now())",
            [house.enterprise_id, f"http://{receiver}/", SECRET],
        )
        # While its mark is held, facts are written and no notice can be: the worker is killed as it waits.
        look.execute(
            "INSERT INTO portal_outboxmark (source, enterprise_id, told_id, next_id) VALUES ('crossing', %s, 0, 0) "
            "ON CONFLICT DO NOTHING",
            [house.enterprise_id],
        )
        # Of this enterprise alone: the sweep locks the floor of all, and must not keep the only worker from charging.
        holder.execute(
            "SELECT 1 FROM portal_outboxmark WHERE source = 'crossing' AND enterprise_id = %s FOR UPDATE",
            [house.enterprise_id],
        )
        at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        use = {"service": "messaging", "units": 12, "started_at": at, "msisdn": house.msisdns[4]}
        post(stack.url, house, "network", [use | {"source_record_id": "one"}])
        until(lambda: count("SELECT count(*) FROM balances_crossing") > 0)
        until(lambda: count("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        stack.kill("charging1")
        holder.rollback()
        facts = count("SELECT count(*) FROM balances_crossing")
        assert count("SELECT count(*) FROM portal_notice") == 0
        stack.revive("charging1")
        until(lambda: count("SELECT count(*) FROM portal_notice WHERE kind = 'threshold'") == facts)

        assert Receiver.has_one.wait(40), "nothing was posted"
        stack.kill("sender")
        Receiver.may_answer.set()
        stack.revive("sender")
        until(lambda: count("SELECT count(*) FROM portal_delivery WHERE state = 'waiting'") == 0)

        assert count("SELECT count(*) FROM portal_notice WHERE kind = 'threshold'") == facts
        assert count("SELECT count(*) FROM portal_delivery WHERE channel = 'portal' AND state = 'sent'") == facts
        assert count("SELECT count(*) FROM portal_delivery WHERE state = 'failed'") == 0
        posted = count("SELECT count(*) FROM portal_delivery WHERE channel = 'webhook' AND state = 'sent'")
        assert posted == facts == len(set(Receiver.got))
        assert len(Receiver.got) > posted  # it was killed after posting: the control of what this test is about
    mails = list(Path(stack.environment["DATA_DIR"], "mail").iterdir())
    assert mails
