"""The generator's core: reproducible, believable, and never ahead of the clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime

import pytest

from clients.traffic import model
from clients.traffic.model import Line, Traffic
from clients.traffic.profiles import IDLE, PROFILES, deal

MONDAY = int(datetime(2026, 3, 16, tzinfo=UTC).timestamp())
DAY = 86_400


def lines(count: int = 600, seed: int = 3) -> list[Line]:
    return [Line(f"491700{n:06d}", profile) for n, profile in enumerate(deal(count, seed=seed))]


def traffic(**settings) -> Traffic:
    return Traffic(
        settings.pop("lines", None) or lines(), **{"seed": 3, "prefix": "t", "slot_seconds": 600, **settings}
    )


@pytest.fixture(scope="module")
def week() -> list[model.Record]:
    return list(traffic().between(MONDAY, MONDAY + 7 * DAY))


def test_the_same_seed_gives_the_same_records_whatever_the_order_of_lines():
    forward = list(traffic().between(MONDAY, MONDAY + DAY))
    backward = list(traffic(lines=lines()[::-1]).between(MONDAY, MONDAY + DAY))
    assert forward
    assert forward == backward
    assert forward != list(traffic(seed=4).between(MONDAY, MONDAY + DAY))


def test_a_stretch_gives_the_same_records_however_it_is_cut():
    whole = list(traffic().between(MONDAY, MONDAY + DAY))
    cut = MONDAY + 7 * 600 * 5
    parts = [*traffic().between(MONDAY, cut), *traffic().between(cut, MONDAY + DAY)]
    assert whole == parts


def test_no_session_ends_outside_its_stretch(week):
    assert all(MONDAY <= record.ended < MONDAY + 7 * DAY for record in week)
    assert all(record.started <= record.ended for record in week)


def test_days_are_busy_and_nights_and_weekends_are_quiet(week):
    hours = Counter((record.ended - MONDAY) // 3600 for record in week)
    workday_noon = sum(hours[day * 24 + 10] for day in range(5)) / 5
    workday_night = sum(hours[day * 24 + 2] for day in range(5)) / 5
    sunday_noon = hours[6 * 24 + 10]
    assert workday_noon > 5 * workday_night
    assert sunday_noon < 0.6 * workday_noon


def test_one_line_in_six_is_idle(week):
    dealt = deal(600, seed=3)
    assert dealt.count(IDLE) == 100
    silent = {line.msisdn for line in lines() if line.profile == IDLE}
    assert not silent & {record.msisdn for record in week}


def test_the_deal_gives_every_line_a_known_profile_and_nobody_the_runaway():
    for count in (1, 5, 6, 60, 601):
        dealt = deal(count, seed=1)
        assert len(dealt) == count
        assert set(dealt) <= set(PROFILES) - {"runaway"}


def test_a_tenth_of_the_lines_uses_more_than_half_of_the_data(week):
    octets = defaultdict(int)
    for record in week:
        if record.service == "data":
            octets[record.msisdn] += record.units
    heaviest = sorted(octets.values(), reverse=True)[:60]
    assert sum(heaviest) > 0.5 * sum(octets.values())


def test_rate_multiplies_records_and_coarseness_keeps_volume(week):
    faster = list(traffic(rate=5).between(MONDAY, MONDAY + 7 * DAY))
    assert len(faster) == pytest.approx(5 * len(week), rel=0.05)
    coarse = list(traffic(coarseness={"messaging": 10}).between(MONDAY, MONDAY + 7 * DAY))

    def messages(records):
        return [record.units for record in records if record.service == "messaging"]

    assert len(messages(coarse)) < 0.15 * len(messages(week))
    assert sum(messages(coarse)) == pytest.approx(sum(messages(week)), rel=0.25)


def test_travellers_are_away_for_days_in_one_network_and_come_home():
    executives = [Line(f"4916{n:08d}", "executive") for n in range(30)]
    records = traffic(lines=executives).between(MONDAY, MONDAY + 60 * DAY)
    days = defaultdict(lambda: defaultdict(set))
    for record in records:
        days[record.msisdn][record.ended // DAY].add(record.visited_network)
    networks = {network for line in days.values() for day in line.values() for network in day}
    assert {"26201"} < networks
    assert networks & set(model.EUROPEAN_NETWORKS)
    assert networks & set(model.WORLD_NETWORKS)
    assert all(len(networks) == 1 for line in days.values() for networks in line.values())


def test_video_conferences_count_every_participant(week):
    conferences = [record for record in week if record.service == "video_conferencing"]
    assert conferences
    for record in conferences:
        assert record.units == (record.ended - record.started) * record.attributes["participants"]


def test_a_runaway_sim_reports_every_few_minutes():
    records = list(traffic(lines=[Line("491700000001", "runaway")]).between(MONDAY, MONDAY + DAY))
    assert 250 < len(records) < 500
    assert sum(record.units for record in records) > 10 * 1024**3


def test_some_records_are_flawed_and_some_are_repeated():
    records = list(traffic(flawed_share=0.1, repeated_share=0.1).between(MONDAY, MONDAY + 2 * DAY))
    flawed = [record for record in records if record.flaw]
    assert {record.flaw for record in flawed} == set(model.FLAWS)
    seen = Counter(record.source_record_id for record in records)
    assert 0.05 < sum(count - 1 for count in seen.values()) / len(records) < 0.15
    by_id = defaultdict(set)
    for record in records:
        by_id[record.source_record_id].add(repr(record))
    assert all(len(contents) == 1 for contents in by_id.values())


def test_a_record_reads_as_the_public_api_wants_it(week):
    record = next(record for record in week if record.service == "voice" and not record.flaw)
    mapping = model.as_mapping(record)
    assert mapping["started_at"] == datetime.fromtimestamp(record.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert mapping["units"] == record.units
    assert mapping["other_party"]


@pytest.mark.parametrize("flaw", model.FLAWS)
def test_a_flaw_shows_in_what_is_sent(week, flaw):
    record = next(record for record in week if record.service == "voice" and not record.flaw)
    sound, spoilt = model.as_mapping(record), model.as_mapping(record._replace(flaw=flaw))
    assert sum(sound[field] != spoilt[field] for field in sound) == 1
