"""Entries of the ledger as sentences: what happened, and with whom.

Owns: the sentences, for screens and API alike. A correction of a kind carries the opposite sign, and a sentence of its
own. Never queries: who is on the other side was read before.
"""

from __future__ import annotations

from balances.models.ledger import EntryKind
from balances.selectors.history import Told

#: Kind -> (sentence, sentence of a correction); `{}` is whoever is on the other side.
SENTENCES: dict[int, tuple[str, str]] = {
    EntryKind.GRANT: ("Granted by the contract for this cycle.", "A grant was corrected."),
    EntryKind.CONSUME: ("Used: records that were charged together.", "A use was corrected."),
    EntryKind.TRANSFER_IN: ("Received from {}.", "Taken back by {}."),
    EntryKind.TRANSFER_OUT: ("Given to {}.", "Taken back from {}."),
    EntryKind.RESERVE: ("Set aside for a session under way.", "A reservation was corrected."),
    EntryKind.RELEASE: ("Set aside for a session, not used, and available again.", "A release was corrected."),
    EntryKind.CONSUME_RESERVED: ("Used by a session that had set it aside.", "A use was corrected."),
    EntryKind.EXPIRE: ("Expired with the cycle.", "Brought back from what had expired, for usage reported late."),
    EntryKind.ROLLOVER_OUT: (
        "Carried over into the next cycle.",
        "Brought back from what was carried over, for usage reported late.",
    ),
    EntryKind.EXCHANGE_OUT: ("Exchanged for another service.", "An exchange was corrected."),
    EntryKind.EXCHANGE_IN: ("Received in exchange for another service.", "An exchange was corrected."),
    EntryKind.ROLLOVER_IN: (
        "Carried over from the cycle before.",
        "Given back to the cycle before, for usage reported late.",
    ),
    EntryKind.ESCROW: ("Held for an open offer.", "A hold for an offer was corrected."),
    EntryKind.ESCROW_BACK: ("Back from an offer that was not taken.", "A return from an offer was corrected."),
    EntryKind.ESCROW_OUT: ("Given to {} in trade.", "A trade was corrected."),
}


def sentence(told: Told) -> str:
    """What an entry is, in words."""
    usual, correction = SENTENCES.get(told.entry.kind, (f"{told.entry.get_kind_display()}.", "Corrected."))
    words = correction if told.entry.units < 0 else usual
    return words.replace("{}", told.peer or "an account outside your view")
