"""Notices posted to an enterprise's own systems: endpoints, signatures, and where a post may not go.

Signed as Standard Webhooks do: `webhook-signature: v1,<base64 of HMAC-SHA256 over id.timestamp.body>`. Only TLS, only
public addresses, no redirects, and the address that was checked is the one that is connected to: a name that resolves
to the inside a moment later leads nowhere. `WEBHOOK_ALLOWED_HOSTS` names exceptions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import secrets
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.db import transaction

from balances import audit
from balances.errors import Refused
from balances.models import Enterprise
from portal.models import Delivery, NoticeKind, WebhookEndpoint
from portal.notices import words

TIMEOUT_SECONDS = 4.0
ENDPOINTS_MOST = 10
#: What is personal is posted nowhere.
POSTED = [kind.value for kind in NoticeKind if kind != NoticeKind.PERSONAL]
_PREFIX = "whsec_"


class EndpointRefused(Refused):
    """An endpoint that cannot be."""


@dataclass(frozen=True, slots=True)
class Post:
    """One request, ready to go."""

    url: str
    headers: dict[str, str]
    body: bytes


def add(*, enterprise: Enterprise, url: str, kinds: Iterable[str] = (), actor: str, at: datetime) -> WebhookEndpoint:
    """A new endpoint with a secret of its own. Raises EndpointRefused."""
    chosen = list(dict.fromkeys(kinds))
    if unknown := [kind for kind in chosen if kind not in POSTED]:
        raise EndpointRefused(f"There is no kind “{unknown[0]}”.", field="kinds")
    check(url)
    with transaction.atomic():
        Enterprise.objects.select_for_update(no_key=True).get(id=enterprise.id)
        standing = WebhookEndpoint.objects.filter(enterprise=enterprise, disabled_at__isnull=True)
        if standing.count() >= ENDPOINTS_MOST:
            raise EndpointRefused(f"At most {ENDPOINTS_MOST} endpoints fit on one enterprise.", field="url")
        endpoint = WebhookEndpoint.objects.create(
            enterprise=enterprise,
            url=url,
            secret=_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode(),
            kinds=chosen,
            created_by=actor,
            created_at=at,
        )
        _record(endpoint, "webhook.added", actor, at)
    return endpoint


def disable(*, endpoint: WebhookEndpoint, actor: str, at: datetime) -> None:
    """Nothing is posted there any more; what waits is dropped, the log stays. Again: nothing changes."""
    with transaction.atomic():
        known = WebhookEndpoint.objects.select_for_update().get(id=endpoint.id)
        if known.disabled_at is None:
            known.disabled_at = at
            known.save(update_fields=["disabled_at"])
            Delivery.objects.filter(endpoint=known, state="waiting").update(
                state="dropped", problem="The endpoint was removed.", next_at=None
            )
            _record(known, "webhook.removed", actor, at)


def _record(endpoint: WebhookEndpoint, action: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=endpoint.enterprise_id, actor=actor, action=action, subject=endpoint.url,
        detail={"kinds": endpoint.kinds or "all"}, at=at,
    )  # fmt: skip


def check(url: str) -> SplitResult:
    """The parts of an address that a webhook may have. Does not resolve its name: that is done before each post.

    Raises EndpointRefused.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EndpointRefused("This is not an address of the web.", field="url") from None
    if not parts.hostname or parts.username or parts.password or parts.fragment or len(url) > 400:
        raise EndpointRefused("Write an address like https://example.com/hook, without a password.", field="url")
    if any(character.isspace() or ord(character) < 32 for character in url):
        raise EndpointRefused("An address has no spaces.", field="url")
    if _is_allowed(parts.hostname, port):
        return parts
    if parts.scheme != "https":
        raise EndpointRefused("Webhooks go over TLS: the address begins with https://.", field="url")
    try:
        _refuse_inside(parts.hostname)
    except ValueError:
        pass  # a name, not an address
    return parts


def _is_allowed(host: str, port: int | None) -> bool:
    return host in settings.WEBHOOK_ALLOWED_HOSTS or f"{host}:{port}" in settings.WEBHOOK_ALLOWED_HOSTS


def _refuse_inside(address: str) -> None:
    """Raises EndpointRefused for what is not a public address, ValueError for what is none at all."""
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    found = mapped or found
    if not found.is_global or found.is_multicast:
        raise EndpointRefused("This address is inside a network, where webhooks do not go.", field="url")


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a post, as its receiver computes it too."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def request_of(delivery: Delivery, at: datetime) -> Post:
    """The post of a delivery, signed as of `at`."""
    endpoint, notice = delivery.endpoint, delivery.notice
    if endpoint is None:
        raise ValueError("A webhook goes to an endpoint.")
    content = {
        "type": f"notice.{notice.kind}",
        "timestamp": notice.happened_at.isoformat(),
        "data": {
            "id": notice.id,
            "enterprise": notice.enterprise_id,
            "account": notice.account_id,
            "line": notice.line_id,
            "severity": notice.severity,
            "title": words.message(notice).title,
            "url": f"{settings.PUBLIC_URL}/notices/{notice.id}/",
            "facts": notice.facts,
        },
    }
    body = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
    message_id, timestamp = f"dlv_{delivery.id}", int(at.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "EnterprisePortal-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(endpoint.secret, message_id, timestamp, body),
    }
    return Post(endpoint.url, headers, body)


def post(request: Post) -> str:
    """Send it; returns what went wrong, or nothing where the receiver said 2xx. Touches no database."""
    try:
        parts = check(request.url)
        connection = _connection(parts)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body=request.body, headers=request.headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except Refused as refusal:
        return refusal.message
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"
    return "" if 200 <= status < 300 else f"The receiver answered {status}."


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    """A connection to an address that was looked at, under the name that was asked for."""
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    address = str(found[0][4][0])
    if not _is_allowed(host, parts.port):
        for each in found:  # all of them: one inside address among several is a trap
            _refuse_inside(str(each[4][0]).partition("%")[0])
    raw = socket.create_connection((address, port), timeout=TIMEOUT_SECONDS)
    connection: http.client.HTTPConnection
    if secure:
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS)
        raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    connection.sock = raw
    return connection
