"""Who proved to be whom: the only writer of PersonClaim. docs/byod.md

Owns: the codes by which a user proves to be a person, and what becomes of them. The operator's staff issue a code and
hand it to the person themselves, past the employer; entered once by whoever is signed in, it opens what is personal to
that person, until it is withdrawn. Only its hash is kept. Never decides what a claim opens: that is `portal.access`.

Managers read the audit of their enterprise, so that acts on claims carry numbers, never people or users.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import transaction
from django.utils.crypto import constant_time_compare, salted_hmac

from balances import audit
from balances.errors import Refused
from balances.models import Person
from portal.models import PersonClaim, User

LASTS = timedelta(days=14)
ATTEMPTS_MOST = 5
#: Wrong codes that one user may try in a time: nobody uses up the attempts of others' codes.
TRIES_MOST, TRIES_WITHIN = 10, timedelta(hours=1)
#: 50 bits in ten of them; letters that people take for digits are read as those.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
SECRET_LENGTH = 10
_MISREAD = str.maketrans("OIL", "011")
_CODE = re.compile(r"^([0-9]{1,15})-?([0-9A-Z]{5})-?([0-9A-Z]{5})$")


class AlreadyClaimed(Refused):
    """Somebody has proved to be this person."""


class NotValid(Refused):
    """A code that opens nothing: mistyped, expired, used or replaced, which are not told apart."""

    def __init__(self) -> None:
        super().__init__("This code is not valid, or not any more. Ask your operator for another one.", field="code")


class TooOften(Refused):
    """One user tried too many codes."""


def issue(*, person: Person, actor: str, at: datetime) -> tuple[PersonClaim, str]:
    """A code for a person, good once for two weeks; an earlier one that was not used ends. The code is not kept.

    Opens its own transaction; the caller vouches that the actor is of the operator's staff. Raises AlreadyClaimed.
    """
    with transaction.atomic():
        Person.objects.select_for_update(no_key=True).get(id=person.id)
        standing = PersonClaim.objects.filter(person=person, ended_at__isnull=True).first()
        if standing is not None and standing.confirmed_at is not None:
            raise AlreadyClaimed("Somebody has proved to be this person. Withdraw that first.", field="person")
        if standing is not None:
            standing.ended_at = at
            standing.save(update_fields=["ended_at"])
        claim = PersonClaim(
            enterprise_id=person.enterprise_id, person=person, issued_at=at, issued_by=actor, expires_at=at + LASTS
        )
        secret = "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
        claim.code_hash = _hash(secret)
        claim.save()
        _record(claim, "person_claim.issued", actor, at)
        return claim, f"{claim.id}-{secret[:5]}-{secret[5:]}"


def confirm(*, user: User, code: str, at: datetime) -> PersonClaim:
    """The user is the person whom the code was given to. Opens its own transaction. Raises NotValid, TooOften.

    A wrong code counts against the one that it names, and the fifth ends it.
    """
    if cache.get(_tries_of(user), 0) >= TRIES_MOST:
        raise TooOften("You have tried too many codes. Wait an hour.", field="code")
    read = _CODE.match(re.sub(r"\s", "", code).upper().translate(_MISREAD))
    if read is None:
        raise _failed(user)
    number, secret = int(read[1]), read[2] + read[3]
    with transaction.atomic():
        open_ones = PersonClaim.objects.filter(ended_at__isnull=True, confirmed_at__isnull=True)
        claim = open_ones.select_for_update().filter(id=number, attempts__lt=ATTEMPTS_MOST, expires_at__gt=at).first()
        is_right = constant_time_compare(claim.code_hash if claim else "", _hash(secret))
        if claim is not None and is_right:
            claim.user, claim.confirmed_at = user, at
            claim.save(update_fields=["user", "confirmed_at"])
            _record(claim, "person_claim.confirmed", f"user:{user.pk}", at)
            return claim
        if claim is not None:
            claim.attempts += 1
            if claim.attempts >= ATTEMPTS_MOST:
                claim.ended_at = at
            claim.save(update_fields=["attempts", "ended_at"])
    raise _failed(user)  # outside the transaction: the attempt stays counted


def withdraw(*, claim: PersonClaim, actor: str, at: datetime) -> PersonClaim:
    """End a claim, or a code that waits; safe to repeat. The caller vouches that it is the actor's to end: of the
    operator's staff, or the user's own."""
    with transaction.atomic():
        present = PersonClaim.objects.select_for_update().get(id=claim.id)
        if present.ended_at is None:
            present.ended_at = at
            present.save(update_fields=["ended_at"])
            _record(present, "person_claim.withdrawn", actor.partition(" ")[0], at)
        return present


def _hash(secret: str) -> str:
    """Keyed, so that the table alone does not let codes be guessed."""
    return salted_hmac("portal.claims", secret, algorithm="sha256").hexdigest()


def _tries_of(user: User) -> str:
    return f"claims:{user.pk}"


def _failed(user: User) -> NotValid:
    """Count a wrong code against whoever tried it."""
    key = _tries_of(user)
    cache.add(key, 0, timeout=int(TRIES_WITHIN.total_seconds()))
    with suppress(ValueError):  # it ran out just now
        cache.incr(key)
    return NotValid()


def _record(claim: PersonClaim, action: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=claim.enterprise_id, actor=actor, action=action, subject=f"Claim {claim.id}", detail={}, at=at
    )
