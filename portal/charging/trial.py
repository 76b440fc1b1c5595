"""What would become of a record if it came now: charged in memory by the real charger, and nothing is kept.

Owns: a rolled-back look ahead for screens. Takes no lock, so what it says holds for this moment only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from balances.models import ChargingState
from portal.charging.charger import Charger
from portal.charging.group import Part
from portal.charging.records import Usage
from portal.charging.state import EnterpriseState


@dataclass(frozen=True, slots=True)
class Outlook:
    """Charged, with line, account and figures; or suspended again, with reason and detail.

    The figures are of what the company would pay; of a record that is a person's as a whole, of what the person would,
    without a price.
    """

    reason: str = ""
    detail: str = ""
    is_duplicate: bool = False
    line_id: int | None = None
    account_id: int | None = None
    service: int = 0
    units: int = 0
    overage_units: int = 0
    amount_micros: int = 0

    @property
    def is_charged(self) -> bool:
        """Whether the record would be charged."""
        return self.line_id is not None


class _Trial(Charger):
    """A charger to whom one identity is free: the one that the record's own suspense row holds."""

    own_id: str = ""

    def _identities(self, part: Part) -> dict[str, tuple[int, int]]:
        known = super()._identities(part)
        known.pop(self.own_id, None)
        return known


def foresee(*, enterprise_id: int, source_id: int, usage: Usage, own_id: str, at: datetime) -> Outlook:
    """The outlook of one record of an enterprise; `own_id` is an identity that counts as free."""
    with transaction.atomic(), connection.cursor() as cursor:
        charging = ChargingState.objects.get(enterprise_id=enterprise_id)
        state = EnterpriseState(enterprise_id)
        state.refresh(
            cursor,
            charging.configuration_version,
            charging.charge_sequence,
            at + settings.USAGE_FUTURE_TOLERANCE,
        )
        trial = _Trial(cursor, enterprise_id, state, at)
        trial.own_id = own_id
        trial.charge_part(Part(0, source_id, [usage]), poisoned=frozenset(), skipped=frozenset())
        transaction.set_rollback(True)
    if trial.suspended:
        return Outlook(reason=trial.suspended[0].reason, detail=trial.suspended[0].detail)
    tally = trial.tally if trial.tally.by_line else trial.personal_tally
    if not tally.by_line:
        return Outlook(is_duplicate=True)
    (line_id, _, service, _), _ = next(iter(tally.by_line.items()))
    chain = next(iter(tally.by_chain))[0]
    sums = [sum(column) for column in zip(*tally.by_line.values(), strict=True)]
    return Outlook(
        line_id=line_id,
        account_id=chain.account_ids[0],
        service=service,
        units=sums[0],
        overage_units=sums[1],
        amount_micros=sums[2],
    )
