"""Limits in words: amounts, places, windows, what happens beyond. Pure formats, for screens and messages."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from balances.pace import Estimate, Outlook
from policies.decision import Action
from policies.marks import Standing
from policies.models import Limit, Measure, RestrictionAction, Window
from policies.selectors import LimitState
from policies.stopping import Room
from portal import figures

WINDOW_WORDS = {
    Window.DAY: "each day",
    Window.WEEK: "each week",
    Window.CYCLE: "each billing cycle",
    Window.SLIDING_24H: "in any 24 hours",
    Window.LIFETIME: "once and for all",
}
BEYOND_WORDS = {
    Action.NOTIFY: "people are told, it runs on",
    Action.OVERAGE: "it runs on at the overage rate",
    Action.THROTTLE: "the line is slowed down",
    Action.BLOCK_NEW: "new usage is blocked",
    Action.STOP_NOW: "usage stops at once",
    Action.CONSENT: "usage stops until somebody consents",
    Action.SUSPEND: "the line is suspended for every service",
    Action.STEER_PERSONAL: "the rest is left to the person",
}
#: The same, to who uses the line.
MINE_WORDS = {
    Action.NOTIFY: "people are told, and it runs on",
    Action.OVERAGE: "it runs on, and costs your company more",
    Action.THROTTLE: "your line is slowed down",
    Action.BLOCK_NEW: "nothing new can be begun; what runs may end",
    Action.STOP_NOW: "it stops at once",
    Action.CONSENT: "it stops until somebody agrees to more",
    Action.SUSPEND: "your line stops for every service",
    Action.STEER_PERSONAL: "you pay the rest yourself",
}
ROOM_WORDS = {
    Room.ROOM: ("ok", "circle-check", "there is room"),
    Room.NEAR: ("near", "triangle-alert", "nearly used up"),
    Room.USED_UP: ("used-up", "circle-slash", "used up"),
}
RESTRICTION_WORDS = {
    RestrictionAction.THROTTLE: "slowed down",
    RestrictionAction.BLOCKED: "blocked",
    RestrictionAction.REDIRECTED: "stopped until somebody agrees to more",
    RestrictionAction.SUSPENDED: "suspended",
}
STANDING_BADGES = {
    Standing.OK: ("ok", "circle-check"),
    Standing.WATCH: ("watch", "eye"),
    Standing.NEAR: ("near", "triangle-alert"),
    Standing.USED_UP: ("used-up", "circle-slash"),
    Standing.OVER: ("over", "octagon-alert"),
    Standing.RESTRICTED: ("over", "octagon-alert"),
}


def amount(limit: Limit, figure: int | None, currency: str) -> str:
    """An amount in the limit's measure: 5 GiB, €50.00."""
    if figure is None:
        return "no bound"
    if limit.measure == Measure.MONEY:
        return figures.money(figure, currency)
    return figures.quantity(figure, limit.service or 0)


def counted(limit: Limit) -> str:
    """What is counted, and where: Data abroad."""
    what = figures.SERVICE_WORDS[limit.service] if limit.service else "All services"
    if limit.measure == Measure.MONEY:
        what = f"Overage of {what.lower()}"
    where = " abroad" if limit.is_abroad else f" in {limit.zone.name}" if limit.zone else ""
    return what + where


def title(limit: Limit) -> str:
    """Its name, else what it counts and how often: Data abroad, each day."""
    return limit.name or f"{counted(limit)}, {window(limit)}"


def window(limit: Limit) -> str:
    """How often it begins anew."""
    return WINDOW_WORDS[Window(limit.window)]


def beyond(limit: Limit) -> str:
    """What happens beyond it."""
    return BEYOND_WORDS[Action(limit.action)]


def to_me(limit: Limit) -> str:
    """What happens beyond it, to who uses the line."""
    return MINE_WORDS[Action(limit.action)]


def of_whom(limit: Limit) -> str:
    """Who counts towards it, to one of them: all of North Field together."""
    if limit.account is not None:
        return f"all of {limit.account.name} together"
    return f"all lines with the tag “{limit.tag}” together" if limit.tag else "this line alone"


def marks(limit: Limit, currency: str) -> str:
    """The marks at which people are told: 50 %, 80 %, 4 GiB."""
    said = [f"{percent}\u00a0%" for percent in limit.percents] + [amount(limit, mark, currency) for mark in limit.marks]
    return ", ".join(said) or "none"


def effect(state: LimitState, crossed: list[str], currency: str, zone: ZoneInfo) -> list[str]:
    """What an act on a limit means at once, in sentences; `state` and `crossed` are as they would be after it."""
    limit = state.limit
    used, bound = amount(limit, state.used, currency), amount(limit, state.bound, currency)
    percent = "" if state.percent is None else f" ({state.percent} %)"
    said = [f"Used so far in this period: {used} of {bound}{percent}. That would be: {state.standing}."]
    if crossed:
        said.append(f"Already passed, and told at once: {', '.join(crossed)}.")
    ends = _until(state.ends_at, zone)
    if state.left == 0 and limit.action not in (Action.NOTIFY, Action.OVERAGE):
        said.append(f"It is used up: from the next event on, {beyond(limit)}, {ends}.")
    elif state.left is not None:
        said.append(f"{amount(limit, state.left, currency)} are left {ends}; beyond them, {beyond(limit)}.")
    return said


OUTLOOK_WORDS = {
    Outlook.USED_UP: "It is reached.",
    Outlook.TOO_EARLY: "Too early in the period to say.",
    Outlook.IDLE: "Nothing was used in this period: it lasts.",
    Outlook.LASTS: "It lasts until the period ends.",
}


def outlook(seen: Estimate | None, zone: ZoneInfo) -> str:
    """When a limit is reached at the pace of its period: It is reached Thursday, 26 Nov, 14:00. "" where unknown."""
    if seen is None:
        return ""
    if seen.runs_out_at is not None:
        return f"It is reached {figures.hour(seen.runs_out_at, zone)}."
    return OUTLOOK_WORDS[seen.outlook]


def _until(ends_at: datetime | None, zone: ZoneInfo) -> str:
    return "for good" if ends_at is None else f"until {figures.moment(ends_at, zone)}"
