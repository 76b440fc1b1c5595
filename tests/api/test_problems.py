"""Errors and pages: one shape from every door, and pages that do not shift."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory

from balances import hierarchy
from portal.api import problems
from portal.api.pagination import StablePagination
from tests.api.client import BASE, Api, ids, read, refusal
from tests.cast import NOW, Cast


def test_every_error_is_a_problem(cast: Cast, alice: Api) -> None:
    refusal(Client().get(f"{BASE}/accounts"), 401)
    refusal(Client().get(f"{BASE}/nowhere"), 404)
    refusal(Client().get("/api/v9/"), 404)
    refusal(alice.delete("/accounts"), 405)
    refusal(alice.client.post(f"{BASE}/accounts", "<a/>", content_type="application/xml"), 415)
    refusal(alice.client.get(f"{BASE}/accounts", headers={"Accept": "text/html"}), 406)
    refusal(Api.of(cast, "mallory").get("/accounts"), 403)


def test_a_body_that_is_no_json_is_a_problem_and_no_crash(cast: Cast, alice: Api) -> None:
    bodies = [b"{", b"\xff\xfe", b'{"units": NaN}', b"[" * 100_000, b"9" * 5000, b"[]", b'"\\ud800"', b"null"]
    for body in bodies:
        refusal(alice.client.post(f"{BASE}/thresholds", body, content_type="application/json"), 400)
    large = b'{"name": "' + b"x" * 1_100_000 + b'"}'
    refusal(alice.client.post(f"{BASE}/thresholds", large, content_type="application/json"), 413)


def test_values_that_no_database_takes_are_the_callers_mistake(cast: Cast, alice: Api) -> None:
    parent = cast.aurora.root.id
    for name in ("a\x00b", "\ud800", "x" * 121, ""):
        error = refusal(alice.post("/accounts", {"parent": parent, "code": "X", "name": name}), 400)
        assert error["pointer"] == "/name"
    for wrong in (2**80, 1e300, "1", True, [1], {}):
        error = refusal(alice.post("/accounts", {"parent": wrong, "code": "X", "name": "X"}), 400)
        assert error["pointer"] == "/parent"
    refusal(alice.get(f"/accounts/{2**80}"), 404)


def test_a_signed_in_user_needs_the_form_token_to_write(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    refusal(client.post(f"{BASE}/accounts", {}, content_type="application/json"), 403)


def test_what_fails_on_our_side_is_a_problem_too() -> None:
    request = RequestFactory().get(f"{BASE}/accounts")
    answer = problems.problem_handler(ZeroDivisionError("secret"), {"request": request})
    assert answer.status_code == 500
    assert "secret" not in str(answer.data)
    answer = problems.problem_handler(OperationalError("refused"), {"request": request})
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    outside = problems.server_error(request)
    assert (outside.status_code, outside["Content-Type"]) == (500, "application/problem+json")


@pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", "1.5", "", "²", "9" * 40])
def test_a_limit_out_of_range_is_refused(cast: Cast, alice: Api, limit: str) -> None:
    assert refusal(alice.get("/accounts", limit=limit), 400)["pointer"] == "/limit"


def test_a_made_up_cursor_is_refused(cast: Cast, alice: Api) -> None:
    from rest_framework.pagination import Cursor

    pages = StablePagination()
    pages.base_url = "http://testserver/"
    wrong = pages.encode_cursor(Cursor(0, False, "abc")).partition("cursor=")[2]
    for cursor in ("x", "%FF", wrong):
        assert refusal(alice.get("/accounts", cursor=cursor), 400)["pointer"] == "/cursor"


def test_pages_do_not_shift_while_rows_arrive(cast: Cast, alice: Api) -> None:
    known = ids(alice.get("/accounts"))
    seen: list[int] = []
    page = read(alice.get("/accounts", limit=2))
    number = 0
    while True:
        seen += [row["id"] for row in page["results"]]
        for _ in range(3):
            number += 1
            hierarchy.add_account(
                parent=cast.aurora.root, code=f"NEW-{number}", name=f"New {number}", kind="group", actor="t", at=NOW
            )
        if page["next"] is None:
            break
        page = read(alice.get(page["next"]))
    assert len(seen) == len(set(seen))
    assert set(seen) == known
