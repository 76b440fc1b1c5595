"""docs/api.md holds: what it tells clients to send is sent, and every address that it names is one."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, resolve

from balances.models import Bucket
from balances.scope import Verb
from balances.units import GIB
from portal.api import usage_door
from portal.charging import pipeline
from tests.api.client import BASE, Api, charge, read, used
from tests.cast import MARCH, NOW, Cast, issue_token

GUIDE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


@dataclass(frozen=True)
class Example:
    """A curl command of the guide."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


def examples() -> list[Example]:
    """Every curl command of the guide, as a shell would read it."""
    return [_read(command) for command in re.findall(r"curl (?:[^\n]*\\\n)*(?:[^'\n]|'[^']*')*", GUIDE)]


def _read(command: str) -> Example:
    words = shlex.split(command.replace("\\\n", " "))
    method, path, headers, body = "GET", "", {}, ""
    options = iter(words[1:])
    for word in options:
        if word == "-X":
            method = next(options)
        elif word == "-H":
            name, _, value = next(options).partition(": ")
            headers[name] = value
        elif word in ("-d", "--data-binary"):
            body = next(options)
        elif word.startswith("http"):
            path = urlsplit(word)._replace(scheme="", netloc="").geturl()
    return Example(method, path, headers, body)


def the_example(path: str) -> Example:
    """The only example that ends so."""
    (found,) = (example for example in examples() if example.path.endswith(path))
    return found


@pytest.fixture
def token(cast: Cast) -> Api:
    """A client with all that Alice may do."""
    _, plain = issue_token(
        cast, cast.alice, Verb.VIEW, Verb.MANAGE, Verb.INGEST, enterprise=cast.aurora.enterprise, name="Guide"
    )
    return Api.bearing(plain)


def test_every_example_names_an_address_and_shows_the_token() -> None:
    found = examples()
    assert len(found) >= 4
    for example in found:
        view = resolve(urlsplit(example.path).path)
        assert example.method.lower() in view.func.actions, example
        assert example.headers["Authorization"] == "Bearer $TOKEN", example


def test_every_address_in_the_text_is_one() -> None:
    named = re.findall(r"\b(GET|POST|PUT|PATCH|DELETE) (?:/api/v1)?(/[a-z][a-z{}_/-]*)", GUIDE)
    assert len(named) >= 8
    for method, path in named:
        try:
            view = resolve(BASE + _filled(path))
        except Resolver404:
            pytest.fail(f"docs/api.md names {path}, which is no address")
        assert method.lower() in view.func.actions, (method, path)


def _filled(path: str) -> str:
    uuid = "01890000-0000-7000-8000-000000000000"
    return re.sub(r"\{[a-z_]+\}", uuid if path.startswith("/usage-batches") else "1", path)


def test_the_json_example_is_accepted_and_answered_as_shown(token: Api) -> None:
    example = the_example("/usage-batches")
    response = token.call("post", "/usage-batches", json.loads(example.body))
    answer = read(response, 202)
    shown = json.loads(re.search(r"HTTP/1.1 202 Accepted\n\s+(\{.*\})", GUIDE).group(1))
    assert answer.keys() == shown.keys()
    assert (answer["accepted"], answer["state"]) == (shown["accepted"], shown["state"])
    assert response["Location"] == answer["href"]


def test_the_ndjson_example_is_accepted(token: Api) -> None:
    example = the_example("?source=mediation-1")
    headers = {name: value for name, value in example.headers.items() if name not in ("Authorization", "Content-Type")}
    response = token.client.post(
        example.path,
        gzip.compress(json.dumps(used(1)).encode()),
        content_type=example.headers["Content-Type"],
        headers={**token.headers, **headers},
    )
    assert read(response, 202)["accepted"] == 1


def test_the_suspense_example_resolves_what_waits(cast: Cast, token: Api) -> None:
    charge(cast.aurora, used(1, msisdn="4999900000001"))
    body = json.loads(the_example("/suspense/recycle").body) | {"source": "Mediation"}
    assert read(token.post("/suspense/recycle", body)) == {"resolved": 1, "remaining": 0}


def test_the_allocation_example_is_done_once(cast: Cast, token: Api) -> None:
    example = the_example("/buckets/41/allocations")
    bucket = Bucket.objects.get(enterprise=cast.aurora.enterprise, service=2, cycle_start=MARCH)
    body = json.loads(example.body) | {"account": cast.aurora.accounts["NORTH"].id}
    key = {"Idempotency-Key": example.headers["Idempotency-Key"]}
    first = read(token.post(f"/buckets/{bucket.id}/allocations", body, **key), 201)
    assert read(token.post(f"/buckets/{bucket.id}/allocations", body, **key), 201) == first


def test_the_example_of_sharing_out_is_planned(cast: Cast, token: Api) -> None:
    body = json.loads(the_example("/v1/allocations").body)
    bucket = Bucket.objects.get(enterprise=cast.aurora.enterprise, service=2, cycle_start=MARCH)
    for row, code in zip(body["rows"], ("NORTH", "SOUTH"), strict=True):
        row["account"] = cast.aurora.accounts[code].id
    assert len(read(token.post("/allocations", body | {"bucket": bucket.id}))["rows"]) == 2


def test_the_fields_of_a_delivery_and_its_outcomes_are_those_shown(cast: Cast, token: Api) -> None:
    batch_id = charge(cast.aurora, used(1), used(1), used(2, msisdn="4999900000001"))
    batch = read(token.get(f"/usage-batches/{batch_id}"))
    for field in ("state", "accepted", "charged", "duplicate", "suspended", "queued", "parked"):
        assert f'"{field}": ' in GUIDE
        assert field in batch
    assert batch["accepted"] == sum(batch[n] for n in ("charged", "duplicate", "suspended", "queued", "parked"))
    rows = read(token.get(f"/usage-batches/{batch_id}/records"))["results"]
    assert [row["outcome"] for row in rows] == ["charged", "duplicate", "suspended"]
    for field in rows[2]:
        assert f'"{field}": ' in GUIDE, field


def test_a_revoked_token_is_silent_as_soon_as_the_guide_says() -> None:
    assert "at the usage door within three seconds" in " ".join(GUIDE.split())
    assert usage_door.TOKEN_SECONDS <= 3


WALK = GUIDE.partition("### From nothing to the first charge")[2]


def test_the_walk_from_nothing_comes_out_as_shown(cast: Cast) -> None:
    _, plain = issue_token(cast, cast.olga, Verb.VIEW, Verb.MANAGE, Verb.INGEST, Verb.ADMINISTER, name="Walk")
    client = Api.bearing(plain)
    real: dict[int, int] = {ZONE: cast.zones["home"].id}  # ids as the guide has them -> as they came out here
    steps = [(_read(command), json.loads(shown.replace(", ...}", "}"))) for command, shown in _steps()]
    assert len(steps) == 9
    for example, shown in steps:
        answer = _walked(client, example, real, [cast.zones["eu"].id, cast.zones["world"].id])
        real |= {shown[key]: answer[key] for key in ("id", "root_account") if key in shown}
        assert {key: answer[key] for key in shown} == _translated(shown, real), example
    enterprise_id = real[steps[0][1]["id"]]
    read(client.post("/usage-batches", {"source": "m", "records": [used(1, msisdn="4917030000001")]}), 202)
    pipeline.drain(enterprise_id, clock=lambda: NOW)
    (data,) = read(client.get(f"/accounts/{real[steps[0][1]['root_account']]}/balances"))["services"]
    assert (data["used_units"], data["remaining_units"]) == (2048, 100 * GIB - 2048)


#: The zone that the guide's rate is for; the same is asked for all zones.
ZONE = 107


def _steps() -> list[tuple[str, str]]:
    """Commands of the walk, each with the answer that is shown below it."""
    return re.findall(r"(curl (?:[^\n]*\\\n)*(?:[^'\n]|'[^']*')*)\n {4}(\{.*\})\n", WALK)


def _walked(client: Api, example: Example, real: dict[int, int], other_zones: list[int]) -> dict:
    path = "/".join(str(real[int(part)]) if part.isdigit() else part for part in example.path.split("/"))
    body = _translated(json.loads(example.body), real) if example.body else None
    for zone in other_zones if body and "zone" in body else ():
        read(client.call(example.method.lower(), path.removeprefix(BASE), body | {"zone": zone}))
    response = client.call(example.method.lower(), path.removeprefix(BASE), body)
    return read(response, 201 if response.status_code == 201 else 200)


def _translated(value: object, real: dict[int, int]) -> object:
    """The value with the guide's ids replaced by the real ones."""
    if isinstance(value, dict):
        return {key: _translated(inner, real) for key, inner in value.items()}
    if isinstance(value, list):
        return [_translated(inner, real) for inner in value]
    return real.get(value, value) if isinstance(value, int) and not isinstance(value, bool) else value
