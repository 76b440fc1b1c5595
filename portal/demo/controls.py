"""What managers have set by the time somebody looks: caps, a slice, an exchange, limits, a consent, policies, terms.

Each part is done once, so that a build that was killed goes on; none needs the others. Everything goes through the
functions that users reach, at the end of the past that was lived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Sum

from balances import contingency, draw_caps, exchange, standing, tags, trading, trading_terms
from balances.errors import Refused
from balances.models import Account, Bucket, DrawCap, Enterprise, Exchange, Line, StandingTransfer, TradingTerms
from balances.models.buckets import BucketKind, ReleaseRule
from balances.models.counters import Counter, Grain, OwnerKind, Payer
from balances.units import GIB, MIB, MICROS_PER_MAJOR, SERVICE_NAMES, Service
from clients.traffic.profiles import EXECUTIVE, RUNAWAY
from policies import consent, limits, publishing
from policies.models import Limit, Policy, Restriction
from portal.charging import ingest, records
from portal.demo.past import ACTOR, Past
from portal.demo.story import Story
from portal.models import Escalation
from portal.notices import preferences

EXECUTIVES_TAGGED = 20


class Controls:
    """The controls of one enterprise whose past has been lived."""

    def __init__(self, story: Story, enterprise: Enterprise):
        self.story, self.enterprise = story, enterprise
        self.doing: dict[str, Any] = {"actor": ACTOR, "at": story.now}
        self.root = Account.objects.get(enterprise=enterprise, parent=None)
        codes = [division.code for division in story.plan.children("")]
        found = {account.code: account for account in Account.objects.filter(enterprise=enterprise, code__in=codes)}
        self.divisions = [found[code] for code in codes]

    def set_all(self) -> None:
        """Whatever is missing; a part for which there is nothing to set, in a very small demo, is left out."""
        for part in self._parts():
            try:
                part()
            except Refused:  # too little is left of something: the screens then show what they have
                continue

    def _parts(self) -> Iterator[Callable[[], object]]:
        yield from (self._caps, self._slice, self._exchange, self._terms, self._standing)
        yield from (self._tags, self._limits, self._restriction, self._policies, self._escalation)

    def _fullest(self) -> Bucket:
        """Of the data that the enterprise and its divisions hold, the bucket of which most is left."""
        held = Bucket.objects.filter(
            account__in=[self.root, *self.divisions], service=Service.DATA, closed_at=None,
            kind__in=(BucketKind.GRANT, BucketKind.ALLOCATION), valid_from__lte=self.story.now,
            valid_until__gt=self.story.now,
        )  # fmt: skip
        return held.order_by("-remaining_units", "id")[0]

    def _line(self, place: int) -> Line:
        return Line.objects.get(enterprise=self.enterprise, msisdn=self.story.plan.lines[place].msisdn)

    def _data_of(self, line: Line) -> int:
        """Octets that the company pays of a line in the cycle, so far."""
        counted = Counter.objects.filter(
            enterprise=self.enterprise, owner_kind=OwnerKind.LINE, owner_id=line.id, grain=Grain.CYCLE,
            service=Service.DATA, payer=Payer.CORPORATE,
        ).order_by("-period_start")  # fmt: skip
        latest = counted.values_list("period_start", flat=True).first()
        return counted.filter(period_start=latest).aggregate(sum=Sum("used_units"))["sum"] or 0

    # --- units ------------------------------------------------------------------------------------------------

    def _caps(self) -> None:
        """A division and a line may take so much from above, and no more."""
        if DrawCap.objects.filter(enterprise=self.enterprise).exists():
            return
        draw_caps.set_cap(account=self.divisions[-1], service=Service.VOICE, units=500 * 60, **self.doing)
        units = max(20 * GIB, 2 * self._data_of(self._line(0)) // GIB * GIB)
        draw_caps.set_cap(line=self._line(0), service=Service.DATA, units=units, **self.doing)

    def _slice(self) -> None:
        """A fiftieth of what is left where most is opens when all else of its owner is used up."""
        if Bucket.objects.filter(enterprise=self.enterprise, kind=BucketKind.CONTINGENCY).exists():
            return
        source = self._fullest()
        units = source.remaining_units // 50
        contingency.set_aside(bucket_id=source.id, units=units, rule=ReleaseRule.ON_EXHAUSTION, **self.doing)

    def _exchange(self) -> None:
        """Some data became minutes of conferences, at the contract's rate."""
        if Exchange.objects.filter(enterprise=self.enterprise).exists():
            return
        source = self._fullest()
        exchange.exchange(
            bucket_id=source.id,
            to_service=Service.VIDEO_CONFERENCING,
            units=source.remaining_units // 100,
            **self.doing,
        )

    def _terms(self) -> None:
        """Whole lots, and what is larger is approved from above; one trade waits for that."""
        if TradingTerms.objects.filter(enterprise=self.enterprise).exists():
            return
        giver = self._richest()
        if giver is None:
            return
        lot = GIB if giver.remaining_units > 100 * GIB else MIB
        large = giver.remaining_units // 20 // lot * lot
        trading_terms.set_terms(
            account=self.root, service=Service.DATA, lot_units=lot, approval_above_units=large // 2 // lot * lot,
            **self.doing,
        )  # fmt: skip
        taker = next(division for division in self.divisions if division.id != giver.account_id)
        offer = trading.offer(
            account=giver.account, to_account=taker, bucket=giver, gives_units=large, price_micros=1_000, **self.doing
        )
        trading.accept(offer=offer, account=taker, **self.doing)

    def _standing(self) -> None:
        """One division gives another some data in each cycle."""
        giver = self._richest()
        if giver is None or StandingTransfer.objects.filter(enterprise=self.enterprise).exists():
            return
        taker = next(division for division in reversed(self.divisions) if division.id != giver.account_id)
        lot = trading_terms.terms_of(giver.account, Service.DATA).lot_units
        standing.make(
            account=giver.account, to_account=taker, service=Service.DATA, units=5 * lot, on_shortage="part",
            **self.doing,
        )  # fmt: skip

    def _richest(self) -> Bucket | None:
        """The allocation of data to a division of which most is left; None without two divisions."""
        if len(self.divisions) < 2:
            return None
        held = Bucket.objects.filter(
            account__in=self.divisions, service=Service.DATA, kind=BucketKind.ALLOCATION, closed_at=None,
            remaining_units__gt=0,
        )  # fmt: skip
        return held.select_related("account").order_by("-remaining_units", "id").first()

    # --- limits and policies ------------------------------------------------------------------------------------

    def _tags(self) -> None:
        """Executives bear a tag, which a rule of the policy excepts."""
        chosen = [line.msisdn for line in self.story.plan.lines if line.profile == EXECUTIVE][:EXECUTIVES_TAGGED]
        for line in Line.objects.filter(enterprise=self.enterprise, msisdn__in=chosen).order_by("id"):
            tags.set_tags(line=line, tags=[*tags.of(line), "executive"], **self.doing)

    def _limits(self) -> None:
        """Roaming of the first person's tablet stops at its limit, to which somebody has consented already; a
        division is told about its data; the first person's phone is exempted for a journey."""
        if Limit.objects.filter(enterprise=self.enterprise).exists():
            return
        cycle = {"window": "cycle", "percents": (50, 80, 100)}
        roaming = limits.make(
            line=self._line(1), name="Roaming of the tablet", service=Service.DATA, is_abroad=True, measure="money",
            amount=50 * MICROS_PER_MAJOR, action="consent", **cycle, **self.doing,
        )  # fmt: skip
        consent.consent(
            limit=roaming, shown=consent.shown_now(roaming, self.story.now), amount=25 * MICROS_PER_MAJOR,
            channel="portal",
            text_shown="Overage of data abroad: with this consent usage goes on in this period only.",
            price_shown="€0.09 for 1 MiB outside the Union.", **self.doing,
        )  # fmt: skip
        used = max(self.story.data_used(self.story.plan.children("")[0]), 100 * MIB)
        limits.make(
            account=self.divisions[0], name="Data of the division", service=Service.DATA, measure="units",
            amount=used * 10 // 9, action="notify", **cycle, **self.doing,
        )  # fmt: skip
        own = limits.make(
            line=self._line(0), service=Service.DATA, measure="units", action="stop_now",
            amount=max(30 * GIB, 2 * self._data_of(self._line(0)) // GIB * GIB), **cycle, **self.doing,
        )  # fmt: skip
        limits.exempt(
            limit=own, line=self._line(0), until=self.story.now + timedelta(days=14), reason="Trade fair", **self.doing
        )

    def _restriction(self) -> None:
        """A SIM that used far more than it should is stopped until somebody consents."""
        if Restriction.objects.filter(enterprise=self.enterprise).exists():
            return
        profiles = [line.profile for line in self.story.plan.lines]
        place = next((profiles.index(name) for name in (RUNAWAY, "machine", "router") if name in profiles), 2)
        line = self._line(place)
        name = "Data of a machine"
        if not Limit.objects.filter(line=line, name=name).exists():
            limits.make(
                line=line, name=name, service=Service.DATA, measure="units", amount=100 * MIB, window="cycle",
                percents=(80, 100), action="consent", **self.doing,
            )  # fmt: skip
        self._use(line, 200 * MIB)

    def _use(self, line: Line, units: int) -> None:
        """One record, charged: what is beyond the limit is refused."""
        past = Past(self.story, self.enterprise)
        usage = records.read_mapping(
            {
                "source_record_id": f"beyond-{line.msisdn}-{self.story.now:%Y%m%dT%H%M}",
                "service": SERVICE_NAMES[Service.DATA],
                "units": units,
                "msisdn": line.msisdn,
                "started_at": (self.story.now - timedelta(minutes=2)).isoformat(),
            }
        )
        with transaction.atomic():
            ingest.record(delivery=past.delivery, usages=[usage], at=self.story.now)
        past.charge_waiting(self.story.now)

    def _policies(self) -> None:
        """A division's data abroad keeps office hours; what the Union's regulation asks for lies ready as a draft."""
        if Policy.objects.filter(enterprise=self.enterprise).exists():
            return
        made = publishing.create_from_template(account=self.divisions[0], template="office-hours", **self.doing)
        publishing.publish(version=made, reason="Night-time roaming cost more than it brought.", **self.doing)
        publishing.create_from_template(account=self.root, template="eu-roaming", **self.doing)

    def _escalation(self) -> None:
        """What nobody has read for an hour rises to the next one up."""
        if not Escalation.objects.filter(account=self.root).exists():
            preferences.escalate(account=self.root, after_minutes=60, **self.doing)
