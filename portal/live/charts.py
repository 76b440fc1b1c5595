"""Charts as SVG paths: small enough to be pushed, and drawn in the page's own colours, light or dark.

Owns: geometry. Pure: takes numbers and instants, gives path data in a box of WIDTH x HEIGHT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from balances.pace import Outlook
from balances.periods import Period
from balances.selectors.overview import ServiceOverview

WIDTH, HEIGHT = 320, 96
BAR_GAP = 0.22


def _points(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) if points else ""


@dataclass(frozen=True, slots=True)
class BurnDown:
    """Paths: what was left, day by day; the area under it; where it leads at the present pace; a dot for now."""

    left: str
    area: str
    projection: str
    now: str


def burn_down(service: ServiceOverview, cycle: Period, now: datetime) -> BurnDown:
    """The chart of a service that something is held of; without, what was used adds up instead."""
    span = (cycle.ends_at - cycle.starts_at).total_seconds()
    instants = [day.starts_at for day in service.days] + [now]
    values = service.left_by_day() if service.held_units else _adding_up(service)
    top = service.held_units or max(values[-1], 1)

    def place(instant: datetime, value: float) -> tuple[float, float]:
        x = (instant - cycle.starts_at).total_seconds() / span * WIDTH
        return min(max(x, 0), WIDTH), HEIGHT - min(max(value, 0) / top, 1) * HEIGHT

    line = [place(instant, value) for instant, value in zip(instants, values, strict=True)]
    now_x, now_y = line[-1]
    projection = ""
    if service.held_units and service.estimate.units_per_day:
        pace = service.estimate.units_per_day
        if service.estimate.outlook == Outlook.RUNS_OUT and service.estimate.runs_out_at:
            end, value = service.estimate.runs_out_at, 0.0
        else:
            end = cycle.ends_at
            value = values[-1] - pace * ((end - now) / timedelta(days=1))
        projection = _points([(now_x, now_y), place(end, value)])
    area = _points([*line, (now_x, HEIGHT), (line[0][0], HEIGHT)]) + "Z"
    return BurnDown(_points(line), area, projection, f"M{now_x:.1f},{now_y:.1f}h0.01")


def _adding_up(service: ServiceOverview) -> list[int]:
    values = [0]
    for day in service.days:
        values.append(values[-1] + day.units)
    return values


def bars(values: Sequence[int], places: int) -> str:
    """One path of bars for `values`, in a row with room for `places`."""
    most = max(values, default=0)
    if not most or not places:
        return ""
    step = WIDTH / places
    paths = []
    for place, value in enumerate(values):
        if not value:
            continue
        height = max(value / most * HEIGHT, 1)
        left, right = (place + BAR_GAP / 2) * step, (place + 1 - BAR_GAP / 2) * step
        paths.append(f"M{left:.1f},{HEIGHT}V{HEIGHT - height:.1f}H{right:.1f}V{HEIGHT}Z")
    return "".join(paths)
