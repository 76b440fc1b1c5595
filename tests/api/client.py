"""A REST client for tests: signed in, or with a token."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.test import Client

from portal.charging import ingest, pipeline
from portal.charging.records import read_mapping
from tests.cast import NOW, Cast, House

BASE = "/api/v1"


class Api:
    """Calls by path below /api/v1; bodies are JSON."""

    def __init__(self, client: Client, headers: dict[str, str] | None = None) -> None:
        self.client, self.headers = client, headers or {}

    @classmethod
    def of(cls, cast: Cast, name: str) -> Api:
        """A member of the cast, signed in."""
        client = Client()
        client.force_login(cast.users[name], backend="django.contrib.auth.backends.ModelBackend")
        return cls(client)

    @classmethod
    def bearing(cls, plain: str) -> Api:
        """A client with this token."""
        return cls(Client(), {"Authorization": f"Bearer {plain}"})

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """One request; a path that is an address is taken as it is."""
        address = path if path.startswith("http") else BASE + path
        arguments = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(address, headers={**self.headers, **headers}, **arguments)

    def get(self, path: str, **query: Any) -> HttpResponse:
        return self.client.get(path if path.startswith("http") else BASE + path, query, headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.call("post", path, {} if body is None else body, **headers)

    def patch(self, path: str, body: Any) -> HttpResponse:
        return self.call("patch", path, body)

    def put(self, path: str, body: Any) -> HttpResponse:
        return self.call("put", path, body)

    def delete(self, path: str) -> HttpResponse:
        return self.call("delete", path)

    def csv(self, path: str, text: str) -> HttpResponse:
        return self.client.post(BASE + path, text, content_type="text/csv", headers=self.headers)


def read(response: HttpResponse, status: int = 200) -> Any:
    """The content of an answer that must have this status."""
    assert response.status_code == status, response.content.decode()
    return response.json() if response.content else None


def ids(response: HttpResponse) -> set[int]:
    """The ids on a page."""
    return {row["id"] for row in read(response)["results"]}


def refusal(response: HttpResponse, status: int) -> dict[str, Any]:
    """The problem of an answer that must be one; its first error, where it names any."""
    assert response.status_code == status, response.content.decode()
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["status"] == status
    return problem["errors"][0] if problem.get("errors") else problem


def charge(house: House, *usages: dict[str, Any], sender: str = "token:1 Mediation") -> str:
    """Deliver usage and charge it at the time of the cast; returns the delivery's id."""
    enterprise = house.enterprise
    source_id = ingest.source(operator_id=enterprise.operator_id, name="Mediation")
    delivery = ingest.Delivery(enterprise.operator_id, enterprise.id, source_id, sender)
    batch_id = ingest.accept(delivery=delivery, usages=[read_mapping(usage) for usage in usages], at=NOW)
    pipeline.drain(enterprise.id, clock=lambda: NOW)
    return str(batch_id)


def used(number: int, **changes: Any) -> dict[str, Any]:
    """A record of Emil's phone; two KiB of data in the morning of 10 March."""
    return {
        "source_record_id": f"cdr-{number}",
        "service": "data",
        "msisdn": "4917010000001",
        "units": 2048,
        "started_at": "2026-03-10T09:00:00+01:00",
    } | changes
