"""What happened to offers, trades and loans, as rows that last, and the keys by which repeating does nothing.

The only writer of OfferAct; works inside the transaction of whoever acts, under the enterprise's lock.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from balances import audit, ledger
from balances.errors import Refused
from balances.ledger import KeyConflict
from balances.models import Offer, OfferAct, Trade


def own_key_of(kind: str, enterprise_id: int, key: str | None) -> str | None:
    """A caller's key in a space of its own: it cannot meet another enterprise's."""
    if not key:
        return None
    if len(key) > ledger.KEY_LENGTH:
        raise Refused(f"An idempotency key has at most {ledger.KEY_LENGTH} characters.", field="key")
    return f"{kind}:{enterprise_id}:{key}"


def first_answer(model, key: str | None, asked: dict[str, Any]):
    """What a key led to before, if it was for the same; None the first time. Raises KeyConflict."""
    first = model.objects.filter(key=key).first() if key else None
    if first is not None and first.asked != asked:
        raise KeyConflict("This idempotency key was used before for something else.", field="key")
    return first


def note(
    offer: Offer,
    kind: str,
    units: int,
    actor: str,
    at: datetime,
    trade: Trade | None = None,
    transfer: uuid.UUID | None = None,
    answer: Offer | None = None,
    recorded_at: datetime | None = None,
) -> None:
    """What happened, in the offer's own history and in the audit trail of the account that did it."""
    OfferAct.objects.create(
        enterprise_id=offer.enterprise_id,
        offer=offer,
        trade=trade,
        kind=kind,
        units=units,
        transfer=transfer,
        actor=actor[: audit.ACTOR_LENGTH],
        at=at,
        recorded_at=recorded_at or at,
        answer=answer,
    )
    audit.record(
        enterprise_id=offer.enterprise_id,
        account_id=trade.account_id if trade is not None else offer.from_account_id,
        actor=actor,
        action=f"offer.{kind}",
        subject=f"Offer {offer.id}",
        detail={"offer": offer.id, "trade": trade.id if trade else None, "units": units},
        at=at,
    )
