"""Ten minutes of everything at once: people share units out, trade, lend and limit while usage is charged.

`Traffic` acts at random (seeded) in threads and keeps a journal of what was done, each act under the number that it got
under the enterprise's lock: whoever holds it is alone until the commit. With the charge sequence that stood then, the
journal and the charges together have one order, the one in which they were committed. `in_order` gives it.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, connections

from balances import ledger, loans, locks, standing, trading
from balances.errors import Refused
from balances.models import Bucket, ChargingState, Loan, Offer, Trade, UsageRecord
from balances.models.trading import LoanState, OfferState, TradeState
from policies import consent, limits
from policies.models import Limit
from tests.charging.reference import Record
from tests.charging.small_world import NUMBERS, SERVICES, World
from tests.faults.charging_worker import Clock

ACCOUNTS = ["N", "N1", "N2", "S", "S1"]
LIMITS_MOST = 8


@dataclass
class Act:
    """Something that was done: after the charge with number `sequence`, and as number `place` of all acts."""

    sequence: int
    place: int
    kind: str
    at: datetime
    facts: dict[str, Any] = field(default_factory=dict)
    result: Any = None


class Traffic:
    """People and time at work on a world, and what they did."""

    def __init__(self, world: World, clock: Clock, *, seed: int):
        self.world, self.clock, self.seed = world, clock, seed
        self.journal: list[Act] = []
        self.refused = 0
        self.problems: list[BaseException] = []
        self._numbers = itertools.count()
        self._mine = threading.local()
        self._lock = locks.enterprise
        self._run_next = standing._run_next

    # --- the journal -------------------------------------------------------------------------------------------------

    @contextmanager
    def noting(self, enterprise_id: int) -> Iterator[None]:
        """Stands for `locks.enterprise`: notes who came in when, and keeps it if it was committed."""
        if getattr(self._mine, "depth", 0) or not hasattr(self._mine, "kind"):
            with self._lock(enterprise_id):
                yield
            return
        self._mine.depth = 1
        try:
            with self._lock(enterprise_id):
                sequence = ChargingState.objects.values_list("charge_sequence", flat=True).get(
                    enterprise_id=enterprise_id
                )
                act = Act(sequence, next(self._numbers), self._mine.kind, self._mine.at, dict(self._mine.facts))
                yield
        finally:
            self._mine.depth = 0
        self._mine.acts.append(act)

    def running(self, enterprise_id: int, standing_id: int, actor: str, at: datetime) -> bool:
        """Stands for `standing._run_next`: one turn may run several, each under the lock of its own."""
        self._mine.facts = {"order": standing_id}
        return self._run_next(enterprise_id, standing_id, actor, at)

    def act(self, kind: str, do: Callable[[datetime], Any], **facts: Any) -> Any:
        """Do something now; what was committed of it goes into the journal, what was refused does not."""
        at = self.clock.now()
        self._mine.kind, self._mine.at, self._mine.facts, self._mine.acts = kind, at, facts, []
        result = None
        try:
            result = do(at)
        except Refused:
            self.refused += 1
            assert not self._mine.acts, "refused, and committed"
        for act in self._mine.acts:
            act.result = result
        self.journal += self._mine.acts
        return result

    # --- threads -----------------------------------------------------------------------------------------------------

    def threads(self, people: int) -> list[threading.Thread]:
        """So many people, one that sends usage, and the clockwork of beat."""
        works = [*(lambda n=n: self._person(random.Random(self.seed + n)) for n in range(people)), self._beat]
        works.append(lambda: self._send(random.Random(self.seed - 1)))
        return [threading.Thread(target=self._until_over, args=(work(),)) for work in works]

    def _until_over(self, work: Iterator[None]) -> None:
        try:
            for _ in work:
                if self.clock.is_over:
                    break
        except BaseException as problem:
            self.problems.append(problem)
        finally:
            connections.close_all()

    def _send(self, chance: random.Random) -> Iterator[None]:
        """Usage of the last minutes, a few records a delivery; some of them sent again."""
        pause, sent = threading.Event(), list[Record]()
        for delivery in itertools.count():
            now, records = self.clock.now(), list[Record]()
            for place in range(chance.randint(1, 12)):
                used_at = now - timedelta(milliseconds=chance.randint(0, 400_000))
                service = chance.choice(["data"] * 5 + ["voice"])
                line = chance.choice("aaabbcccd")
                network = chance.choice(["", "", "262", "20801", "310"])
                records.append(
                    Record(
                        "one", f"u{delivery}-{place}", service, NUMBERS[line], chance.randint(1, 30), used_at,
                        network=network,
                    )
                )  # fmt: skip
            again = [chance.choice(sent)] if sent and chance.random() < 0.1 else []
            self.world.accept(records + again, now)
            sent += records
            pause.wait(0.12)
            yield

    def _beat(self) -> Iterator[None]:
        pause = threading.Event()
        while True:
            self.act("sweep", lambda at: trading.sweep(actor="beat", at=at))
            self.act("return_due", lambda at: loans.return_due(actor="beat", at=at))
            self.act("run", lambda at: standing.run_due(actor="beat", at=at))
            pause.wait(0.3)
            yield

    def _person(self, chance: random.Random) -> Iterator[None]:
        names = itertools.count()
        me = f"user:{chance.random()}"
        acts = [self._allocate] * 3 + [self._take_back] * 2 + [self._offer] * 7 + [self._accept] * 8
        acts += [self._withdraw, self._decline, self._approve, self._approve, self._repay, self._repay, self._order]
        acts += [self._limit, self._change_limit, self._change_limit, self._extend, self._extend]
        pause = threading.Event()
        while True:
            chance.choice(acts)(chance, f"{me}:{next(names)}")
            pause.wait(chance.random() * 0.01)
            yield

    # --- what people do ----------------------------------------------------------------------------------------------

    def _bucket(self, chance: random.Random, **which: Any) -> Bucket | None:
        now = self.clock.now()
        found = list(
            Bucket.objects.filter(
                enterprise=self.world.enterprise, valid_until__gt=now, valid_from__lte=now, **which
            ).order_by("id")
        )
        return chance.choice(found) if found else None

    def _allocate(self, chance: random.Random, me: str) -> None:
        bucket = self._bucket(chance, kind__in=["grant", "grant", "allocation", "trade"], remaining_units__gt=0)
        if bucket is None:
            return
        kind, name = chance.choice([("account", code) for code in ACCOUNTS] * 2 + [("line", line) for line in "abcd"])
        place = self.world.accounts[name].id if kind == "account" else self.world.lines[name].id
        units = chance.randint(1, 400)
        self.act(
            "allocate",
            lambda at: ledger.allocate(bucket_id=bucket.id, units=units, actor=me, at=at, **{f"{kind}_id": place}),
            bucket=bucket.id, owner=(kind, name), units=units,
        )  # fmt: skip

    def _take_back(self, chance: random.Random, me: str) -> None:
        if bucket := self._bucket(chance, kind="allocation", remaining_units__gt=0):
            units = chance.randint(1, max(bucket.remaining_units // 2, 1))
            self.act(
                "take_back",
                lambda at: ledger.take_back(bucket_id=bucket.id, units=units, actor=me, at=at),
                bucket=bucket.id, units=units,
            )  # fmt: skip

    def _offer(self, chance: random.Random, me: str) -> None:
        which = {"account__code__in": ACCOUNTS, "service": SERVICES["data"], "kind__in": ["allocation", "trade"]}
        if (bucket := self._bucket(chance, remaining_units__gt=0, **which)) is None:
            return
        answered = None
        now = self.clock.now()
        if chance.random() < 0.25:
            open_offers = Offer.objects.filter(state=OfferState.OPEN, to_account_id=bucket.account_id).order_by("id")
            answered = chance.choice(list(open_offers)) if open_offers else None
        to = answered.from_account if answered else None
        if to is None and chance.random() < 0.6:
            to = self.world.accounts[chance.choice(ACCOUNTS)]
        units = chance.randint(1, 90)
        expires = now + timedelta(seconds=chance.randint(5, 240))
        returns = expires + timedelta(seconds=chance.randint(0, 120)) if chance.random() < 0.35 else None
        self.act(
            "offer",
            lambda at: trading.offer(
                account=bucket.account, to_account=to, bucket=bucket, gives_units=units, expires_at=expires,
                returns_at=returns, counters=answered, actor=me, at=at,
            ),
            bucket=bucket.id, to=to.code if to else None, units=units, expires=expires, returns=returns,
            counters=answered.id if answered else None,
        )  # fmt: skip

    def _open_offer(self, chance: random.Random) -> Offer | None:
        found = Offer.objects.filter(state=OfferState.OPEN).select_related("from_account", "to_account").order_by("-id")
        latest = list(found[:12])
        return chance.choice(latest) if latest else None

    def _accept(self, chance: random.Random, me: str) -> None:
        if (offer := self._open_offer(chance)) is None:
            return
        taker = offer.to_account or self.world.accounts[chance.choice(ACCOUNTS)]
        units = offer.open_units if chance.random() < 0.6 else chance.randint(1, max(offer.open_units, 1))
        self.act(
            "accept",
            lambda at: trading.accept(offer=offer, account=taker, units=units, actor=me, at=at),
            offer=offer.id, taker=taker.code, units=units,
        )  # fmt: skip

    def _withdraw(self, chance: random.Random, me: str) -> None:
        if offer := self._open_offer(chance):
            self.act("withdraw", lambda at: trading.withdraw(offer=offer, actor=me, at=at), offer=offer.id)

    def _decline(self, chance: random.Random, me: str) -> None:
        if offer := self._open_offer(chance):
            self.act("decline", lambda at: trading.decline(offer=offer, actor=me, at=at), offer=offer.id)

    def _approve(self, chance: random.Random, me: str) -> None:
        waiting = list(Trade.objects.filter(state=TradeState.WAITING).order_by("id"))
        if waiting:
            trade = chance.choice(waiting)
            kind, do = chance.choice([("approve", trading.approve), ("approve", trading.approve),
                                      ("refuse", trading.refuse)])  # fmt: skip
            self.act(kind, lambda at: do(trade=trade, actor=me, at=at), trade=trade.id)

    def _repay(self, chance: random.Random, me: str) -> None:
        held = Loan.objects.filter(state__in=[LoanState.LENT, LoanState.OWED], bucket__remaining_units__gt=0)
        if found := list(held.select_related("bucket").order_by("id")):
            loan = chance.choice(found)
            units = chance.randint(1, loan.bucket.remaining_units)
            self.act(
                "repay",
                lambda at: loans.repay(loan=loan, units=units, actor=me, at=at),
                trade=loan.trade_id, units=units,
            )  # fmt: skip

    def _order(self, chance: random.Random, me: str) -> None:
        giver, taker = chance.sample(ACCOUNTS, 2)
        units = chance.randint(5, 50)
        self.act(
            "order",
            lambda at: standing.make(
                account=self.world.accounts[giver], to_account=self.world.accounts[taker], service=SERVICES["data"],
                units=units, day=18, on_shortage="part", actor=me, at=at,
            ),
            giver=giver, taker=taker, units=units,
        )  # fmt: skip

    def _limit(self, chance: random.Random, me: str) -> None:
        if Limit.objects.filter(retired_at__isnull=True).count() >= LIMITS_MOST:
            return
        kind, name = chance.choice([("account", code) for code in ["R", *ACCOUNTS]] + [("line", line) for line in "ab"])
        money = chance.random() < 0.3
        wish: dict[str, Any] = {
            "service": SERVICES["data"] if not money or chance.random() < 0.5 else None,
            "is_abroad": chance.random() < 0.3,
            "measure": "money" if money else "units",
            "window": chance.choice(["day", "day", "cycle", "week", "sliding_24h", "lifetime"]),
            "amount": chance.choice([200_000, 2_000_000]) if money else chance.choice([40, 400, 3_000]),
            "percents": [50, 100],
            "action": chance.choice(["notify", "block_new", "stop_now", "consent"]),
        }
        owner = {"account": self.world.accounts[name]} if kind == "account" else {"line": self.world.lines[name]}
        self.act("limit", lambda at: limits.make(actor=me, at=at, **wish, **owner), owner=(kind, name), **wish)

    def _standing_limit(self, chance: random.Random) -> Limit | None:
        found = list(Limit.objects.filter(retired_at__isnull=True).order_by("id"))
        return chance.choice(found) if found else None

    def _change_limit(self, chance: random.Random, me: str) -> None:
        if limit := self._standing_limit(chance):
            amount = limit.amount * chance.randint(1, 8) // 4
            action = chance.choice(["notify", "block_new", "stop_now", "consent"])
            self.act(
                "change",
                lambda at: limits.change(limit=limit, amount=amount, action=action, actor=me, at=at),
                limit=limit.first_number, amount=amount, action=action,
            )  # fmt: skip

    def _extend(self, chance: random.Random, me: str) -> None:
        if limit := self._standing_limit(chance):
            more = chance.randint(1, 300) * (1_000 if limit.measure == "money" else 1)

            def extend(at: datetime) -> Any:
                return consent.extend(
                    limit=limit, shown=consent.shown_now(limit, at), amount=more, actor=me, at=at
                )  # refused where another was faster with the same number, or has changed the limit

            self.act("extend", extend, limit=limit.first_number, amount=more)

    # --- one order ---------------------------------------------------------------------------------------------------

    def in_order(self) -> Iterator[Act | list[UsageRecord]]:
        """Acts and groups of charged records, as they were committed."""
        records = UsageRecord.objects.filter(enterprise=self.world.enterprise).order_by("charge_sequence", "id")
        groups = [list(group) for _, group in itertools.groupby(records, key=lambda record: record.charge_sequence)]
        acts = sorted(self.journal, key=lambda act: act.place)
        for group in groups:
            while acts and acts[0].sequence < group[0].charge_sequence:
                yield acts.pop(0)
            yield group
        yield from acts


def deadlocks() -> int:
    """How many PostgreSQL has ended in this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return cursor.fetchone()[0]
