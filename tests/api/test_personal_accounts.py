"""Personal tariffs and accounts over REST: run by the operator, once however often, and closed to managers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from balances import personal
from balances.models import OpenPersonalUsage, PersonalAccount, PersonalEntry
from balances.scope import Verb
from balances.units import GIB, MIB
from portal import claims
from portal.models import PersonClaim
from tests.api.client import Api, ids, read, refusal
from tests.balances.test_personal import on_credit
from tests.cast import ACTOR, MARCH, NOW, Cast, issue_token

EURO = 1_000_000
DOING: dict[str, Any] = {"actor": ACTOR, "at": NOW}


@pytest.fixture
def tariff(cast: Cast, olga: Api) -> dict:
    """Data at a euro for a thousand octets since March."""
    made = read(olga.post("/personal-tariffs", {"name": "Mine", "currency": "EUR"}), 201)
    rates = [{"service": "data", "price_micros": EURO, "block_units": 1_000}]
    read(
        olga.post(f"/personal-tariffs/{made['id']}/versions", {"effective_at": MARCH.isoformat(), "rates": rates}), 201
    )
    return made


@pytest.fixture
def account(cast: Cast, olga: Api, tariff: dict) -> dict:
    """Emil's, which may owe 50 euros."""
    body = {"person": cast.aurora.people["P-1"].id, "tariff": tariff["id"], "kind": "postpaid"}
    return read(olga.post("/personal-accounts", body | {"credit_limit_micros": 50 * EURO}), 201)


def accept(account: dict) -> None:
    mine = PersonalAccount.objects.get(id=account["id"])
    personal.accept(account=mine, text="Data.", actor="user:6 Emil Engel", at=NOW)


def test_a_tariff_has_versions_that_hold_later(cast: Cast, olga: Api, tariff: dict) -> None:
    address = f"/personal-tariffs/{tariff['id']}/versions"
    world = cast.zones["world"].id
    body = {
        "effective_at": (NOW + timedelta(days=30)).isoformat(),
        "rates": [
            {"service": "data", "price_micros": 2_000, "block_units": MIB},
            {"service": "data", "zone": world, "price_micros": 90_000, "block_units": MIB},
        ],
        "allowances": [{"name": "Data of my own", "service": "data", "units": 2 * GIB, "zones": [world]}],
    }
    made = read(olga.post(address, body), 201)
    assert (made["number"], {rate["zone"] for rate in made["rates"]}) == (2, {None, world})
    assert made["allowances"][0]["zones"] == [world]
    assert [row["number"] for row in read(olga.get(address))["results"]] == [2, 1]
    late = {**body, "effective_at": (NOW - timedelta(days=1)).isoformat()}
    assert refusal(olga.post(address, late), 422)["pointer"] == "/effective_at"
    assert refusal(olga.post(address, {"rates": []}), 422)["code"] == "not_valid"
    assert read(olga.post(f"/personal-tariffs/{tariff['id']}/retire"))["retired_at"]
    assert refusal(olga.post(address, body), 422)["code"] == "retired"
    assert refusal(olga.post("/personal-tariffs", {"name": "Mine", "currency": "EUR"}), 422)["code"] == "name_used"


def test_a_zone_of_another_operator_is_none(olga: Api, tariff: dict) -> None:
    rates = [{"service": "data", "zone": 10**9, "price_micros": 1}]
    assert refusal(olga.post(f"/personal-tariffs/{tariff['id']}/versions", {"rates": rates}), 400)


def test_an_account_is_opened_in_the_time_zone_of_the_contract(cast: Cast, olga: Api, account: dict) -> None:
    assert (account["state"], account["time_zone"], account["currency"]) == ("waiting", "Europe/Berlin", "EUR")
    again = {"person": account["person"], "tariff": account["tariff"], "kind": "prepaid"}
    assert refusal(olga.post("/personal-accounts", again), 422)["code"] == "already_open"
    assert ids(olga.get("/personal-accounts", state="waiting")) == {account["id"]}
    accept(account)
    assert ids(olga.get("/personal-accounts", state="waiting")) == set()
    assert ids(olga.get("/personal-accounts", state="open", enterprise=cast.aurora.enterprise.id)) == {account["id"]}


def test_money_moves_once_by_its_key(olga: Api, account: dict) -> None:
    accept(account)
    address = f"/personal-accounts/{account['id']}"
    key = {"Idempotency-Key": "cash-17"}
    paid = read(olga.post(f"{address}/top-ups", {"micros": 25 * EURO}, **key), 201)
    assert read(olga.post(f"{address}/top-ups", {"micros": 25 * EURO}, **key), 201) == paid
    assert refusal(olga.post(f"{address}/top-ups", {"micros": EURO}, **key), 422)["code"] == "key_conflict"
    assert refusal(olga.post(f"{address}/payouts", {"micros": 26 * EURO}), 422)["code"] == "not_enough"
    back = read(olga.post(f"{address}/payouts", {"micros": 5 * EURO, "note": "Back"}), 201)
    assert (back["micros"], back["balance_after_micros"]) == (-5 * EURO, 20 * EURO)
    assert read(olga.get(address))["balance_micros"] == 20 * EURO
    assert [row["kind"] for row in read(olga.get(f"{address}/entries"))["results"]] == ["payout", "top_up"]


def test_only_the_person_reads_when_usage_was(cast: Cast, olga: Api, emil: Api, account: dict) -> None:
    accept(account)
    PersonalEntry.objects.create(
        account_id=account["id"], kind="charge", micros=-1, balance_after_micros=-1, charge_sequence=1, at=NOW,
        recorded_at=NOW, actor="charging",
    )  # fmt: skip
    address = f"/personal-accounts/{account['id']}/entries"
    seen = read(olga.get(address))["results"][0]
    assert (seen["on"], seen["at"]) == ("2026-03-15", None)
    assert read(emil.get(address))["results"][0]["at"].startswith("2026-03-15T12:00:00")
    refusal(emil.post(f"/personal-accounts/{account['id']}/close"), 403)
    claims.withdraw(claim=PersonClaim.objects.get(user=cast.emil), **DOING)
    refusal(emil.get(address), 404)  # whom only the employer names


def test_what_is_on_credit_comes_in_sums_and_is_written_off_by_id(cast: Cast, olga: Api, account: dict) -> None:
    rows = [on_credit(cast, 2_000, MARCH + timedelta(days=day)) for day in (1, 2)]
    other = on_credit(cast, 9, MARCH, person=cast.aurora.people["P-2"])
    address = f"/personal-accounts/{account['id']}/open-usage"
    seen = read(olga.get(address))
    assert (seen["rows"], seen["tariff_micros"], seen["unpriced_rows"]) == (2, 4 * EURO, 0)
    assert [(group["service"], group["rows"], group["units"]) for group in seen["groups"]] == [("data", 2, 4_000)]
    assert {"used_at", "starts_at", "line"}.isdisjoint(seen["groups"][0])
    refusal(olga.post(f"{address}/write-off", {"ids": [rows[0].id, other.id]}), 400)
    assert OpenPersonalUsage.objects.filter(state="open").count() == 3
    for _ in range(2):
        assert read(olga.post(f"{address}/write-off", {"ids": [rows[0].id]}))["rows"] == 1
    assert OpenPersonalUsage.objects.get(id=other.id).state == "open"


def test_closing_wants_to_hear_what_is_owed(cast: Cast, olga: Api, account: dict) -> None:
    on_credit(cast, 4_000, MARCH + timedelta(days=1))
    accept(account)
    address = f"/personal-accounts/{account['id']}"
    told = refusal(olga.post(f"{address}/close"), 422)
    assert (told["code"], told["pointer"]) == ("owes", "/owed_micros")
    lower = {"credit_limit_micros": EURO}
    assert refusal(olga.put(f"{address}/credit-limit", lower), 422)["pointer"] == "/credit_limit_micros"
    assert read(olga.put(f"{address}/credit-limit", {"credit_limit_micros": 4 * EURO}))["balance_micros"] == -4 * EURO
    assert read(olga.post(f"{address}/close", {"owed_micros": 4 * EURO}))["state"] == "closed"


def test_a_table_opens_rows_without_a_problem(cast: Cast, olga: Api, tariff: dict) -> None:
    address = f"/enterprises/{cast.aurora.enterprise.id}/personal-accounts"
    text = "person_number,tariff,kind,credit_limit\nP-1,Mine,postpaid,20.50\nP-9,Mine,prepaid,\n"
    loaded = read(olga.csv(address, text), 201)
    assert (loaded["created"], [error["row"] for error in loaded["errors"]]) == (1, [3])
    assert PersonalAccount.objects.get().credit_limit_micros == 20_500_000


@pytest.mark.parametrize("name", ["alice", "carla", "dora"])
def test_nobody_else_reaches_any_of_it(cast: Cast, account: dict, name: str) -> None:
    caller = Api.of(cast, name)
    assert ids(caller.get("/personal-accounts")) == set()
    for path in ("", "/entries", "/open-usage"):
        refusal(caller.get(f"/personal-accounts/{account['id']}{path}"), 404)
    refusal(caller.get("/personal-tariffs"), 403)
    refusal(caller.post(f"/personal-accounts/{account['id']}/top-ups", {"micros": 1}), 403)


def test_a_token_without_administer_runs_nothing(cast: Cast, account: dict) -> None:
    _, plain = issue_token(cast, cast.olga, Verb.VIEW, Verb.MANAGE, enterprise=cast.aurora.enterprise)
    caller = Api.bearing(plain)
    assert ids(caller.get("/personal-accounts")) == set()
    refusal(caller.post(f"/personal-accounts/{account['id']}/close"), 403)
