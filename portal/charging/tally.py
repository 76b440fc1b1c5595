"""What a group of records adds to counters, summed in memory. Pure; written by `portal.charging.writing`."""

from __future__ import annotations

from collections import defaultdict

from balances.models.counters import Grain, OwnerKind
from portal.charging.state import Chain

_ACCOUNT, _LINE = int(OwnerKind.ACCOUNT), int(OwnerKind.LINE)
_CYCLE, _DAY = int(Grain.CYCLE), int(Grain.DAY)

#: (owner kind, grain, period start, service, zone) -> owner -> [used, overage, amount, records]
Increments = dict[tuple[int, int, str, int, int], dict[int, list[int]]]


class Tally:
    """Sums of [used, overage, amount, records]: once for a whole chain of accounts, once for the line."""

    __slots__ = ("by_chain", "by_line")

    def __init__(self):
        #: By (chain, service, zone, cycle start, day start).
        self.by_chain: dict[tuple[Chain, int, int, str, str], list[int]] = {}
        #: By (line, cycle start, service, zone).
        self.by_line: dict[tuple[int, str, int, int], list[int]] = {}

    def add(
        self, chain: Chain, line_id: int, service: int, zone_id: int, cycle_start: str, day_start: str,
        used: int, overage: int, amount: int, records: int,
    ) -> None:  # fmt: skip
        """Count one stretch of a record."""
        key = (chain, service, zone_id, cycle_start, day_start)
        total = self.by_chain.get(key)
        if total is None:
            self.by_chain[key] = [used, overage, amount, records]
        else:
            total[0] += used
            total[1] += overage
            total[2] += amount
            total[3] += records
        line_key = (line_id, cycle_start, service, zone_id)
        total = self.by_line.get(line_key)
        if total is None:
            self.by_line[line_key] = [used, overage, amount, records]
        else:
            total[0] += used
            total[1] += overage
            total[2] += amount
            total[3] += records

    def touched_accounts(self) -> set[int]:
        """Accounts whose figures change."""
        return {account_id for chain, *_ in self.by_chain for account_id in chain.account_ids}

    def increments(self, *, by_day: bool = True) -> Increments:
        """What to add to which counter, of accounts also by day unless told otherwise. The sums of a chain are spread
        over its accounts here, once a group instead of once a record."""
        series: Increments = defaultdict(dict)
        for (chain, service, zone_id, cycle_start, day_start), added in self.by_chain.items():
            keys = [(_ACCOUNT, _CYCLE, cycle_start, service, zone_id)]
            if by_day:
                keys.append((_ACCOUNT, _DAY, day_start, service, zone_id))
            for key in keys:
                owners = series[key]
                for account_id in chain.account_ids:
                    total = owners.get(account_id)
                    if total is None:
                        owners[account_id] = added.copy()
                    else:
                        total[0] += added[0]
                        total[1] += added[1]
                        total[2] += added[2]
                        total[3] += added[3]
        for (line_id, cycle_start, service, zone_id), added in self.by_line.items():
            series[_LINE, _CYCLE, cycle_start, service, zone_id][line_id] = added
        return series
