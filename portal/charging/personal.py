"""The personal accounts of an enterprise in memory: what a person pays of their own usage, and what nobody pays yet.

Owns: loading accounts and tariffs (configuration), and balances, buckets and what is on credit (forgotten with other
balances, loaded again for whom they are asked for); deciding what a leg draws and costs; writing what a group added.
What tariffs say is `balances.personal_pricing`'s matter. Lives under the charging lock like `portal.charging.state`,
whose instants it shares; after a rollback it is dropped with all other memory. docs/personal.md works an example.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from balances import personal_news, personal_tariffs
from balances.models import OpenReason, OpenState, PersonalAccount, PersonalEntryKind
from balances.periods import cycle_of
from balances.personal_news import News
from balances.personal_pricing import Included, Price, Tariff, most_units, pay
from policies.steering.rules import Missing
from portal.charging.records import END, canonical_time, parse_canonical

ACTOR = "charging"
#: Ids of buckets that are taken from their sequence at once.
IDS_AT_ONCE = 64


class OpenPart(NamedTuple):
    """Units of a leg that no account pays: refused, or granted on credit."""

    reason: OpenReason
    state: OpenState
    units: int
    value_micros: int


@dataclass(slots=True)
class PersonalLeg:
    """What became of the personal part of a stretch.

    `units` were granted: drawn, paid or on credit. `reasons` are codes, each after a space.
    """

    account_id: int | None = None
    rate_id: int | None = None
    units: int = 0
    refused_units: int = 0
    draws: list[tuple[int, int]] = field(default_factory=list)
    micros: int = 0
    reasons: str = ""
    open: list[OpenPart] = field(default_factory=list)


class Head:
    """An allowance of an account in one month, and what has been drawn since it was loaded."""

    __slots__ = ("account_id", "drawn", "free", "granted", "id", "included", "period_start")

    def __init__(self, account_id: int, included: Included, period_start: str):
        self.account_id, self.included, self.period_start = account_id, included, period_start
        self.id: int | None = None  # while nothing was drawn on it ever
        self.free, self.drawn, self.granted = included.units, 0, included.units


class Month(NamedTuple):
    """A civil month of a time zone."""

    starts: str
    ends: str
    starts_at: datetime
    ends_at: datetime


class _Clock:
    """The months of a time zone; usage comes nearly in order, so that the last one asked for is remembered."""

    __slots__ = ("_last", "zone")

    def __init__(self, zone: ZoneInfo):
        self.zone = zone
        self._last: Month | None = None

    def month_of(self, instant: str) -> Month:
        """The month that holds an instant."""
        last = self._last
        if last is None or not last.starts <= instant < last.ends:
            period = cycle_of(parse_canonical(instant), self.zone, 1)
            last = self._last = Month(
                canonical_time(period.starts_at), canonical_time(period.ends_at), period.starts_at, period.ends_at
            )
        return last


class Account:
    """A personal account from its acceptance to its end."""

    __slots__ = (
        "armed", "arming", "balance", "charged", "clock", "credit", "ends", "heads", "id", "person_id", "starts",
        "tariff", "told_short",
    )  # fmt: skip

    def __init__(self, row: PersonalAccount, tariff: Tariff[str], clock: _Clock, starts: str):
        self.id, self.person_id, self.tariff, self.clock, self.starts = row.id, row.person_id, tariff, clock, starts
        self.ends = canonical_time(row.closed_at) if row.closed_at else END
        self.credit = row.credit_limit_micros
        self.balance = self.charged = self.armed = self.arming = 0
        self.told_short = -1  # the arming in which it was said that money was short
        #: By start of the month; months are there once they are loaded.
        self.heads: dict[str, list[Head]] = {}

    def begin(self, month: Month) -> list[Head]:
        """Its allowances in a month, as if nothing was drawn on them."""
        version = self.tariff.of_month(month.starts, month.ends, self.starts)
        heads = [Head(self.id, included, month.starts) for included in version.included] if version else []
        self.heads[month.starts] = heads
        return heads


class PersonalBook:
    """All accepted personal accounts of an enterprise; see the module's paragraph."""

    def __init__(self, enterprise_id: int):
        self.enterprise_id = enterprise_id
        self._accounts: dict[int, list[Account]] = defaultdict(list)
        rows = list(
            PersonalAccount.objects.filter(enterprise_id=enterprise_id, accepted_at__isnull=False).order_by(
                "accepted_at", "id"
            )
        )
        tariffs = personal_tariffs.terms({row.tariff_id for row in rows}, canonical_time) if rows else {}
        clocks: dict[str, _Clock] = {}
        for row in rows:
            clock = clocks.setdefault(row.time_zone, _Clock(ZoneInfo(row.time_zone)))
            if row.accepted_at is not None:
                account = Account(row, tariffs[row.tariff_id], clock, canonical_time(row.accepted_at))
                self._accounts[row.person_id].append(account)
        self._bucket_ids: Iterator[int] = iter(())
        self.forget()

    def forget(self) -> None:
        """Drop balances, buckets and what is on credit; they are loaded again when next needed."""
        #: What people of whom all is loaded have on credit, in micros at the contract's rate.
        self._on_credit: dict[int, int] = {}
        #: Numbers whose people are all loaded; kept by whoever charges.
        self.ready_for: set[tuple[int, int]] = set()
        self._loaded: list[Account] = []
        self._drawn: list[Head] = []
        self._charged: list[Account] = []
        self._short: dict[int, Account] = {}
        self._opened: list[tuple[object, ...]] = []
        for accounts in self._accounts.values():
            for account in accounts:
                account.heads.clear()
                account.balance = account.charged = 0

    # --- loading -------------------------------------------------------------------------------------------------

    def ready(self, cursor, person_ids: Collection[int]) -> None:
        """Have balances and credit of people in memory, in two queries for all who are not; else each costs two."""
        missing = [person_id for person_id in person_ids if person_id not in self._on_credit]
        if not missing:
            return
        accounts = {account.id: account for person_id in missing for account in self._accounts.get(person_id, ())}
        if accounts:
            cursor.execute(
                "SELECT id, balance_micros, armed_micros, armings FROM balances_personalaccount "
                "WHERE id = ANY(%s::bigint[])",
                [_array(accounts)],
            )
            for account_id, balance, armed, arming in cursor.fetchall():
                account = accounts[account_id]
                account.balance, account.armed, account.arming = balance, armed, arming
            self._loaded += accounts.values()
        self._on_credit.update(dict.fromkeys(missing, 0))
        cursor.execute(
            "SELECT person_id, sum(value_micros) FROM balances_openpersonalusage WHERE enterprise_id = %s "
            "AND person_id = ANY(%s::bigint[]) AND state = 'open' GROUP BY person_id",
            [self.enterprise_id, _array(missing)],
        )
        self._on_credit.update({person_id: int(value) for person_id, value in cursor.fetchall()})

    def _heads_of(self, cursor, account: Account, starts: str) -> list[Head]:
        """The allowances of an account in the month that holds an instant; loads the month for all who are loaded."""
        month = account.clock.month_of(starts)
        heads = account.heads.get(month.starts)
        if heads is not None:
            return heads
        beginning = {a.id: a for a in self._loaded if a.clock is account.clock and month.starts not in a.heads}
        known = {(id_, head.included.id): head for id_, one in beginning.items() for head in one.begin(month)}
        if known:
            cursor.execute(
                "SELECT id, account_id, allowance_id, granted_units, used_units FROM balances_personalbucket "
                "WHERE account_id = ANY(%s::bigint[]) AND period_start = %s",
                [_array(beginning), month.starts_at],
            )
            for bucket_id, account_id, allowance_id, granted, used in cursor.fetchall():
                if head := known.get((account_id, allowance_id)):
                    head.id, head.free, head.granted = bucket_id, granted - used, granted
        return account.heads[month.starts]

    def _next_id(self, cursor) -> int:
        """An id for a bucket that is not written yet, so that charge lines can name it."""
        found = next(self._bucket_ids, None)
        if found is None:
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence('balances_personalbucket', 'id')) FROM generate_series(1, %s)",
                [IDS_AT_ONCE],
            )
            self._bucket_ids = iter([row[0] for row in cursor.fetchall()])
            found = next(self._bucket_ids)
        return found

    # --- deciding ------------------------------------------------------------------------------------------------

    def charge(
        self, cursor, *, person_id: int | None, service: int, zone_id: int, units: int, starts: str,
        missing: Missing, value: Callable[[int], int],
    ) -> PersonalLeg:  # fmt: skip
        """Charge the personal part of a stretch to whoever used it: allowances, then money, then credit, as far as each
        goes; the rest is refused. `value`: what so many units are worth at the contract's rate.
        """
        leg = PersonalLeg()
        if not units:
            return leg
        if person_id is None:
            self._leave_open(leg, OpenReason.NOBODY, 0, units, value)
            return leg
        account, reason = self._account_at(person_id, starts)
        if account is not None:
            units, reason = self._charge_account(cursor, leg, account, service, zone_id, units, starts)
        if units:
            granted = 0
            if missing.interim_micros is not None:
                self.ready(cursor, [person_id])
                granted = most_units(units, missing.interim_micros - self._on_credit[person_id], value)
            self._leave_open(leg, reason, granted, units - granted, value)
            if granted:
                self._on_credit[person_id] += leg.open[0].value_micros
        return leg

    def _account_at(self, person_id: int, starts: str) -> tuple[Account | None, OpenReason]:
        """The account that pays at an instant, or why there is none."""
        reason = OpenReason.MISSING
        for account in self._accounts.get(person_id, ()):
            if account.starts <= starts:
                if starts < account.ends:
                    return account, OpenReason.EMPTY
                reason = OpenReason.CLOSED
        return None, reason

    def has_account(self, person_id: int | None, starts: str) -> bool:
        """Whether a person has an account that pays at an instant."""
        return person_id is not None and self._account_at(person_id, starts)[0] is not None

    def price_at(self, person_id: int | None, service: int, zone_id: int, starts: str) -> Price | None:
        """What a person would pay by the tariff of the account that pays at an instant, without its allowances."""
        account = self._account_at(person_id, starts)[0] if person_id is not None else None
        version = account.tariff.at(starts) if account is not None else None
        return version.price(service, zone_id) if version is not None else None

    def _charge_account(
        self, cursor, leg: PersonalLeg, account: Account, service: int, zone_id: int, units: int, starts: str
    ) -> tuple[int, OpenReason]:
        """Let an account pay what it can; returns what it cannot pay, and why."""
        if account.person_id not in self._on_credit:
            self.ready(cursor, [account.person_id])
        heads = [h for h in self._heads_of(cursor, account, starts) if h.included.covers(service, zone_id)]
        version = account.tariff.at(starts)
        price = version.price(service, zone_id) if version is not None else None
        paid = pay(units, [head.free for head in heads], price, account.balance + account.credit)
        for head, drawn in zip(heads, paid.draws, strict=True):
            if drawn:
                leg.draws.append((self._draw(cursor, head, drawn), drawn))
        if leg.draws:
            leg.reasons += " personal_allowance"
        if paid.priced_units and price is not None:
            leg.rate_id, leg.micros = price.id, paid.micros
            leg.reasons += " personal_tariff"
            if not account.charged and paid.micros:
                self._charged.append(account)
            account.charged += paid.micros
            account.balance -= paid.micros
        leg.units = units - paid.rest
        if leg.units:
            leg.account_id = account.id
        if paid.rest and price is not None and account.told_short != account.arming:
            self._short[account.id] = account
        return paid.rest, OpenReason.NO_RATE if price is None else OpenReason.EMPTY

    def _draw(self, cursor, head: Head, units: int) -> int:
        """Draw on an allowance; returns the id of its bucket."""
        if head.id is None:
            head.id = self._next_id(cursor)
        if not head.drawn:
            self._drawn.append(head)
        head.free -= units
        head.drawn += units
        return head.id

    @staticmethod
    def _leave_open(
        leg: PersonalLeg, reason: OpenReason, granted: int, refused: int, value: Callable[[int], int]
    ) -> None:
        leg.reasons += f" {reason.value}"
        if granted:
            leg.reasons += " interim"
            leg.open.append(OpenPart(reason, OpenState.OPEN, granted, value(granted)))
        if refused:
            leg.open.append(OpenPart(reason, OpenState.REFUSED, refused, value(refused)))
        leg.units += granted
        leg.refused_units = refused

    def note_open(
        self, leg: PersonalLeg, *, usage_id: int, number: int, used_at: str, starts: str, line_id: int,
        person_id: int | None, service: int, zone_id: int,
    ) -> None:  # fmt: skip
        """Keep what nobody pays of a leg, with the charge line that it is of."""
        for part in leg.open:
            self._opened.append(
                (
                    usage_id, number, used_at, starts, line_id, person_id, service, zone_id, part.units,
                    part.value_micros, part.reason.value, part.state.value,
                )
            )  # fmt: skip

    def turns_between(self, person_id: int | None, starts: str, ends: str, known: str = END) -> list[str]:
        """Instants strictly between two others at which a person's terms turn: their account begins or ends, a version
        of its tariff begins, or the month turns. `known`: as it was known then, of accounts and their ends."""
        turns: set[str] = set()
        for account in self._accounts.get(person_id, ()) if person_id is not None else ():
            closes = account.ends if account.ends <= known else END
            first, last = max(starts, account.starts), min(ends, closes)
            if first > last or account.starts > known:
                continue
            turns.update((account.starts, closes))
            turns.update(version.begins for version in account.tariff.versions if first <= version.begins < last)
            month = account.clock.month_of(first)
            while month.ends < last:
                turns.add(month.ends)
                month = account.clock.month_of(month.ends)
        return sorted(turn for turn in turns if starts < turn < ends)

    # --- writing -------------------------------------------------------------------------------------------------

    @property
    def is_changed(self) -> bool:
        """Whether there is something to write."""
        return bool(self._drawn or self._charged or self._opened)

    def write(self, cursor, *, sequence: int, at: datetime) -> None:
        """Write what a group added: one statement each for buckets, for accounts with their entries, for what is open;
        it counts as written from then on. Needs the charging lock."""
        news = self._news()
        if self._drawn:
            heads = sorted(self._drawn, key=lambda head: head.id or 0)
            rows = [(h.id, h.account_id, h.included.id, h.period_start, h.included.units, h.drawn) for h in heads]
            cursor.execute(_BUCKETS, _columns(rows))
            for head in heads:
                head.drawn = 0
        if self._charged:
            accounts = {account.id: account for account in self._charged}
            ids = sorted(accounts)
            charged = _array(accounts[account_id].charged for account_id in ids)
            place = [self.enterprise_id, PersonalEntryKind.CHARGE.value, sequence, at, at, ACTOR]
            cursor.execute(_CHARGES, [_array(ids), charged, *place])
            if dict(cursor.fetchall()) != {account.id: account.balance for account in self._charged}:
                raise RuntimeError("Personal accounts were changed without raising the charge sequence.")
            for account in self._charged:
                account.charged = 0
        if self._opened:
            cursor.execute(_OPENED, [self.enterprise_id, at, *_columns(self._opened)])
        personal_news.write(cursor, enterprise_id=self.enterprise_id, news=news, at=at)
        self._drawn, self._charged, self._opened = [], [], []

    def _news(self) -> list[News]:
        """What this group has brought to a mark: as a rule nothing, which costs no statement."""
        found = [
            personal_news.of_allowance(
                account_id=head.account_id, bucket_id=head.id or 0, granted=head.granted,
                used=head.granted - head.free, drawn=head.drawn,
            )
            for head in self._drawn
        ]  # fmt: skip
        for account in {**{one.id: one for one in self._charged}, **self._short}.values():
            is_short = account.id in self._short
            found.append(
                personal_news.of_money(
                    account_id=account.id, balance=account.balance, spent=account.charged, credit=account.credit,
                    armed=account.armed, arming=account.arming, is_short=is_short,
                )
            )  # fmt: skip
            if is_short:
                account.told_short = account.arming
        self._short = {}
        return [one for one in found if one is not None]


_BUCKETS = """
    INSERT INTO balances_personalbucket AS b (id, account_id, allowance_id, period_start, granted_units, used_units)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[])
    ON CONFLICT (id) DO UPDATE SET used_units = b.used_units + excluded.used_units
"""

_CHARGES = """
    WITH charged AS (
        UPDATE balances_personalaccount a SET balance_micros = a.balance_micros - d.micros
        FROM unnest(%s::bigint[], %s::bigint[]) AS d (id, micros) WHERE a.id = d.id AND a.enterprise_id = %s
        RETURNING a.id, d.micros, a.balance_micros)
    INSERT INTO balances_personalentry (account_id, micros, balance_after_micros, kind, charge_sequence, at,
        recorded_at, actor, note)
    SELECT id, -micros, balance_micros, %s, %s, %s, %s, %s, '' FROM charged ORDER BY id
    RETURNING account_id, balance_after_micros
"""

_OPENED = """
    INSERT INTO balances_openpersonalusage (enterprise_id, recorded_at, bucket_ids, bucket_units, usage_id, number,
        used_at, starts_at, line_id, person_id, service, zone_id, units, value_micros, reason, state)
    SELECT %s, %s, '{}', '{}', t.* FROM unnest(%s::bigint[], %s::smallint[], %s::timestamptz[], %s::timestamptz[],
        %s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[])
        AS t
"""


def _array(values: Collection[int] | Iterator[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
