"""What an enterprise of the demo has used: the traffic generator's records, as charging takes them in.

Owns: how a plan's lines become traffic, and the sums by which contracts are sized. Never writes. The
records are those that the generator would have sent, only coarser: one stands for several sessions, so that
months fit into a minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from balances.models.accounts import NumberKind
from balances.units import SERVICES_BY_NAME
from clients.traffic.model import Line, Record, Traffic, as_mapping
from clients.traffic.profiles import EUROPEAN_NETWORKS, RUNAWAY
from portal.charging import records
from portal.charging.records import Usage
from portal.demo.plan import HOME_NETWORK, EnterprisePlan

#: Sessions that one record of the past stands for.
COARSENESS = {"data": 30, "voice": 10, "messaging": 9, "video_conferencing": 3}
SLOT_SECONDS = 1800
RUNAWAY_FOR = timedelta(hours=30)


@dataclass
class Sums:
    """Units used in a stretch: by service at home or in the Union (`covered`) and beyond, and data by
    account code.
    """

    covered: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    abroad: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    data_by_account: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class History:
    """The past of one enterprise up to `now`; its runaway SIM, if it has one, has been running for a day."""

    def __init__(self, plan: EnterprisePlan, *, seed: int, now: datetime):
        self.runs_away_at = (now - RUNAWAY_FOR).timestamp() // SLOT_SECONDS * SLOT_SECONDS
        self.accounts = {line.msisdn: line.account_code for line in plan.lines}
        self.calm = self._traffic(plan, seed, runaway_as="machine")
        self.wild = self._traffic(plan, seed, runaway_as=RUNAWAY)

    def _traffic(self, plan: EnterprisePlan, seed: int, *, runaway_as: str) -> Traffic:
        lines = [
            Line(line.msisdn, runaway_as if line.profile == RUNAWAY else line.profile, line.imei) for line in plan.lines
        ]
        return Traffic(
            lines,
            seed=seed + plan.size.number_block,
            prefix=f"past{seed}-{plan.size.number_block}",
            slot_seconds=SLOT_SECONDS,
            coarseness=COARSENESS,
            home_network=HOME_NETWORK,
        )

    def between(self, starts_at: datetime, ends_at: datetime) -> Iterator[Record]:
        """The records of a stretch, in order."""
        first, last = starts_at.timestamp(), ends_at.timestamp()
        turn = min(max(self.runs_away_at, first), last)
        yield from self.calm.between(first, turn)
        yield from self.wild.between(turn, last)

    def usages(self, starts_at: datetime, ends_at: datetime) -> list[Usage]:
        """The records of a stretch as charging takes them in."""
        return [as_usage(record) for record in self.between(starts_at, ends_at)]

    def sums(self, starts_at: datetime, ends_at: datetime) -> Sums:
        """What a stretch adds up to; flawed records count for nothing."""
        sums = Sums()
        for record in self.between(starts_at, ends_at):
            if record.flaw:
                continue
            is_covered = record.visited_network == HOME_NETWORK or record.visited_network in EUROPEAN_NETWORKS
            (sums.covered if is_covered else sums.abroad)[record.service] += record.units
            if record.service == "data" and is_covered:
                sums.data_by_account[self.accounts[record.msisdn]] += record.units
        return sums


def as_usage(record: Record) -> Usage:
    """A generator's record as charging takes it in; a flawed one takes the way of the public API."""
    if record.flaw:
        return records.read_mapping(as_mapping(record))
    return records.seal(
        source_record_id=record.source_record_id,
        service=int(SERVICES_BY_NAME[record.service]),
        number_kind=int(NumberKind.MSISDN),
        number=int(record.msisdn),
        units=record.units,
        used_at=_canonical(record.started),
        ended_at="" if record.service == "messaging" else _canonical(record.ended),
        visited_network=record.visited_network,
        other_party=record.other_party,
        imei=record.imei,
        attributes=record.attributes,
    )


def _canonical(seconds: int) -> str:
    """Whole seconds since 1970 as canonical UTC text; ten times faster than through a datetime."""
    day, second = divmod(seconds, 86_400)
    minute, second = divmod(second, 60)
    return f"{_day(day)} {minute // 60:02}:{minute % 60:02}:{second:02}.000000+00"


@lru_cache(maxsize=512)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")
