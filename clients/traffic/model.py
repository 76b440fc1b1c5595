"""What happens on the lines: usage records for any stretch of time, reproducible from a seed.

Owns: how sessions fall over lines, hours and networks, how large they are, and the few records that go
wrong. Pure: reads no clock, no file, no network, and imports nothing of the portal. Time is cut into slots;
a slot's records depend only on the seed, the settings and the slot's number, so that any stretch gives the
same records however it is cut.

A record appears in the slot in which its session *ends*, as networks write them: no record ever reaches
into the future.

`rate` multiplies the number of sessions. `coarseness` of a service makes one record stand for so many
sessions, with the units of all of them: volumes stay as they are, while a history of months fits into fewer
records.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from clients.traffic.profiles import (
    EUROPEAN_NETWORKS,
    EUROPEAN_SHARE,
    EXECUTIVE,
    PROFILES,
    RUNAWAY,
    WORLD_NETWORKS,
    Habit,
    Profile,
)

DAY_SECONDS = 86_400
FLAWED_SHARE = 0.002
REPEATED_SHARE = 0.003
LONGEST_DATA_SESSION_SECONDS = 7_200
LONGEST_CALL_SECONDS = 10_800
#: Abroad people look for the hotel's Wi-Fi first.
ROAMING_DATA_FACTOR = 0.4

#: What goes wrong on the way from a switch to the portal, in equal shares.
FLAWS = ("unknown_line", "negative_units", "no_offset", "ends_before_start")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that makes traffic: its number, the name of its profile, and its device."""

    msisdn: str
    profile: str
    imei: str = ""


class Record(NamedTuple):
    """One usage record. Times are whole seconds since 1970; `flaw` names what is wrong with it, mostly
    nothing.
    """

    source_record_id: str
    service: str
    msisdn: str
    units: int
    started: int
    ended: int
    visited_network: str
    other_party: str
    imei: str
    attributes: dict[str, Any] | None
    flaw: str = ""


def as_mapping(record: Record) -> dict[str, Any]:
    """A record as the public API takes it; a flawed one shows its flaw."""
    mapping: dict[str, Any] = {
        "source_record_id": record.source_record_id,
        "service": record.service,
        "msisdn": record.msisdn,
        "units": record.units,
        "started_at": _rfc3339(record.started),
        "visited_network": record.visited_network,
        "imei": record.imei,
    }
    if record.service != "messaging":
        mapping["ended_at"] = _rfc3339(record.ended)
    if record.other_party:
        mapping["other_party"] = record.other_party
    if record.attributes:
        mapping["attributes"] = record.attributes
    if record.flaw:
        _spoil(mapping, record)
    return mapping


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _spoil(mapping: dict[str, Any], record: Record) -> None:
    if record.flaw == "unknown_line":
        mapping["msisdn"] = "49990" + record.msisdn[-8:]
    elif record.flaw == "negative_units":
        mapping["units"] = -record.units
    elif record.flaw == "no_offset":
        mapping["started_at"] = mapping["started_at"].rstrip("Z")
    else:
        mapping["ended_at"] = _rfc3339(record.started - 60)


@dataclass(frozen=True, slots=True)
class _Traits:
    """What is particular to one line, drawn once from the seed and its number."""

    line: Line
    activity: float
    volume: float
    trip_phase_days: int = 0
    trip_every_days: int = 0
    trip_days: int = 0
    destinations: tuple[str, ...] = ()

    def network(self, seconds: float, home: str) -> str:
        """The network that the line is in at a moment: trips come at intervals, each to the next
        destination.
        """
        if not self.trip_every_days:
            return home
        trip, day = divmod(int(seconds // DAY_SECONDS) + self.trip_phase_days, self.trip_every_days)
        return self.destinations[trip % len(self.destinations)] if day < self.trip_days else home


def _traits(line: Line, profile: Profile, seed: int) -> _Traits:
    if profile.name == RUNAWAY:
        return _Traits(line, activity=1.0, volume=1.0)
    drawn = random.Random(f"line:{seed}:{line.msisdn}")
    activity, volume = _spread(drawn, 0.5), _spread(drawn, 1.0)
    if profile.name not in ("office", "field", EXECUTIVE):
        volume = _spread(drawn, 0.3)
    if drawn.random() >= profile.travellers:
        return _Traits(line, activity, volume)
    return _Traits(
        line,
        activity,
        volume,
        trip_phase_days=drawn.randrange(10_000),
        trip_every_days=drawn.randint(18, 60),
        trip_days=drawn.randint(2, 9),
        destinations=tuple(_destination(drawn) for _ in range(6)),
    )


def _spread(drawn: random.Random, sigma: float) -> float:
    """A lognormal factor with mean 1."""
    return math.exp(drawn.gauss(-sigma * sigma / 2, sigma))


def _destination(drawn: random.Random) -> str:
    networks = EUROPEAN_NETWORKS if drawn.random() < EUROPEAN_SHARE else WORLD_NETWORKS
    return drawn.choices(list(networks), list(networks.values()))[0]


@dataclass(frozen=True, slots=True)
class _Crowd:
    """All lines of one profile; who acts next is drawn in proportion to `cumulative` activity. `attributes`: what the
    network says of their data, by radio.
    """

    profile: Profile
    members: list[_Traits]
    cumulative: list[float]
    attributes: list[list[dict[str, Any]]] = field(default_factory=list)


def _poisson(drawn: random.Random, mean: float) -> int:
    """A Poisson number; beyond 30 the normal distribution is close enough."""
    if mean > 30:
        return max(0, round(drawn.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), drawn.random(), 0
    while product > limit:
        product *= drawn.random()
        count += 1
    return count


class Traffic:
    """The traffic of a set of lines. Ids of records begin with `prefix`; two settings of one source need
    two prefixes.
    """

    def __init__(
        self,
        lines: Iterable[Line],
        *,
        seed: int,
        prefix: str,
        slot_seconds: int = 1,
        rate: float = 1.0,
        coarseness: Mapping[str, float] | None = None,
        home_network: str = "26201",
        time_zone: str = "Europe/Berlin",
        flawed_share: float = FLAWED_SHARE,
        repeated_share: float = REPEATED_SHARE,
    ):
        self.seed, self.prefix, self.slot_seconds, self.rate = seed, prefix, slot_seconds, rate
        self.home_network, self.zone = home_network, ZoneInfo(time_zone)
        self.flawed_share, self.repeated_share = flawed_share, repeated_share
        self.coarseness = coarseness or {}
        self.crowds = [_crowd(PROFILES[name], members, seed) for name, members in _by_profile(lines).items()]

    def __len__(self) -> int:
        """How many lines there are, idle ones included."""
        return sum(len(crowd.members) for crowd in self.crowds)

    def slot_of(self, seconds: float) -> int:
        """The number of the slot that holds a moment."""
        return int(seconds // self.slot_seconds)

    def between(self, start: float, end: float) -> Iterator[Record]:
        """The records of all whole slots in [start, end), in order of time."""
        first = -int(-start // self.slot_seconds)
        for number in range(first, self.slot_of(end)):
            yield from self.slot(number)

    def slot(self, number: int) -> list[Record]:
        """The records whose sessions end in a slot, in order of that end; repeats of some of them come
        last.
        """
        drawn = random.Random((self.seed << 64) ^ number)
        start = number * self.slot_seconds
        local = datetime.fromtimestamp(start, self.zone)
        hour = local.weekday() * 24 + local.hour
        made: list[tuple[float, str, Habit, _Crowd]] = []
        for crowd in self.crowds:
            sessions = crowd.cumulative[-1] * crowd.profile.week[hour] * self.slot_seconds / DAY_SECONDS * self.rate
            for habit in crowd.profile.habits:
                coarse = self.coarseness.get(habit.service, 1)
                count = _poisson(drawn, sessions * habit.sessions_per_day / coarse)
                made += [(drawn.random(), habit.service, habit, crowd) for _ in range(count)]
        made.sort(key=lambda item: item[:2])
        records = [
            self._record(
                drawn,
                f"{self.prefix}-{number:x}-{index}",
                int(start + moment * self.slot_seconds),
                habit,
                crowd,
            )
            for index, (moment, _, habit, crowd) in enumerate(made)
        ]
        if self.repeated_share:
            records += [record for record in records if drawn.random() < self.repeated_share]
        return records

    def _record(self, drawn: random.Random, identity: str, ended: int, habit: Habit, crowd: _Crowd) -> Record:
        chance = drawn.random
        who = crowd.members[min(bisect(crowd.cumulative, chance() * crowd.cumulative[-1]), len(crowd.members) - 1)]
        service = habit.service
        network = who.network(ended, self.home_network)
        size = habit.median_units * math.exp(habit.sigma * drawn.gauss(0, 1)) * self.coarseness.get(service, 1)
        other_party, attributes, seconds = "", None, 0  # of a message: no duration
        if service == "data":
            typical = crowd.profile.data_seconds
            size *= who.volume if network == self.home_network else who.volume * ROAMING_DATA_FACTOR
            seconds = min(LONGEST_DATA_SESSION_SECONDS, 30 + int(typical * chance() / (1.02 - chance())))
            said = crowd.attributes[chance() < 0.35]
            attributes = said[int(chance() * len(said))] if len(said) > 1 else said[0]
        elif service == "video_conferencing":
            seconds = max(1, min(LONGEST_CALL_SECONDS, int(size)))
            participants = 3 + int(chance() * 9) if crowd.profile.name == EXECUTIVE else 2 + int(chance() * 4)
            size = seconds * participants
            attributes = _PARTICIPANTS[participants]
        else:
            other_party = f"49151{int(chance() * 90_000_000) + 10_000_000}"
            if service == "voice":
                size = seconds = max(1, min(LONGEST_CALL_SECONDS, int(size)))
        units = max(1, int(size))
        flaw = ""
        if self.flawed_share and chance() < self.flawed_share:
            flaw = FLAWS[int(chance() * len(FLAWS))]
        line = who.line
        return Record(
            identity,
            service,
            line.msisdn,
            units,
            ended - seconds,
            ended,
            network,
            other_party,
            line.imei,
            attributes,
            flaw,
        )


_PARTICIPANTS = {count: {"participants": count} for count in range(2, 12)}


def _by_profile(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Lines by profile, in one fixed order: that of a configuration file changes nothing."""
    found: dict[str, list[Line]] = {name: [] for name in PROFILES}
    for line in lines:
        found[line.profile].append(line)
    return {name: sorted(members, key=lambda line: line.msisdn) for name, members in found.items() if members}


def _crowd(profile: Profile, lines: Sequence[Line], seed: int) -> _Crowd:
    members = [_traits(line, profile, seed) for line in lines]
    applications = [{"application": name} for name in profile.applications] or [{}]
    attributes = [[{"apn": profile.apn, "rat": rat, **one} for one in applications] for rat in ("LTE", "NR")]
    return _Crowd(profile, members, list(accumulate(member.activity for member in members)), attributes)
