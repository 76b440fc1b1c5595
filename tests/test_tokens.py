"""Tokens of REST clients: shown once, kept as a hash, found by their text alone, ended at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from balances.models import AuditEvent, Operator
from balances.scope import Verb
from portal import tokens
from portal.models import ApiToken
from tests.cast import ACTOR, NOW, Cast, issue_token


def test_a_token_is_found_by_its_text_which_is_kept_nowhere(cast: Cast) -> None:
    token, plain = issue_token(cast, cast.alice, Verb.VIEW, Verb.INGEST, enterprise=cast.aurora.enterprise)
    mark, prefix, secret = plain.split("_", 2)
    assert (mark, prefix) == ("ent", token.prefix)
    assert len(secret) == 43
    stored = ApiToken.objects.filter(id=token.id).values().get()
    assert not any(secret in str(value) for value in stored.values())
    assert tokens.find(plain, at=NOW) == token
    assert token.verbs == ["ingest", "view"]
    event = AuditEvent.objects.get(action="token.issued")
    assert (event.actor, event.enterprise) == (f"user:{cast.alice.id} Alice Arden", cast.aurora.enterprise)
    assert secret not in str(event.detail)


def test_nothing_else_is_found(cast: Cast, django_assert_num_queries: Any) -> None:
    _, plain = issue_token(cast, cast.alice, enterprise=cast.aurora.enterprise)
    _, other = issue_token(cast, cast.bruno, enterprise=cast.borealis.enterprise)
    swapped = plain[:13] + other[13:]
    flipped = plain[:-1] + ("A" if plain[-1] != "A" else "B")
    for wrong in ("", "ent", plain[:-1], plain + "x", plain.upper(), " " + plain, "ent__", "ü" * 56):
        with django_assert_num_queries(0):
            assert tokens.find(wrong, at=NOW) is None, wrong
    for wrong in (swapped, flipped, "ent_00000000_" + plain[13:]):
        with django_assert_num_queries(1):
            assert tokens.find(wrong, at=NOW) is None, wrong


def test_a_token_ends_by_time_and_by_hand(cast: Cast) -> None:
    token, plain = issue_token(cast, cast.alice, enterprise=cast.aurora.enterprise, expires_at=NOW + timedelta(hours=1))
    assert tokens.find(plain, at=NOW) is not None
    assert tokens.find(plain, at=NOW + timedelta(hours=1)) is None
    tokens.revoke(token=token, actor=ACTOR, at=NOW)
    again = tokens.revoke(token=token, actor=ACTOR, at=NOW + timedelta(days=1))
    assert again.revoked_at == NOW
    assert tokens.find(plain, at=NOW) is None
    assert AuditEvent.objects.filter(action="token.revoked").count() == 1


@pytest.mark.parametrize(
    ("maker", "place", "verbs", "field"),
    [
        ("alice", "aurora", [Verb.ADMINISTER], "verbs"),
        ("alice", "borealis", [Verb.VIEW], "verbs"),
        ("dora", "aurora", [Verb.VIEW, Verb.MANAGE], "verbs"),
        ("mallory", "aurora", [Verb.VIEW], "verbs"),
        ("alice", "aurora", [], "verbs"),
        ("alice", "aurora", ["fly"], "verbs"),
        ("alice", None, [Verb.ADMINISTER], "verbs"),
    ],
)
def test_nobody_gives_more_than_they_hold(
    cast: Cast, maker: str, place: str | None, verbs: list[str], field: str
) -> None:
    with pytest.raises(tokens.TokenRefused) as refusal:
        tokens.issue(
            operator=cast.operator,
            enterprise=getattr(cast, place).enterprise if place else None,
            name="Too much",
            verbs=verbs,
            created_by=cast.users[maker],
            at=NOW,
        )
    assert refusal.value.field == field
    assert not ApiToken.objects.exists()


def test_places_must_fit_together(cast: Cast) -> None:
    common: dict[str, Any] = {"name": "Crooked", "verbs": [Verb.VIEW], "created_by": cast.olga, "at": NOW}
    other = Operator.objects.create(name="Südnetz")
    with pytest.raises(tokens.TokenRefused):
        tokens.issue(operator=other, enterprise=cast.aurora.enterprise, **common)
    with pytest.raises(tokens.TokenRefused):
        tokens.issue(
            operator=cast.operator,
            enterprise=cast.aurora.enterprise,
            account=cast.borealis.root,
            **common,
        )
    with pytest.raises(tokens.TokenRefused):
        tokens.issue(operator=cast.operator, expires_at=NOW, **common)
    token, _ = tokens.issue(operator=cast.operator, **common)
    assert token.enterprise is None
