"""The client against a portal that drops connections, is busy, or says no."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clients.traffic import config as configuration
from clients.traffic.config import BadConfig
from clients.traffic.model import Line, Record
from clients.traffic.sender import Rejected, Sender

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class FakePortal:
    """Answers as its script says, one word a call: a status, "drop" (no answer), or "take then drop"."""

    script: list[int | str] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.bodies.append(json.loads(body))
        word = self.script.pop(0) if self.script else 202
        if word == "drop":
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        problem = b'{"detail": "The token is not known."}'
        handler.send_response(int(word))
        handler.send_header("Content-Length", str(len(problem)))
        handler.end_headers()
        handler.wfile.write(problem)


@contextmanager
def portal(*script: int | str) -> Iterator[FakePortal]:
    fake = FakePortal(list(script))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            fake.answer(self)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


RECORDS = [
    Record(f"r-{n}", "messaging", "491700000001", 1, 1_700_000_000, 1_700_000_000, "26201", "4915", "", None)
    for n in range(3)
]


def sender(fake: FakePortal, said: list[str]) -> Sender:
    return Sender(fake.url, "secret", "tests", say=said.append, stopping=threading.Event(), first_wait_seconds=0.01)


def test_a_batch_is_sent_again_with_the_same_ids_until_it_is_taken():
    said: list[str] = []
    with portal("drop", 503, 429, 202) as fake:
        client = sender(fake, said)
        assert client.deliver(RECORDS)
    assert len(fake.bodies) == 4
    assert all(body == fake.bodies[0] for body in fake.bodies)
    assert [record["source_record_id"] for record in fake.bodies[0]["records"]] == ["r-0", "r-1", "r-2"]
    assert client.figures.records == 3
    assert client.figures.retries == 3
    assert len(said) == 2, "one line when the outage begins, one when it ends"


def test_a_portal_that_is_away_is_waited_for():
    said: list[str] = []
    with portal() as fake:
        away = fake.url
    client = Sender(away, "secret", "tests", say=said.append, stopping=threading.Event(), first_wait_seconds=0.01)
    threading.Timer(0.2, client.stopping.set).start()
    assert client.deliver(RECORDS) is False
    assert client.figures.records == 0
    assert "cannot be reached" in said[0]


def test_a_refusal_for_good_is_not_repeated():
    with portal(401) as fake, pytest.raises(Rejected, match="401: The token is not known"):
        sender(fake, []).deliver(RECORDS)
    assert len(fake.bodies) == 1


def _config(folder: Path, **changes) -> Path:
    content = {"token": "secret", "source": "tests", "seed": 5, "lines": []} | changes
    path = folder / "traffic.json"
    path.write_text(json.dumps(content))
    return path


def _command(path: Path, url: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "clients.traffic", "--config", str(path), "--url", url, *options]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_command_sends_batches_and_ends_cleanly_on_sigterm(tmp_path):
    lines = [{"msisdn": f"4917{n:08d}", "profile": "runaway"} for n in range(40)]
    with portal() as fake:
        process = _command(_config(tmp_path, lines=lines), fake.url, "--speed", "x1000", "--batch", "20")
        try:
            assert "40 lines" in process.stdout.readline()
            for _ in range(200):
                if len(fake.bodies) > 2:
                    break
                threading.Event().wait(0.05)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0
    assert f"in {len(fake.bodies)} batches" in output
    assert all(len(body["records"]) <= 20 for body in fake.bodies)
    identities = [record["source_record_id"] for body in fake.bodies for record in body["records"]]
    assert len(set(identities)) > 0.9 * len(identities)


def test_the_cap_holds_and_is_told(tmp_path):
    lines = [{"msisdn": f"4917{n:08d}", "profile": "runaway"} for n in range(40)]
    with portal() as fake:
        process = _command(
            _config(tmp_path, lines=lines), fake.url, "--speed", "1000", "--rate", "2", "--duration", "3.5"
        )
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert 1 <= sum(len(body["records"]) for body in fake.bodies) <= 8
    assert "left out by --rate" in output


def test_a_config_that_cannot_be_used_says_what_to_mend(tmp_path):
    with pytest.raises(BadConfig, match="demo` writes such a file"):
        configuration.read(tmp_path / "none.json")
    with pytest.raises(BadConfig, match="profile “pirate”"):
        configuration.read(_config(tmp_path, lines=[{"msisdn": "491", "profile": "pirate"}]))
    assert configuration.read(_config(tmp_path, lines=[{"msisdn": "491", "profile": "idle"}])).lines == (
        Line("491", "idle"),
    )


def test_the_generator_knows_nothing_of_the_portal():
    check = "import clients.traffic.__main__, sys; print([m for m in sys.modules if m.split('.')[0] in %r])"
    forbidden = ("portal", "balances", "policies", "django")
    done = subprocess.run(
        [sys.executable, "-c", check % (forbidden,)],
        cwd=PROJECT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
