"""The OpenAPI description: whole, true (requests made from it meet answers that it names), and readable offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from balances.models import Bucket, SuspendedUsage, Threshold, UsageBatch, UsageRecord
from portal.models import Membership, Role
from tests.api.client import BASE, charge, used
from tests.cast import Cast

CSRF = "x" * 32
EXAMPLES = 6
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
METHODS = ("get", "post", "patch", "put", "delete")


@pytest.fixture(scope="module")
def document() -> dict:
    """openapi.json as the site serves it; it needs no database and no sign-in."""
    return Client().get(f"{BASE}/openapi.json").json()


def test_describing_the_site_gives_no_warning() -> None:
    """Two shapes of one name, or one of two names, would be told to whoever generates a client."""
    GENERATOR_STATS.reset()
    SchemaGenerator(api_version="v1").get_schema(request=None, public=True)
    told = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    assert told == []


def test_every_address_is_described_with_summary_and_tag(document: dict) -> None:
    described = set(document["paths"])
    for pattern in get_resolver("portal.api.urls").url_patterns:
        address = (
            f"{BASE}/{pattern.pattern}".replace("<int:pk>", "{id}")
            .replace("<uuid:pk>", "{id}")
            .replace("<slug:pk>", "{id}")
        )
        if not address.startswith((f"{BASE}/openapi", f"{BASE}/docs")):
            assert address in described, address
    operations = [op for path in document["paths"].values() for method, op in path.items() if method in METHODS]
    assert len(operations) > 60
    for operation in operations:
        assert operation["summary"], operation["operationId"]
        assert not operation["summary"].startswith("List of "), operation["operationId"]
        assert operation["tags"][0] != "api", operation["operationId"]
        assert {"400", "401", "403", "default"} <= operation["responses"].keys(), operation["operationId"]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_sending_usage_is_described_though_it_is_answered_ahead_of_django(document: dict) -> None:
    operation = document["paths"][f"{BASE}/usage-batches"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/x-ndjson"}
    assert "202" in operation["responses"]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


@pytest.fixture
def _connection_of_the_test() -> Iterator[None]:
    """Requests through plain WSGI must not close the connection that the test's transaction is on."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _known_ids(cast: Cast) -> dict[str, object]:
    """One thing of each noun, so that requests also reach what lies behind "not found"."""
    house = cast.aurora
    return {
        "enterprises": house.enterprise.id,
        "accounts": house.accounts["N-SALES"].id,
        "lines": house.lines["emil phone"].id,
        "devices": house.devices[0].id,
        "people": house.people["P-1"].id,
        "zones": cast.zones["home"].id,
        "contracts": house.contract.id,
        "versions": house.version.id,
        "allowances": house.version.allowances.first().id,
        "thresholds": Threshold.objects.filter(enterprise=house.enterprise).first().id,
        "buckets": Bucket.objects.filter(enterprise=house.enterprise).first().id,
        "policy-templates": "eu-roaming",
        "usage-records": UsageRecord.objects.get().id,
        "usage-batches": str(UsageBatch.objects.get().id),
        "suspense": SuspendedUsage.objects.get().id,
        "members": Membership.objects.get(user=cast.dora).id,
    }


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_connection_of_the_test")
def test_requests_made_from_the_description_meet_answers_that_it_names(cast: Cast, document: dict) -> None:
    charge(cast.aurora, used(1), used(2, msisdn="4999900000001"))
    # Olga also runs Aurora as its owner would: no operation is closed to her from the start.
    Membership.objects.create(user=cast.olga, role=Role.OWNER, enterprise=cast.aurora.enterprise)
    client = Client()
    client.force_login(cast.olga, backend="django.contrib.auth.backends.ModelBackend")
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": CSRF}
    known = _known_ids(cast)
    failures: list[str] = []
    seen: Counter[int] = Counter()
    for result in _described(document).get_all_operations():
        operation = result.ok()
        try:
            _meet(operation, known, cookies, seen)
        except (AssertionError, FailureGroup) as failure:
            failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n\n".join(failures)
    assert {200, 201, 204, 400, 404, 422} <= seen.keys(), f"too shallow to prove anything: {seen}"


def _described(document: dict) -> schemathesis.BaseSchema:
    """The description, tied to the site in this process."""
    schema = schemathesis.openapi.from_dict(document)
    schema.app = get_wsgi_application()
    return schema


def _meet(operation, known: dict[str, object], cookies: dict[str, str], seen: Counter[int]) -> None:
    """Send an operation some requests made from its description; raises where an answer is none that it names."""
    noun = operation.path.removeprefix(f"{BASE}/").partition("/")[0]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), is_known=st.booleans())
    def meets(case, is_known: bool) -> None:
        if is_known and noun in known and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = known[noun]
        case.headers.pop("Authorization", None)  # a made-up token would be turned away before anything is tried
        response = case.call(headers={"X-CSRFToken": CSRF}, cookies=cookies)
        seen[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    meets()
