"""Claims: a code that the operator gives to a person proves that a user is that person, once and while it stands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from balances.models import AuditEvent, Person
from portal import claims
from portal.access import scope_of, scope_of_token
from portal.models import PersonClaim
from tests.cast import ACTOR, NOW, Cast, issue_token

DOING = {"actor": ACTOR, "at": NOW}


@pytest.fixture
def frida(cast: Cast) -> Person:
    cache.clear()
    return cast.aurora.people["P-2"]


def client_of(cast: Cast, name: str) -> Client:
    client = Client()
    client.force_login(cast.users[name])
    return client


def test_a_code_opens_what_is_personal_to_the_person_and_nothing_else(cast: Cast, frida: Person) -> None:
    before = scope_of(cast.mallory)
    claim, code = claims.issue(person=frida, **DOING)
    assert code not in (claim.code_hash, *map(str, AuditEvent.objects.values_list("detail", flat=True)))
    claims.confirm(user=cast.mallory, code=code.lower().replace("-", " "), at=NOW)
    after = scope_of(cast.mallory)
    assert (before.person_ids(), after.person_ids()) == (frozenset(), {frida.id})
    assert after.account_ids() == after.line_ids() == after.employee_ids() == frozenset()


def test_a_code_is_good_once(cast: Cast, frida: Person) -> None:
    _, code = claims.issue(person=frida, **DOING)
    claims.confirm(user=cast.dora, code=code, at=NOW)
    with pytest.raises(claims.NotValid):
        claims.confirm(user=cast.mallory, code=code, at=NOW)
    with pytest.raises(claims.AlreadyClaimed):
        claims.issue(person=frida, **DOING)


def test_five_wrong_attempts_end_a_code_also_for_the_right_one(cast: Cast, frida: Person) -> None:
    claim, code = claims.issue(person=frida, **DOING)
    for attempt in range(claims.ATTEMPTS_MOST):
        with pytest.raises(claims.NotValid):
            claims.confirm(user=cast.mallory, code=f"{claim.id}-AAAAA-AAAA{attempt}", at=NOW)
    with pytest.raises(claims.NotValid):
        claims.confirm(user=cast.dora, code=code, at=NOW)


def test_nobody_tries_codes_all_day(cast: Cast, frida: Person) -> None:
    for _ in range(claims.TRIES_MOST):
        with pytest.raises(claims.NotValid):
            claims.confirm(user=cast.mallory, code="999999-AAAAA-AAAAA", at=NOW)
    with pytest.raises(claims.TooOften):
        claims.confirm(user=cast.mallory, code="999999-AAAAA-AAAAA", at=NOW)


def test_a_code_expires_and_another_one_takes_its_place(cast: Cast, frida: Person) -> None:
    _, first = claims.issue(person=frida, **DOING)
    with pytest.raises(claims.NotValid):
        claims.confirm(user=cast.dora, code=first, at=NOW + claims.LASTS)
    _, second = claims.issue(person=frida, **DOING)
    with pytest.raises(claims.NotValid):
        claims.confirm(user=cast.dora, code=first, at=NOW)
    assert claims.confirm(user=cast.dora, code=second, at=NOW + claims.LASTS - timedelta(seconds=1)).user == cast.dora


def test_what_was_withdrawn_opens_nothing_any_more(cast: Cast) -> None:
    claim = PersonClaim.objects.get(user=cast.emil)
    claims.withdraw(claim=claim, **DOING)
    claims.withdraw(claim=claim, **DOING)
    assert scope_of(cast.emil).person_ids() == frozenset()
    assert AuditEvent.objects.filter(action="person_claim.withdrawn").count() == 1


def test_a_person_has_one_user(cast: Cast) -> None:
    held = PersonClaim.objects.get(user=cast.emil)
    held.pk, held.user = None, cast.dora
    with pytest.raises(IntegrityError), transaction.atomic():
        held.save()


def test_a_token_opens_nothing_personal(cast: Cast) -> None:
    _, code = claims.issue(person=cast.aurora.people["P-2"], **DOING)
    claims.confirm(user=cast.alice, code=code, at=NOW)
    token, _ = issue_token(cast, cast.alice, *scope_of(cast.alice).grants[0].verbs, enterprise=cast.aurora.enterprise)
    assert scope_of(cast.alice).person_ids()
    assert scope_of_token(token).person_ids() == frozenset()


def test_acts_on_claims_name_nobody(cast: Cast, frida: Person) -> None:
    _, code = claims.issue(person=frida, **DOING)
    claims.confirm(user=cast.mallory, code=code, at=NOW)
    told = "".join(
        f"{act.actor} {act.subject} {act.detail}"
        for act in AuditEvent.objects.filter(action__startswith="person_claim.")
    )
    assert not [name for name in ("Frida", "Emil", "Mallory", "example.org", code) if name in told]


def test_the_operators_staff_issue_a_code_and_see_it_once(cast: Cast, frida: Person) -> None:
    olga = client_of(cast, "olga")
    address = reverse("people-claims", args=[cast.aurora.enterprise.id])
    shown = olga.post(address, {"action": "issue", "person": frida.id})
    assert shown["Cache-Control"] == "no-store"
    code = shown.content.decode().partition('class="raw secret" tabindex="0">')[2].partition("<")[0]
    assert code not in olga.get(address).content.decode()
    mallory = client_of(cast, "mallory")
    assert mallory.post(reverse("my-claim"), {"action": "confirm", "confirm-code": code}).status_code == 302
    assert b"Frida Fels" in mallory.get(reverse("my-claim")).content
    assert olga.post(address, {"action": "withdraw", "person": frida.id}).status_code == 302
    assert b"Frida Fels" not in mallory.get(reverse("my-claim")).content


def test_a_wrong_code_is_told_at_its_field(cast: Cast, frida: Person) -> None:
    shown = client_of(cast, "mallory").post(reverse("my-claim"), {"action": "confirm", "confirm-code": "1-AAAAA-AAAAA"})
    assert shown.status_code == 200
    assert b"not valid" in shown.content
