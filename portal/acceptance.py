"""Accepting a personal account by the text that was shown: the same for the screen and for REST.

Owns: what is offered, and that nobody accepts anything else or for anybody else. Nothing is charged before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from balances import personal
from balances.errors import Refused
from balances.models import PersonalAccount
from balances.scope import Scope
from balances.selectors import payer as payers
from balances.selectors.payer import Payer
from portal import payer_words
from portal.people import Oneself


class TermsChanged(Refused):
    """What is accepted is not what is offered any more."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The terms of an account that waits to be accepted; `mark` names the text."""

    text: str
    mark: str


def offer_of(payer: Payer | None, now: datetime) -> Offer | None:
    """What a person may accept; None where there is nothing to accept."""
    waits = payer is not None and not payer.is_accepted and payer.account.closed_at is None
    return _offer(payer, now) if payer is not None and waits else None


def accept(
    *, scope: Scope, people: Iterable[Oneself], account_id: int, mark: str, actor: str, at: datetime
) -> PersonalAccount | None:
    """Accept an own account by the text that `mark` names; None where no such account is the reader's.

    Raises TermsChanged, and what `personal.accept` raises.
    """
    for one in people:
        payer = payers.payer_of(scope, one.person.id, at) if one.is_proven else None
        if payer is None or payer.account.id != account_id:
            continue
        offer = _offer(payer, at)
        if offer is None or offer.mark != mark:
            raise TermsChanged("The terms have changed since they were shown: read them again.", field="mark")
        return personal.accept(account=payer.account, text=offer.text, actor=actor, at=at)
    return None


def _offer(payer: Payer, now: datetime) -> Offer | None:
    terms = payers.terms_of(payer.account, now)
    if terms is None:
        return None
    text = payer_words.offer(payer, terms)
    return Offer(text, sha256(text.encode()).hexdigest())
