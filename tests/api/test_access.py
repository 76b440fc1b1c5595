"""Tokens and members over REST: nobody gives more than they hold."""

from __future__ import annotations

from datetime import timedelta

from balances.scope import Verb
from portal.models import ApiToken, Membership, User
from tests.api.client import Api, ids, read, refusal
from tests.cast import NOW, Cast, issue_token


def test_a_token_is_shown_once_and_works_until_revoked(cast: Cast, carla: Api) -> None:
    north = cast.aurora.accounts["NORTH"].id
    made = read(carla.post("/tokens", {"name": "Script", "verbs": ["view"], "account": north}), 201)
    client = Api.bearing(made["token"])
    assert north in ids(client.get("/accounts"))
    shown = read(carla.get(f"/tokens/{made['id']}"))
    assert "token" not in shown
    assert shown["last_used_at"] is not None
    refusal(client.post("/accounts", {"parent": north, "code": "X", "name": "X"}), 403)
    read(carla.delete(f"/tokens/{made['id']}"), 204)
    refusal(client.get("/accounts"), 401)
    assert read(carla.get(f"/tokens/{made['id']}"))["revoked_at"] is not None


def test_nobody_makes_a_token_that_holds_more_than_they_do(cast: Cast, carla: Api, alice: Api) -> None:
    north = cast.aurora.accounts["NORTH"].id
    error = refusal(carla.post("/tokens", {"name": "X", "verbs": ["ingest"], "account": north}), 422)
    assert error["pointer"] == "/verbs"
    foreign = {"name": "X", "verbs": ["view"], "enterprise": cast.borealis.enterprise.id}
    assert refusal(alice.post("/tokens", foreign), 400)["pointer"] == "/enterprise"
    refusal(alice.post("/tokens", {"name": "X", "verbs": ["view"]}), 400)


def test_a_token_is_only_its_makers(cast: Cast, alice: Api) -> None:
    token, _ = issue_token(cast, cast.bruno, enterprise=cast.borealis.enterprise)
    assert ids(alice.get("/tokens")) == set()
    refusal(alice.get(f"/tokens/{token.id}"), 404)
    refusal(alice.delete(f"/tokens/{token.id}"), 404)


def test_a_token_begets_neither_tokens_nor_members(cast: Cast) -> None:
    _, plain = issue_token(cast, cast.alice, Verb.VIEW, Verb.MANAGE, enterprise=cast.aurora.enterprise)
    client = Api.bearing(plain)
    refusal(client.get("/tokens"), 403)
    refusal(client.post("/tokens", {"name": "X", "verbs": ["view"], "enterprise": cast.aurora.enterprise.id}), 403)
    refusal(client.post("/members", {"email": "x@example.org", "role": "owner"}), 403)
    assert ApiToken.objects.count() == 1


def test_tokens_fall_silent_when_expired_or_their_maker_leaves(cast: Cast) -> None:
    _, plain = issue_token(cast, cast.carla, account=cast.aurora.accounts["NORTH"], enterprise=cast.aurora.enterprise)
    Membership.objects.filter(user=cast.carla).delete()
    refusal(Api.bearing(plain).get("/accounts"), 403)
    User.objects.filter(id=cast.carla.id).update(is_active=False)
    refusal(Api.bearing(plain).get("/accounts"), 401)


def test_a_token_is_asked_for_in_words_that_clients_know(cast: Cast) -> None:
    answer = Api.bearing("ent_00000000_nothing").get("/accounts")
    refusal(answer, 401)
    assert answer["WWW-Authenticate"] == "Bearer"


def test_roles_are_given_within_what_the_giver_holds(cast: Cast, alice: Api, carla: Api, dora: Api) -> None:
    field, south = cast.aurora.accounts["N-FIELD"].id, cast.aurora.accounts["SOUTH"].id
    body = {"email": "New@Example.org", "name": "Nora Neu", "role": "manager", "account": field}
    made = read(carla.post("/members", body), 201)
    assert (made["email"], made["enterprise"]) == ("new@example.org", cast.aurora.enterprise.id)
    assert not User.objects.get(email="new@example.org").has_usable_password()
    assert "/welcome/" in made["welcome_url"]
    assert refusal(carla.post("/members", body), 422)["code"] == "already_member"
    assert refusal(carla.post("/members", body | {"account": south}), 400)["pointer"] == "/account"
    owner = {"email": "o@example.org", "role": "owner", "enterprise": cast.aurora.enterprise.id}
    refusal(carla.post("/members", owner), 400)
    refusal(dora.post("/members", body | {"email": "d@example.org"}), 403)
    read(alice.post("/members", owner), 201)
    assert refusal(alice.post("/members", body | {"role": "operator"}), 400)["pointer"] == "/role"
    until = (NOW + timedelta(days=9)).isoformat()
    person = {"email": "e@example.org", "role": "employee", "person": cast.aurora.people["P-2"].id}
    assert read(alice.post("/members", person | {"valid_until": until}), 201)["valid_until"] == "2026-03-24T12:00:00Z"


def test_a_member_is_removed_but_never_the_last_manager(cast: Cast, alice: Api, carla: Api) -> None:
    last = Membership.objects.get(user=cast.alice)
    refusal(alice.delete(f"/members/{last.id}"), 422)
    observer = Membership.objects.get(user=cast.dora)
    refusal(carla.delete(f"/members/{observer.id}"), 404)
    read(alice.delete(f"/members/{observer.id}"), 204)
    refusal(Api.of(cast, "dora").get("/accounts"), 403)


def test_a_profile_is_kept_by_the_operator_and_read_by_its_customers(cast: Cast, olga: Api, alice: Api) -> None:
    mapping = {
        "columns": {"source_record_id": ["ID"], "msisdn": ["NO"], "units": ["MIN"], "started_at": ["AT"]},
        "constants": {"service": "voice"},
        "units": {"voice": "minutes"},
    }
    made = read(olga.post("/column-profiles", {"name": "Switch", "mapping": mapping}), 201)
    assert read(alice.get(f"/column-profiles/{made['id']}"))["mapping"] == mapping
    refusal(alice.post("/column-profiles", {"name": "Mine", "mapping": mapping}), 403)
    wrong = {"name": "Switch", "mapping": mapping | {"units": {"voice": "furlongs"}}}
    assert refusal(olga.put(f"/column-profiles/{made['id']}", wrong), 422)["pointer"] == "/units"
    read(olga.delete(f"/column-profiles/{made['id']}"), 204)
    refusal(alice.get(f"/column-profiles/{made['id']}"), 404)
