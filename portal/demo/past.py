"""Lives an enterprise's past: cycle by cycle what a month brings, delivery by delivery what was used.

Usage goes through durable acceptance and the charging pipeline in this process, as of the time of each
delivery. The last delivery that was accepted says how far an earlier, killed build has come.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from balances import cycles, ledger
from balances.models import Account, Bucket, Enterprise, UsageBatch, UsagePart
from balances.models.buckets import BucketKind
from balances.models.usage import PartState
from balances.periods import Period
from balances.units import Service
from portal.charging import ingest, pipeline
from portal.charging.records import Usage
from portal.demo import ahead
from portal.demo.plan import AccountPlan
from portal.demo.story import Story

ACTOR = "demo"
SOURCE = "Mediation"
#: So much of what is granted goes to the divisions as they use it, at the start of a cycle; the rest stays
#: at the top.
ALLOCATED_SHARE = 0.85
#: The squeezed cost centre gets so much of what it had used by now: its bucket ran empty some days ago.
SQUEEZED_SHARE = 0.7


class Past:
    """The past of one enterprise, whose tree, lines and contract stand."""

    def __init__(self, story: Story, enterprise: Enterprise):
        self.story, self.enterprise = story, enterprise
        self.delivery = ingest.Delivery(
            operator_id=enterprise.operator_id,
            enterprise_id=enterprise.id,
            source_id=ingest.source(operator_id=enterprise.operator_id, name=SOURCE),
            accepted_by=ACTOR,
        )
        delivered = UsageBatch.objects.filter(enterprise=enterprise, source_id=self.delivery.source_id)
        self.reached: datetime = delivered.aggregate(last=Max("accepted_at"))["last"] or story.history_from

    def live_through(self) -> Iterator[tuple[float, str]]:
        """Close what ended, grant, allocate, use; yields the part that is done, and words for it."""
        self.charge_waiting(self.reached)
        story, used, reached = self.story, 0, self.reached
        made = self._records()
        for cycle in story.cycles():
            if cycle.ends_at <= reached:
                continue
            cycles.close_cycles(enterprise_id=self.enterprise.id, at=cycle.starts_at, actor=ACTOR)
            self._allocate(cycle)
            for _, ends_at in story.deliveries(cycle, reached):
                usages = next(made)
                if usages:
                    with transaction.atomic():
                        ingest.record(delivery=self.delivery, usages=usages, at=ends_at)
                    self.charge_waiting(ends_at)
                used += len(usages)
                done = (ends_at - story.history_from) / (story.now - story.history_from)
                yield done, f"charged up to {ends_at:%d %B}, {used:,} records"

    def _records(self) -> Iterator[list[Usage]]:
        """The records of every delivery that is still to come."""
        story = self.story
        spans = list(story.spans(self.reached))
        if len(story.plan.lines) >= ahead.FEWEST_LINES:
            return ahead.deliveries(story, self.reached, len(spans))
        return (story.history.usages(*span) for span in spans)

    def charge_waiting(self, at: datetime) -> None:
        """Charge what waits as of `at`; where workers run already, they may be at it as well."""
        waiting = UsagePart.objects.filter(enterprise=self.enterprise, state=PartState.QUEUED)
        while waiting.exists():
            try:
                pipeline.drain(self.enterprise.id, clock=lambda: at)
            except pipeline.Busy:
                time.sleep(0.2)

    # --- allocations --------------------------------------------------------------------------------------

    def _allocate(self, cycle: Period) -> None:
        """Hand the divisions their part of data and voice, and the squeezed cost centre too little."""
        total = sum(self.story.sums.data_by_account.values()) or 1
        for service in (Service.DATA, Service.VOICE):
            granted = self._granted(service, cycle)
            for division in self.story.plan.children(""):
                share = self.story.data_used(division) / total * ALLOCATED_SHARE
                self._give(granted, division, int(granted.granted_units * share), cycle)
        squeezed, granted = self.story.squeezed, self._granted(Service.DATA, cycle)
        kept_at_top = int(granted.granted_units * (1 - ALLOCATED_SHARE))
        units = min(int(self.story.data_used(squeezed) * SQUEEZED_SHARE), kept_at_top)
        self._give(granted, squeezed, units, cycle)

    def _granted(self, service: Service, cycle: Period) -> Bucket:
        """What the contract granted of a service in a cycle."""
        return Bucket.objects.get(
            enterprise=self.enterprise, kind=BucketKind.GRANT, service=service, cycle_start=cycle.starts_at
        )

    def _give(self, bucket: Bucket, account: AccountPlan, units: int, cycle: Period) -> None:
        if units > 0:
            ledger.allocate(
                bucket_id=bucket.id,
                account_id=Account.objects.get(enterprise=self.enterprise, code=account.code).id,
                units=units,
                key=f"demo:{bucket.id}:{account.code}",
                actor=ACTOR,
                at=cycle.starts_at,
            )
