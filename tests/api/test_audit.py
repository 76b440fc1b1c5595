"""The audit record over REST: who did what, for those who run the place."""

from __future__ import annotations

from django.test import Client

from balances.models import AuditEvent
from balances.scope import Verb
from tests.api.client import BASE, Api, read, refusal
from tests.cast import Cast, issue_token


def actions(api: Api, **query: object) -> list[str]:
    """The actions that a caller is told, latest first."""
    return [event["action"] for event in read(api.get("/audit-events", limit=500, **query))["results"]]


def test_an_act_names_who_did_it_to_what_and_how(cast: Cast, alice: Api) -> None:
    account = cast.aurora.accounts["N-SALES"]
    read(alice.patch(f"/accounts/{account.id}", {"name": "Sales of the north"}))
    event = read(alice.get("/audit-events"))["results"][0]
    assert event == read(alice.get(f"/audit-events/{event['id']}"))
    assert event["action"] == "account.renamed"
    assert event["actor"] == f"user:{cast.alice.id} Alice Arden"
    assert (event["account"], event["enterprise"]) == (account.id, cast.aurora.enterprise.id)
    assert event["detail"] == {"from": "North sales", "to": "Sales of the north"}


def test_a_tokens_act_names_the_token(cast: Cast, alice: Api) -> None:
    token, plain = issue_token(cast, cast.alice, Verb.MANAGE, enterprise=cast.aurora.enterprise, name="Directory sync")
    account = cast.aurora.accounts["N-SALES"].id
    read(Api.bearing(plain).patch(f"/accounts/{account}", {"draw_above": "never"}))
    (event,) = read(alice.get("/audit-events", action="account.draw_above_set"))["results"]
    assert event["actor"] == f"token:{token.id} Directory sync"


def test_acts_are_found_by_place_kind_and_time(cast: Cast, alice: Api) -> None:
    assert set(actions(alice, action="line.")) == {"line.added"}
    field = cast.aurora.accounts["N-FIELD"].id
    assert actions(alice, action="line", account=field) == ["line.added"] * 2
    assert actions(alice, subject="Emil Engel") == ["person.added"]
    assert actions(alice, since="2026-03-15T13:00:01+01:00") == []
    assert actions(alice, since="2026-03-15T13:00:00+01:00") == actions(alice)
    assert refusal(alice.get("/audit-events", since="yesterday"), 400)["pointer"] == "/since"


def test_each_is_told_of_the_place_that_they_run(cast: Cast, alice: Api, carla: Api, olga: Api) -> None:
    of_aurora = AuditEvent.objects.filter(enterprise=cast.aurora.enterprise)
    told = read(carla.get("/audit-events", limit=500))["results"]
    north = {account.id for code, account in cast.aurora.accounts.items() if code.startswith("N")}
    assert {event["account"] for event in told} <= north
    assert {event["action"] for event in told} == {"line.added", "person.added"}
    of_south = of_aurora.filter(account=cast.aurora.accounts["S-PLANT"]).first()
    refusal(carla.get(f"/audit-events/{of_south.id}"), 404)
    foreign = AuditEvent.objects.filter(enterprise=cast.borealis.enterprise).first()
    refusal(alice.get(f"/audit-events/{foreign.id}"), 404)
    assert read(olga.get(f"/audit-events/{foreign.id}"))["id"] == foreign.id


def test_drafts_are_not_told_to_the_customer(cast: Cast, alice: Api, olga: Api) -> None:
    own = set(actions(olga, action="contract", enterprise=cast.aurora.enterprise.id))
    of_drafts = {"contract.version.drafted", "contract.allowance.added", "contract.rate.set"}
    assert own == {"contract.created", "contract.version.published"} | of_drafts
    assert set(actions(alice, action="contract")) == own - of_drafts
    drafted = AuditEvent.objects.filter(enterprise=cast.aurora.enterprise, action="contract.rate.set").first()
    refusal(alice.get(f"/audit-events/{drafted.id}"), 404)


def test_who_runs_nothing_is_told_nothing(cast: Cast, alice: Api, dora: Api, emil: Api) -> None:
    refusal(dora.get("/audit-events"), 403)
    refusal(emil.get("/audit-events"), 403)
    refusal(Client().get(f"{BASE}/audit-events"), 401)
    refusal(alice.post("/audit-events", {"action": "forged"}), 405)
    assert not AuditEvent.objects.filter(action="forged").exists()
