"""What is granted of a usage event, and which limit or rule decided it. Worked example: docs/limits.md.

Owns: the one decision that charging, the look ahead, and replay share. Pure: no Django, no clock, no I/O, no memory;
the same context and guards give the same decision, in whatever order the guards come.

A *guard* is a limit with what happens beyond it, or a rule without a limit (amount 0: everything is beyond it). Its
*room* is what it has left: amount, with what was consented to, less what was used. What a guard grants:

    notify, overage, throttle            all that is asked, also beyond the room; told, priced or slowed down
    block_new                            all if there was room before the event, else nothing (of money: what is free)
    stop_now, consent, suspend           what fits the room, and not a unit beyond
    steer_personal                       what fits the room; the rest is the person's to pay (docs/byod.md)
    a video conference of an executive   what fits the room and the guard's grace, if there was room before it

Of several guards the strictest wins: the smallest grant, then the stricter action, then the nearest owner, then the
lower id. Emergency traffic is granted whatever stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from balances.units import Service

#: The tag (or role) of lines whose video conferences have grace.
EXECUTIVE = "executive"


class Action(StrEnum):
    """What happens beyond a guard's room. The values are stored, and are parts of reason codes."""

    NOTIFY = "notify"  # people are told; nothing else
    OVERAGE = "overage"  # granted: what no allowance has is priced at the contract's rate
    THROTTLE = "throttle"  # granted; the network is told to slow the line down
    BLOCK_NEW = "block_new"  # the event that crosses is granted whole, later ones are not
    STOP_NOW = "stop_now"  # not a unit beyond
    CONSENT = "consent"  # as stop_now, until somebody consents to more
    SUSPEND = "suspend"  # as stop_now, and the line is restricted for every service
    STEER_PERSONAL = "steer_personal"  # what is beyond is the person's to pay


#: The stricter of two actions has the higher number: decides between guards that grant the same.
STRICTNESS: dict[Action, int] = {
    Action.NOTIFY: 0,
    Action.OVERAGE: 1,
    Action.THROTTLE: 2,
    Action.STEER_PERSONAL: 3,
    Action.BLOCK_NEW: 4,
    Action.CONSENT: 5,
    Action.STOP_NOW: 6,
    Action.SUSPEND: 7,
}

#: Actions that grant what lies beyond the room all the same.
LENIENT = frozenset({Action.NOTIFY, Action.OVERAGE, Action.THROTTLE})


@dataclass(slots=True)
class Context:
    """A usage event, or the stretch of one that is decided on. Treated as a value: nobody changes one.

    `units`: of the service, rounded as they are charged. `at`: time of use, aware, in the contract's time zone, so
    that its hour and weekday are civil time. `price`: the overage, in micros, that so many granted units would come to;
    never falls as units rise. Needed where a guard counts money.
    """

    service: int
    zone_id: int
    units: int
    at: datetime
    is_emergency: bool = False
    line_id: int = 0
    account_ids: tuple[int, ...] = ()  # the line's own first, the root last
    tags: frozenset[str] = frozenset()
    role: str = ""
    device: str = ""
    visited_network: str = ""
    other_party: str = ""
    attributes: Mapping[str, Any] | None = None  # of the network's message
    price: Callable[[int], int] | None = None
    # What only the question of who pays asks for; None: not known.
    person_id: int = 0  # whose line it is
    used_so_far: int | None = None  # units of the service that the company paid for the line in its cycle
    spent_so_far: int | None = None  # micros: the line's overage that the company paid in its cycle
    profile: Mapping[str, Any] | None = None  # of the subscriber

    @property
    def has_grace(self) -> bool:
        """Whether it is a video conference of an executive, which is not cut within a guard's grace."""
        return self.service == Service.VIDEO_CONFERENCING and (EXECUTIVE in self.tags or self.role == EXECUTIVE)


@dataclass(slots=True)
class Guard:
    """A limit or a rule as it stands when an event is decided. Treated as a value: nobody changes one.

    `source` and `id` name it in reasons ("limit", 17). `distance`: 0 the line itself, 1 its tags, 2 its account, and
    one more for each account above. `amount`: in units, or in micros of overage where `counts_money`; with consents;
    None: no bound (an unlimited consent). `used`: so far in the period, before this event. `grace_units`: how far an
    executive's video conference may run beyond the room (units of the service; micros where `counts_money`).
    `exempt_by`: the id of a valid exemption, which takes the guard out; `excepted_by`: that of a rule which is an
    exception to it, and does so too. `matches`: whether it applies to an event at
    all; None: to every event.
    """

    source: str
    id: int
    action: Action
    used: int = 0
    amount: int | None = 0
    distance: int = 0
    counts_money: bool = False
    grace_units: int = 0
    exempt_by: int | None = None
    excepted_by: int | None = None
    matches: Callable[[Context], bool] | None = None

    @property
    def room(self) -> int | None:
        """What is left, never negative; None: no bound."""
        return None if self.amount is None else max(self.amount - self.used, 0)

    @property
    def code(self) -> str:
        """Its reason code with its argument, as charge lines store it: `limit_stop_now:17`."""
        return f"{self.source}_{self.action}:{self.id}"

    def order(self) -> tuple[int, int, str, int]:
        """Between guards that grant the same, the least decides: stricter, nearer, lower id."""
        return -STRICTNESS[self.action], self.distance, self.source, self.id


@dataclass(slots=True)
class Decision:
    """What is granted, who decided it and why. `guard` None: nothing was beyond any guard's room.

    `beyond`: every guard whose room did not hold the event, the deciding one first. `exempted`: guards that would have
    been among them, but for a valid exemption. `asked_units` = `granted_units` + `refused_units`.
    """

    asked_units: int
    granted_units: int
    guard: Guard | None = None
    beyond: tuple[Guard, ...] = ()
    exempted: tuple[Guard, ...] = ()
    is_emergency: bool = False
    in_grace: bool = False

    @property
    def refused_units(self) -> int:
        """Units that were asked for and not granted."""
        return self.asked_units - self.granted_units

    @property
    def action(self) -> Action | None:
        """The deciding guard's action."""
        return self.guard.action if self.guard else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Codes, the deciding one first; `portal.charging.reasons` words them. Guards that only tell or price what is
        beyond them leave none: nothing was done to the event."""
        if self.is_emergency:
            return ("emergency",) if self.beyond else ()
        told = (Action.NOTIFY, Action.OVERAGE)
        codes = [guard.code for guard in self.beyond if guard.action not in told]
        for guard in self.exempted:
            if guard.action not in told:
                is_exempt = guard.exempt_by is not None
                codes.append(f"exempt:{guard.exempt_by}" if is_exempt else f"exception:{guard.excepted_by}")
        if self.in_grace:
            codes.append("grace")
        return tuple(codes)


@dataclass(slots=True)
class _Verdict:
    grant: int
    guard: Guard
    in_grace: bool = False
    rank: tuple = field(init=False)

    def __post_init__(self):
        self.rank = (self.grant, *self.guard.order())


class _Asked:
    """The event, and what it would cost; the price of the whole is worked out once."""

    def __init__(self, context: Context):
        self.context, self.units = context, context.units

    @cached_property
    def micros(self) -> int:
        """The overage of all units asked for."""
        if self.context.price is None:
            raise ValueError("a guard counts money, and the context has no price")
        return self.context.price(self.units)

    def fitting(self, room: int, *, money: bool) -> int:
        """The most units that fit into a room of units, or of micros."""
        if not money:
            return min(room, self.units)
        if self.micros <= room:
            return self.units
        price, fits, too_many = self.context.price, 0, self.units
        while too_many - fits > 1:  # price(fits) <= room < price(too_many)
            middle = (fits + too_many) // 2
            if price(middle) <= room:  # type: ignore[misc]
                fits = middle
            else:
                too_many = middle
        return fits


def decide(context: Context, guards: Iterable[Guard]) -> Decision:
    """Decide on one event against all guards along its chain; see the module's paragraph for the rules.

    Never grants more than was asked, nor less than nothing. Guards that do not match are as if they were not there.
    """
    asked = _Asked(context)
    verdicts: list[_Verdict] = []
    exempted: list[Guard] = []
    for guard in guards:
        if guard.matches is not None and not guard.matches(context):
            continue
        verdict = _judge(guard, asked)
        if verdict is None:
            continue
        if guard.exempt_by is not None or guard.excepted_by is not None:
            exempted.append(guard)
        else:
            verdicts.append(verdict)
    exempted.sort(key=Guard.order)
    if not verdicts:
        return Decision(context.units, context.units, exempted=tuple(exempted), is_emergency=context.is_emergency)
    verdicts.sort(key=lambda verdict: verdict.rank)
    beyond = tuple(verdict.guard for verdict in verdicts)
    if context.is_emergency:
        return Decision(context.units, context.units, None, beyond, tuple(exempted), is_emergency=True)
    first = verdicts[0]
    return Decision(
        context.units, first.grant, first.guard, beyond, tuple(exempted), in_grace=first.in_grace and first.grant > 0
    )


def _judge(guard: Guard, asked: _Asked) -> _Verdict | None:
    """What a guard grants of the event; None where the event fits its room whole."""
    room = guard.room
    if room is None or asked.fitting(room, money=guard.counts_money) == asked.units:
        return None
    if guard.action in LENIENT:
        return _Verdict(asked.units, guard)
    if guard.action is Action.BLOCK_NEW and room:
        return _Verdict(asked.units, guard)
    if room and guard.grace_units and asked.context.has_grace and guard.action is not Action.BLOCK_NEW:
        return _Verdict(asked.fitting(room + guard.grace_units, money=guard.counts_money), guard, in_grace=True)
    return _Verdict(asked.fitting(room, money=guard.counts_money), guard)


#: Reasons of a charge line fill 200 characters; those of the decision at most so many.
REASONS_MOST = 110


def stored_reasons(decision: Decision) -> list[str]:
    """As many reason codes as a charge line keeps, the deciding one first."""
    kept: list[str] = []
    length = 0
    for code in decision.reasons:
        if length + len(code) >= REASONS_MOST:
            break
        kept.append(code)
        length += len(code) + 1
    return kept


def is_of_decision(code: str) -> bool:
    """Whether a reason code of a charge line came from the decision."""
    return code in ("grace", "emergency") or code.startswith(("limit_", "rule_", "exempt:", "exception:"))
