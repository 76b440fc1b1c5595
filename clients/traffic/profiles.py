"""Who uses how much of what, and when: the profiles that lines are dealt from, the curve of a week, and
where trips lead.

Owns numbers only; `model` turns them into records. Sizes are per session of an average line; lines differ
from it by a lognormal factor of their own, so that a few use most.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

MIB = 1024 * 1024

#: Busyness of each hour of a day, before it is scaled so that the mean over a week is 1.
_OFFICE_DAY = (2, 1, 1, 1, 1, 3, 14, 45, 85, 100, 100, 95, 80, 88, 98, 95, 85, 66, 42, 30, 24, 18, 10, 5)
_FIELD_DAY = (2, 2, 2, 3, 10, 45, 85, 100, 95, 92, 90, 85, 70, 85, 90, 85, 65, 38, 20, 14, 10, 8, 5, 3)
_LEISURE_DAY = (8, 4, 2, 2, 2, 3, 6, 14, 26, 38, 44, 48, 50, 46, 44, 46, 50, 54, 58, 60, 58, 48, 32, 18)
_FLAT_DAY = (1,) * 24


def _week(workday: tuple[int, ...], weekend: tuple[int, ...], weekend_level: float) -> tuple[float, ...]:
    """168 hourly factors, Monday 00:00 first, with mean 1."""
    hours = list(workday) * 5 + [hour * weekend_level for hour in weekend] * 2
    mean = sum(hours) / len(hours)
    return tuple(hour / mean for hour in hours)


OFFICE_WEEK = _week(_OFFICE_DAY, _LEISURE_DAY, 0.45)
FIELD_WEEK = _week(_FIELD_DAY, _LEISURE_DAY, 0.6)
FLAT_WEEK = _week(_FLAT_DAY, _FLAT_DAY, 1.0)


@dataclass(frozen=True, slots=True)
class Habit:
    """How a profile uses one service: sessions a day, and the lognormal size of one session in the
    service's unit.
    """

    service: str
    sessions_per_day: float
    median_units: float
    sigma: float


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of line. `travellers` is the share of its lines that go abroad now and then; data of people
    names its application, one of `applications`; a data session lasts about `data_seconds`.
    """

    name: str
    share: float
    week: tuple[float, ...]
    apn: str
    travellers: float
    habits: tuple[Habit, ...]
    applications: tuple[str, ...] = ()
    data_seconds: int = 900


IDLE = "idle"
RUNAWAY = "runaway"
EXECUTIVE = "executive"
KEEN = "keen"

#: What the network says of people's data: each as often as it stands here.
APPLICATIONS = ("outlook", "outlook", "teams", "sap", "browser", "browser", "video", "social")

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "office",
            0.46,
            OFFICE_WEEK,
            "corporate",
            0.10,
            (
                Habit("data", 12, 3 * MIB, 1.6),
                Habit("voice", 2.4, 90, 1.0),
                Habit("messaging", 2.2, 1.2, 0.5),
                Habit("video_conferencing", 0.15, 1500, 0.6),
            ),
            APPLICATIONS,
        ),
        Profile(
            "field",
            0.20,
            FIELD_WEEK,
            "corporate",
            0.04,
            (
                Habit("data", 9, 2 * MIB, 1.6),
                Habit("voice", 5.0, 110, 1.0),
                Habit("messaging", 4.0, 1.2, 0.5),
            ),
            APPLICATIONS,
        ),
        Profile(
            EXECUTIVE,
            0.03,
            OFFICE_WEEK,
            "corporate",
            0.65,
            (
                Habit("data", 18, 6 * MIB, 1.6),
                Habit("voice", 5.5, 140, 1.0),
                Habit("messaging", 3.0, 1.2, 0.5),
                Habit("video_conferencing", 1.8, 2100, 0.6),
            ),
            APPLICATIONS,
        ),
        Profile(
            "machine",
            0.13,
            FLAT_WEEK,
            "m2m",
            0.0,
            (Habit("data", 6, 60 * 1024, 0.9), Habit("messaging", 0.3, 1.0, 0.3)),
        ),
        Profile("router", 0.013, FIELD_WEEK, "internet", 0.0, (Habit("data", 20, 25 * MIB, 1.3),)),
        Profile(IDLE, 1 / 6, FLAT_WEEK, "internet", 0.0, ()),
        # Nobody is dealt this one: a machine whose firmware has gone wrong and downloads the same image all
        # day.
        Profile(RUNAWAY, 0.0, FLAT_WEEK, "m2m", 0.0, (Habit("data", 360, 60 * MIB, 0.5),)),
        # Nor this one: somebody whose phone is never quiet, so that a watcher sees figures move at any hour.
        Profile(
            KEEN,
            0.0,
            FLAT_WEEK,
            "internet",
            0.0,
            (Habit("data", 900, MIB, 1.0), Habit("voice", 24, 60, 0.6), Habit("messaging", 6, 1.2, 0.5)),
            APPLICATIONS,
            data_seconds=5,
        ),
    )
}

#: Visited networks (MCC and MNC) with their weight; prices differ between the European Union and the world
#: beyond it.
EUROPEAN_NETWORKS = {
    "20801": 5,
    "23201": 5,
    "22210": 4,
    "20404": 4,
    "21401": 4,
    "26001": 4,
    "20601": 3,
    "23001": 3,
}
WORLD_NETWORKS = {
    "310410": 5,
    "22801": 4,
    "23410": 4,
    "44010": 2,
    "46000": 2,
    "52501": 1,
    "72405": 1,
    "42402": 1,
}
EUROPEAN_SHARE = 0.72


def deal(count: int, *, seed: int) -> list[str]:
    """Names of profiles for `count` lines, in shuffled order: exactly one in six is idle, the others by
    their share.
    """
    shares = {name: profile.share for name, profile in PROFILES.items() if profile.share and name != IDLE}
    idle = round(count * PROFILES[IDLE].share)
    names = [IDLE] * idle
    total, dealt, reached = sum(shares.values()), 0, 0.0
    for name, share in shares.items():
        reached += share / total * (count - idle)
        names += [name] * (round(reached) - dealt)
        dealt = round(reached)
    random.Random(f"deal:{seed}").shuffle(names)
    return names
