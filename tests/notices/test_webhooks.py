"""Webhooks are signed, go nowhere inside, wait for receivers that are down, and can be posted again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from balances import contracts
from balances.units import GIB
from portal.models import Delivery, WebhookEndpoint
from portal.notices import deliver, outbox, webhooks
from tests.api.client import charge, used
from tests.cast import ACTOR, NOW, Cast

DOING = {"actor": ACTOR, "at": NOW}


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it gets, and answers as the test says."""

    got: list[tuple[dict[str, str], bytes]] = []
    status = 204

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Receiver.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
        self.send_response(Receiver.status)
        self.end_headers()

    def log_message(self, *arguments) -> None:
        """Silent."""


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.got, Receiver.status = [], 204
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def cross_with_endpoint(cast: Cast, host: str) -> WebhookEndpoint:
    endpoint = webhooks.add(enterprise=cast.aurora.enterprise, url=f"http://{host}/hook", **DOING)
    contracts.set_threshold(line=cast.aurora.lines["emil phone"], service=1, units=GIB, **DOING)
    charge(cast.aurora, used(1, units=GIB, started_at="2026-03-15T12:00:00+01:00"))
    outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=NOW)
    Delivery.objects.filter(channel="email").delete()
    return endpoint


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://10.0.0.8/hook",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://user:word@example.com/",
        "ftp://example.com/",
        "https://",
        "https://exa mple.com/",
    ],
)
def test_addresses_where_nothing_is_posted(url: str) -> None:
    with pytest.raises(webhooks.EndpointRefused):
        webhooks.check(url)


def test_a_name_that_leads_inside_is_found_when_it_is_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("192.168.0.10", 443))]
    monkeypatch.setattr(webhooks.socket, "getaddrinfo", lambda *_, **__: inside)
    monkeypatch.setattr(webhooks.socket, "create_connection", lambda *_, **__: pytest.fail("it was connected to"))
    assert "inside a network" in webhooks.post(webhooks.Post("https://innocent.example/", {}, b"{}"))


@pytest.mark.django_db
def test_the_receiver_can_check_who_sent_it(cast: Cast, receiver: str, settings) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = {receiver}
    endpoint = cross_with_endpoint(cast, receiver)
    deliver.send_due(at=NOW)
    ((headers, body),) = Receiver.got
    key = base64.b64decode(endpoint.secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(body)["type"] == "notice.threshold"


@pytest.mark.django_db
def test_a_receiver_that_fails_is_tried_again_and_a_replay_has_the_same_id(cast: Cast, receiver: str, settings) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = {receiver}
    cross_with_endpoint(cast, receiver)
    Receiver.status = 503
    deliver.send_due(at=NOW)
    delivery = Delivery.objects.get(channel="webhook")
    assert (delivery.state, delivery.problem) == ("waiting", "The receiver answered 503.")
    Receiver.status = 200
    deliver.send_due(at=NOW + timedelta(seconds=29))
    assert len(Receiver.got) == 1
    deliver.send_due(at=NOW + timedelta(seconds=30))
    deliver.replay(delivery=delivery, at=NOW + timedelta(hours=1))
    deliver.send_due(at=NOW + timedelta(hours=1))
    delivery.refresh_from_db()
    assert delivery.state == "sent"
    assert [headers["webhook-id"] for headers, _ in Receiver.got] == [f"dlv_{delivery.id}"] * 3
