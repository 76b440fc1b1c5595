"""The published rules of who pays along a chain of accounts, in the order in which they are asked.

Owns: the order of levels and versions, and what is left of all rules for a kind of event: service, zone and tags are
settled here, and where the chain is at home. Times are `policies.steering.segments`' matter, and who pays what is
`policies.steering.decision`'s.

A version holds by the time of use, so a `SteeringBook` keeps those that have ended, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from policies.conditions import Surroundings, fields_read, settle
from policies.conditions.fields import Home
from policies.decision import Context
from policies.steering.outcomes import NEVER, Outcome, StandingVersion
from policies.steering.rules import PERSONAL, SteeringRule
from policies.steering.segments import Candidate, Rules
from policies.steering.sieves import Sieves

#: Of accounts that have one of their own: the home, None where it has none any more, since when, in order.
Homes = Mapping[int, Sequence[tuple[datetime, Home | None]]]
#: Kinds of events that are kept at hand at most.
KINDS_KEPT = 20_000


class SteeringBook:
    """All versions of an enterprise that were ever published, or a draft in place of its account's."""

    def __init__(self, versions: Iterable[StandingVersion], around: Surroundings, homes: Homes | None = None):
        self.versions, self.around = list(versions), around
        self._homes, self._arounds = homes or {}, dict[tuple[int, ...], Surroundings]()
        self._by_account: dict[int, list[StandingVersion]] = defaultdict(list)
        for version in self.versions:
            self._by_account[version.account_id].append(version)
        self._bits: dict[tuple[int, int], int] = {}
        for version in self.versions:
            for number in range(1, len(version.terms.rules) + 1):
                self._bits[version.id, number] = 1 << len(self._bits)
        self._sieves: Sieves | None = None
        self._outcomes: dict[tuple[int, int], Outcome] = {}
        self._rules: dict[tuple, Rules | None] = {}

    @property
    def may_be_personal(self) -> bool:
        """Whether any rule or default leaves something to a person."""
        return any(
            part.payer == PERSONAL
            for version in self.versions
            for parts in (*(rule.pays for rule in version.terms.rules), version.terms.default or ())
            for part in parts
        )

    @property
    def fields(self) -> frozenset[str]:
        """All fields that any rule reads: what has to be loaded for it."""
        return frozenset[str]().union(*(fields_read(rule.when) for v in self.versions for rule in v.terms.rules))

    @property
    def sieves(self) -> Sieves:
        """What tells quickly which of its rules an event may meet; each rule has a bit of its own."""
        if self._sieves is None:
            rules = (rule for version in self.versions for rule in version.terms.rules)
            self._sieves = Sieves(zip(self._bits.values(), (rule.when for rule in rules), strict=True), self.around)
        return self._sieves

    def along(self, account_ids: Sequence[int], tags: frozenset[str], service: int, zone_id: int) -> Rules | None:
        """The rules along a chain (the line's account first) for a kind of event; None where nobody says anything.

        First what is fixed, from the root down; then the others, from the line's account up; in each in their order.
        """
        own = tuple(account_id for account_id in account_ids if account_id in self._by_account)
        if not own:
            return None
        around = self.around_of(account_ids)
        key = (own, around.homes, tags, service, zone_id)
        try:
            return self._rules[key]
        except KeyError:
            if len(self._rules) >= KINDS_KEPT:
                self._rules.clear()
            kind = Context(service, zone_id, 0, NEVER, tags=tags)
            found = self._rules[key] = self._find(own, kind, around)
            return found

    def around_of(self, account_ids: Sequence[int]) -> Surroundings:
        """What conditions refer to along a chain: where its lines are at home is the nearest account's matter."""
        having = tuple(account_id for account_id in account_ids if account_id in self._homes) if self._homes else ()
        if not having:
            return self.around
        found = self._arounds.get(having)
        if found is None:
            found = self._arounds[having] = replace(self.around, homes=_nearest([self._homes[one] for one in having]))
        return found

    def listed(self, account_ids: Sequence[int], at: datetime) -> list[tuple[StandingVersion, int, SteeringRule]]:
        """All rules along a chain that hold at an instant, in the order in which they are asked; for explanations."""
        own = [account_id for account_id in account_ids if account_id in self._by_account]
        return [
            (version, number, rule)
            for is_fixed, accounts in ((True, own[::-1]), (False, own))
            for account_id in accounts
            for version in self._by_account[account_id]
            if version.starts <= at < version.ends
            for number, rule in enumerate(version.terms.rules, start=1)
            if rule.is_fixed is is_fixed
        ]

    def outcome(self, version: StandingVersion, number: int, rule: SteeringRule) -> Outcome:
        """The outcome of a rule; one and the same for all kinds of events."""
        found = self._outcomes.get((version.id, number))
        if found is None:
            found = self._outcomes[version.id, number] = version.outcome_of(number, rule)
        return found

    def _find(self, own: tuple[int, ...], kind: Context, around: Surroundings) -> Rules:
        candidates: list[Candidate] = []
        for is_fixed, accounts in ((True, tuple(reversed(own))), (False, own)):
            for account_id in accounts:
                for version in self._by_account[account_id]:
                    for number, rule in enumerate(version.terms.rules, start=1):
                        if rule.is_fixed is not is_fixed:
                            continue
                        left = settle(rule.when, self.around, kind)
                        if left is not False:
                            outcome = self.outcome(version, number, rule)
                            node, bit = None if left is True else left, self._bits[version.id, number]
                            candidates.append(Candidate(bit, version, outcome, node))
        versions = [version for account_id in own for version in self._by_account[account_id]]
        return Rules(
            candidates,
            [version for version in versions if version.terms.default is not None],
            [version for version in versions if version.terms.missing is not None],
            self.sieves,
            around,
        )


def _nearest(chain: Sequence[Sequence[tuple[datetime, Home | None]]]) -> tuple[tuple[datetime, Home | None], ...]:
    """The homes of a chain from its nearest account up, each since when: who has none of its own has that above."""
    arounds = [Surroundings(homes=tuple(homes)) for homes in chain]
    return tuple(
        (since, next((home for around in arounds if (home := around.home_at(since)) is not None), None))
        for since in sorted({since for homes in chain for since, _ in homes})
    )
