"""The published rules that apply to usage along a chain of accounts: loaded and compiled once a configuration version.

Owns: reading published versions, compiling their conditions, finding what is left of them for a kind of event (its
accounts, tags, service and zone), and which exceptions reach which rules. What they grant is `policies.decision`'s
matter. A version holds by the time of use, so a `RuleBook` keeps those that have ended, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from balances.models import Device, Zone
from balances.units import SERVICE_NAMES
from policies.conditions import (
    ALWAYS_TRUE,
    Node,
    Surroundings,
    changes_between,
    compile_condition,
    is_of_time,
    reads_message,
    settle,
    tests_of,
)
from policies.decision import Action, Context, Guard
from policies.models import Limit, PolicyState, PolicyVersion
from policies.rules import Rule, rules_from_json

#: A rule's number in reasons: its version's id, and its place in it, from 1.
NUMBERS = 100
NEVER = datetime.max.replace(tzinfo=UTC)
#: Chains, tags, services and zones whose rules are kept at hand.
KINDS_KEPT = 20_000
#: How far a time is looked over in which no rule by itself applies, and how many events lie between two looks.
QUIET_MOST, QUIET_EVERY = timedelta(hours=12), 64


@dataclass(slots=True)
class StandingRule:
    """A rule of a published version. `id`: version's id and number, as reasons name it."""

    id: int
    policy_id: int
    version_id: int
    number: int
    account_id: int
    rule: Rule
    starts: datetime
    ends: datetime

    def holds_at(self, at: datetime) -> bool:
        """Whether its version holds for usage of that time."""
        return self.starts <= at < self.ends


@dataclass(slots=True)
class Applied:
    """A rule as it applies to a kind of event. `matches` None: to all of it, whatever the event."""

    standing: StandingRule
    distance: int
    matches: Callable[[Any], bool] | None
    exceptions: tuple[Applied, ...] = ()

    @property
    def rule(self) -> Rule:
        return self.standing.rule

    def meets(self, context: Context) -> bool:
        """Whether it applies to an event."""
        return self.standing.holds_at(context.at) and (self.matches is None or self.matches(context))

    def excepted_by(self, context: Context, facts: LimitFacts | None = None) -> int | None:
        """The exception that takes it out, if one does."""
        for one in self.exceptions:
            if (one.rule.beyond is None or (facts is not None and facts.meant_by(one.rule))) and one.meets(context):
                return one.standing.id
        return None


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """What rules say of limits: service and zone ("" for all), window, and level of the owner."""

    service: str
    zone: str
    window: str
    owner: str

    @classmethod
    def of(cls, limit: Limit, zone_codes: dict[int, str]) -> LimitFacts:
        """The facts of a limit; of one on all abroad no zone is said."""
        owner = "line" if limit.line_id else "tag" if limit.tag else "account"
        zone = zone_codes.get(limit.zone_id, "") if limit.zone_id else ""
        return cls(SERVICE_NAMES[limit.service] if limit.service else "", zone, limit.window, owner)

    def meant_by(self, rule: Rule) -> bool:
        """Whether a rule speaks of the limit."""
        return rule.beyond is not None and rule.beyond.speaks_of(self.service, self.zone, self.window, self.owner)


@dataclass(slots=True)
class Along:
    """What applies to one kind of event: rules that stand by themselves, and rules about limits.

    `by_clock`: what is left of the former's conditions where all of them ask only what time it is.
    """

    free: list[Applied] = field(default_factory=list)
    beyond: list[Applied] = field(default_factory=list)
    by_clock: list[tuple[StandingRule, Node | None]] | None = None
    looked: int = 0

    def quiet_around(self, at: datetime) -> tuple[datetime, datetime] | None:
        """A time around `at`, when no rule by itself applies, in which none does either: nobody need ask again.

        At most half a day each way. None where rules ask more than the time; and most times where it was looked for
        lately, lest usage that jumps to and fro costs more than asking.
        """
        self.looked += 1
        if self.by_clock is None or self.looked % QUIET_EVERY != 1:
            return None
        zone = at.tzinfo
        assert isinstance(zone, ZoneInfo)
        at = at.astimezone(UTC)
        first, last = starts, ends = at - QUIET_MOST, at + QUIET_MOST
        for standing, node in self.by_clock:
            turns = [standing.starts, standing.ends]
            if node is not None:
                turns += changes_between(node, first, last, zone)
            starts = max([starts, *(turn for turn in turns if turn <= at)])
            ends = min([ends, *(turn for turn in turns if turn > at)])
        return starts, ends

    def free_guards(self, context: Context) -> list[Guard]:
        """Guards of the rules that stand by themselves and match: everything is beyond them."""
        return [
            _guard(applied, applied.rule.action, 0, 0, 0, excepted_by=applied.excepted_by(context))
            for applied in self.free
            if applied.meets(context)
        ]

    def guards_beyond(
        self, context: Context, facts: LimitFacts, *, used: int, total: int | None, counts_money: bool,
        is_approved: bool | None, exempt_by: int | None,
    ) -> list[Guard]:  # fmt: skip
        """Guards of the rules that speak of a limit and match; `is_approved` None where nothing can be approved."""
        found = []
        for applied in self.beyond:
            rule = applied.rule
            if not facts.meant_by(rule) or not applied.meets(context):
                continue
            action = rule.action if not rule.needs_approval or is_approved else Action.NOTIFY
            grace = rule.grace_percent * (total or 0) // 100 if rule.grace_percent else rule.grace_units
            guard = _guard(applied, action, used, total, grace, excepted_by=applied.excepted_by(context, facts))
            guard.counts_money, guard.exempt_by = counts_money, exempt_by
            found.append(guard)
        return found

    def lasting(self, facts: LimitFacts, at: datetime) -> list[Rule]:
        """Rules about a limit that hold for all of the event's kind, at any time of day: the network can be told.

        One that an exception may take out is decided event by event.
        """
        return [
            applied.rule
            for applied in self.beyond
            if applied.matches is None
            and not applied.exceptions
            and facts.meant_by(applied.rule)
            and applied.standing.holds_at(at)
        ]


class RuleBook:
    """All published rules of an enterprise."""

    def __init__(self, rules: Sequence[StandingRule], around: Surroundings):
        self.rules, self.around = list(rules), around
        self._by_account: dict[int, list[StandingRule]] = defaultdict(list)
        for standing in self.rules:
            self._by_account[standing.account_id].append(standing)
        self._along: dict[tuple, Along | None] = {}

    @property
    def reads_attributes(self) -> bool:
        """Whether any rule asks for attributes of the network's message."""
        return any(reads_message(standing.rule.when) for standing in self.rules)

    @classmethod
    def load(cls, enterprise_id: int, *, instead: PolicyVersion | None = None) -> RuleBook | None:
        """The published rules of an enterprise; None where it has none, which costs charging nothing.

        `instead`: a draft that is taken as if it had always held, in place of its policy's versions (for replay).
        """
        versions = PolicyVersion.objects.filter(enterprise_id=enterprise_id).exclude(state=PolicyState.DRAFT)
        if instead is not None:
            versions = versions.exclude(policy_id=instead.policy_id)
        rules = []
        for version in versions.select_related("policy").order_by("id"):
            starts, ends = version.effective_at, version.ends_at or NEVER
            if starts is not None and starts < ends:
                rules += standing_rules(version, starts, ends)
        if instead is not None:
            rules += standing_rules(instead, datetime.min.replace(tzinfo=UTC), NEVER)
        return cls(rules, surroundings(enterprise_id, [standing.rule for standing in rules])) if rules else None

    def along(self, account_ids: Sequence[int], tags: frozenset[str], service: int, zone_id: int) -> Along | None:
        """What applies along a chain (the line's account first) to a kind of event; None where nothing does."""
        key = (tuple(account_ids), tags, service, zone_id)
        try:
            return self._along[key]
        except KeyError:
            if len(self._along) >= KINDS_KEPT:
                self._along.clear()
            found = self._along[key] = self._find(account_ids, tags, service, zone_id)
            return found

    def has_rules_about(self, facts: LimitFacts) -> bool:
        """Whether any rule speaks of a limit and does more than tell."""
        told = (Action.NOTIFY, Action.OVERAGE)
        return any(facts.meant_by(standing.rule) and standing.rule.action not in told for standing in self.rules)

    def _find(self, account_ids: Sequence[int], tags: frozenset[str], service: int, zone_id: int) -> Along | None:
        kind = Context(service=service, zone_id=zone_id, units=0, at=NEVER, tags=tags)
        applied: list[Applied] = []
        exceptions: list[Applied] = []
        clocked: list[tuple[StandingRule, Node | None]] = []
        for place, account_id in enumerate(account_ids):
            for standing in self._by_account.get(account_id, ()):
                left = settle(standing.rule.when, self.around, kind)
                if left is False:
                    continue
                matches = None if left is True else compile_condition(left, self.around)
                one = Applied(standing, 2 + place, None if matches is ALWAYS_TRUE else matches)
                (exceptions if standing.rule.is_exception else applied).append(one)
                if not standing.rule.is_exception and standing.rule.beyond is None:
                    clocked.append((standing, None if left is True else left))
        asks_only_time = all(is_of_time(node) for _, node in clocked if node is not None)
        found = Along(by_clock=clocked if asks_only_time else None)
        for one in applied:
            reaching = [
                other
                for other in exceptions
                if other.distance >= one.distance and (other.rule.beyond is None or one.rule.beyond is not None)
            ]
            one.exceptions = tuple(reaching)
            (found.free if one.rule.beyond is None else found.beyond).append(one)
        return found if applied else None


def standing_rules(version: PolicyVersion, starts: datetime, ends: datetime) -> list[StandingRule]:
    """The rules of a version, as they hold in a time."""
    return [
        StandingRule(
            version.id * NUMBERS + number, version.policy_id, version.id, number, version.policy.account_id, rule,
            starts, ends,
        )
        for number, rule in enumerate(rules_from_json(version.rules), start=1)
    ]  # fmt: skip


def surroundings(enterprise_id: int, rules: Iterable[Rule]) -> Surroundings:
    """What the conditions of these rules refer to; devices only where one asks for them."""
    zones = Zone.objects.filter(operator__enterprises=enterprise_id).values_list("code", "id", "is_home")
    fields = {test.field for rule in rules for test in tests_of(rule.when)}
    devices: dict[str, tuple[str, ...]] = {}
    if fields & {"device.ownership", "device.model", "device.type"}:
        rows = Device.objects.filter(enterprise_id=enterprise_id).values_list(
            "imei", "ownership", "model", "device_type"
        )
        devices = {imei[:14]: tuple(facts) for imei, *facts in rows.iterator()}
    return Surroundings(
        {code: zone_id for code, zone_id, _ in zones},
        frozenset(zone_id for _, zone_id, is_home in zones if is_home),
        devices,
    )


def _guard(
    applied: Applied, action: Action, used: int, total: int | None, grace: int, *, excepted_by: int | None
) -> Guard:
    return Guard(
        "rule", applied.standing.id, action, used, total, applied.distance, grace_units=grace, excepted_by=excepted_by
    )
