"""Limits by example, on the small world: 140 units of data a cycle at home, lines a and b in the north, c in the south.

What any sequence of acts comes to is the matter of `test_reference.py`; here each rule can be read.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from balances import draw_caps, proof, tags
from balances.models import Account, ChargeLine, Counter, Line
from balances.models.accounts import LineStatus
from balances.models.counters import OwnerKind
from balances.units import Service
from policies import consent, limits
from policies.models import Consent, Limit, LimitCrossing, LimitUse, Restriction, RestrictionState
from policies.proof import CHECKS
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, START, World
from tests.charging.test_pipeline import charge, charged, used

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def limit(world: World, owner: str = "N", amount: int = 100, action: str = "stop_now", at=START, **terms) -> Limit:
    """A limit on data a cycle, on an account by code, a line by name, or a #tag."""
    place = {"enterprise_id": world.enterprise.id, "tag": owner[1:]} if owner.startswith("#") else {}
    if owner in world.lines:
        place = {"line": world.lines[owner]}
    elif not place:
        place = {"account": world.accounts[owner]}
    terms = {"service": Service.DATA, "measure": "units", "window": "cycle", **terms}
    return limits.make(amount=amount, action=action, actor=ACTOR, at=at, **place, **terms)


def agree(held: Limit, *, amount: int | None, shown: consent.Shown | None = None, at=START) -> Consent:
    """Somebody consents to so much more than the limit, as it is shown to them now."""
    shown = shown or consent.shown_now(held, at)
    return consent.consent(
        limit=held, shown=shown, amount=amount, channel="portal", text_shown="More", actor=ACTOR, at=at
    )


def granted(name: str) -> tuple[int, int]:
    lines = charged(name)
    return sum(line.units for line in lines), sum(line.refused_units for line in lines)


def so_far(held: Limit) -> list[int]:
    uses = LimitUse.objects.filter(limit_id=held.first_number).order_by("period_start")
    return [use.used for use in uses]


def crossed(held: Limit) -> list[tuple[int, int]]:
    found = LimitCrossing.objects.filter(first_id=held.first_number).order_by("period_start", "level")
    return [(crossing.level, crossing.used) for crossing in found]


def sound(world: World) -> bool:
    findings = proof.prove(enterprise_id=world.enterprise.id, checks=proof.CHECKS + CHECKS)
    return [finding for finding in findings if not finding.holds] == []


def test_a_limit_that_stops_now_grants_to_the_unit_and_says_why(world: World):
    held = limit(world, amount=30)
    charge(world, used("1", "a", 20), used("2", "b", 20), used("3", "a", 5), used("4", "c", 50))
    assert [granted(name) for name in "1234"] == [(20, 0), (10, 10), (0, 5), (50, 0)]
    assert charged("2")[0].reasons.split() == ["allowance", f"limit_stop_now:{held.id}"]
    assert charged("3")[0].reasons.split() == ["refused", f"limit_stop_now:{held.id}"]
    assert so_far(held) == [30]
    assert sound(world)


def test_what_is_refused_is_neither_drawn_nor_priced_nor_counted(world: World):
    limit(world, amount=0)
    charge(world, used("1", "a", 20))
    line = charged("1")[0]
    assert (line.units, line.overage_units, line.amount_micros, line.bucket_ids) == (0, 0, 0, [])
    counter = Counter.objects.get(owner_kind=OwnerKind.LINE, owner_id=world.lines["a"].id)
    assert (counter.used_units, counter.records) == (0, 1)


def test_block_new_lets_the_event_that_crosses_through_and_none_after_it(world: World):
    held = limit(world, amount=30, action="block_new")
    charge(world, used("1", "a", 20), used("2", "b", 20), used("3", "a", 1))
    assert [granted(name) for name in "123"] == [(20, 0), (20, 0), (0, 1)]
    assert so_far(held) == [40]
    assert sound(world)


@pytest.mark.parametrize("action", ["notify", "overage", "throttle"])
def test_what_only_tells_or_slows_down_grants_all(world: World, action: str):
    limit(world, amount=10, action=action)
    charge(world, used("1", "a", 20), used("2", "a", 20))
    assert granted("2") == (20, 0)


def test_the_strictest_limit_of_the_chain_wins_and_both_cross(world: World):
    upper, lower = limit(world, "R", 15), limit(world, "N2", 15)
    charge(world, used("1", "a", 20))
    assert granted("1") == (15, 5)
    assert charged("1")[0].reasons.split()[1] == f"limit_stop_now:{lower.id}"
    assert crossed(upper) == crossed(lower) == [(8, 15), (12, 15), (15, 15)]


def test_marks_are_crossed_once_a_period_at_exactly_the_level_from_the_first_event_on(world: World):
    held = limit(world, amount=100, action="notify", percents=[80, 100], marks_at=[90])
    charge(world, used("1", "a", 80), used("2", "b", 9), used("3", "b", 1), used("4", "b", 9), used("5", "a", 1))
    assert crossed(held) == [(80, 80), (90, 90), (100, 100)]
    april = BOUNDARIES[2] + HOUR
    charge(world, used("6", "a", 96, april), at=april + HOUR)
    assert crossed(held)[3:] == [(80, 96), (90, 96)]
    assert sound(world)


def test_a_limit_made_amid_a_period_counts_what_was_used_and_crosses_what_is_passed(world: World):
    charge(world, used("1", "a", 60), used("2", "c", 60))
    held = limit(world, amount=100, percents=[50, 80])
    assert (so_far(held), crossed(held)) == ([60], [(50, 60)])
    charge(world, used("3", "a", 60))
    assert granted("3") == (40, 20)
    assert sound(world)


def test_a_limit_lowered_below_use_crosses_at_once_and_use_goes_on_counting(world: World):
    held = limit(world, amount=100, percents=[100])
    charge(world, used("1", "a", 60))
    lowered = limits.change(limit=held, amount=50, actor=ACTOR, at=START)
    assert crossed(lowered) == [(50, 60)]
    assert LimitCrossing.objects.get(limit=lowered).usage_id is None
    charge(world, used("2", "a", 1))
    assert granted("2") == (0, 1)
    raised = limits.change(limit=held, amount=70, actor=ACTOR, at=START)
    charge(world, used("3", "a", 20))
    assert granted("3") == (10, 10)
    assert (raised.first_id, raised.succeeds_id, so_far(raised)) == (held.id, lowered.id, [70])
    assert sound(world)


def test_late_usage_counts_in_its_own_window(world: World):
    held = limit(world, amount=30, window="day", at=START - 3 * DAY)
    charge(
        world, used("1", "a", 30, START - HOUR), used("2", "a", 25, START - DAY),
        used("3", "a", 10, START - DAY - HOUR), used("4", "a", 1, START - 2 * HOUR),
    )  # fmt: skip
    assert [granted(name)[0] for name in "1234"] == [30, 25, 5, 0]
    assert so_far(held) == [30, 30]
    assert sound(world)


def test_a_sliding_window_holds_its_amount_in_any_24_hours_also_for_late_usage(world: World):
    held = limit(world, amount=30, window="sliding_24h", at=START - 3 * DAY)
    charge(
        world, used("1", "a", 20, START - 26 * HOUR), used("2", "a", 25, START - HOUR),
        used("3", "a", 20, START - 12 * HOUR), used("4", "a", 20, START - 40 * HOUR), used("5", "a", 9, START),
    )  # fmt: skip
    # 1 and 2 are 25 hours apart; 3 lies within 24 hours of both, 4 of 1 alone, 5 of 2 and of what 3 was granted.
    assert [granted(name)[0] for name in "12345"] == [20, 25, 5, 10, 0]
    pipeline.forget_everything()
    charge(world, used("6", "a", 9, START + 13 * HOUR), at=START + 14 * HOUR)
    assert granted("6") == (5, 4)
    assert sum(so_far(held)) == 65
    assert sound(world)


def test_a_week_begins_on_monday_and_a_lifetime_never_again(world: World):
    monday = START + timedelta(hours=11)  # midnight of Monday, 16 March, in Berlin
    weekly = limit(world, "b", 30, window="week")
    for_good = limit(world, "a", 30, window="lifetime")
    charge(
        world, used("1", "b", 25, START), used("2", "b", 25, monday), used("3", "a", 25, START),
        used("4", "a", 25, monday), at=monday + HOUR,
    )  # fmt: skip
    assert [granted(name)[0] for name in "1234"] == [25, 25, 25, 5]
    assert (so_far(weekly), so_far(for_good)) == ([25, 25], [30])
    assert sound(world)


def test_money_is_counted_across_services_and_grants_what_costs_nothing(world: World):
    held = limit(world, "R", 400_000, measure="money", service=None)
    charge(world, used("1", "a", 55, service="voice"), used("2", "a", 500, network="310"))
    # 50 of voice are allowed, 5 cost 5,000; data in the rest of the world costs 90,000 a seven: 395,000 buy 30.
    assert granted("1") == (55, 0)
    assert granted("2") == (30, 470)
    charge(world, used("3", "a", 150), used("4", "b", 1, service="messaging"))
    assert granted("3")[0] == 140 + (400_000 - sum(so_far(held)) > 0) * 0 + _cheap(world)
    assert granted("4") == (0, 1)
    assert so_far(held)[0] <= 400_000
    assert sound(world)


def test_money_that_cannot_buy_the_next_unit_restricts_the_line(world: World):
    held = limit(world, "R", 400_000, measure="money", service=None)
    charge(world, used("1", "a", 55, service="voice"), used("2", "a", 500, network="310"))
    assert so_far(held)[0] < 400_000
    assert [(one.line, one.service) for one in restrictions(held)] == [(world.lines["a"], Service.DATA)]
    charge(world, used("3", "a", 7, network="310"), used("4", "b", 140))
    assert len(restrictions(held)) == 1


def restrictions(held: Limit) -> list[Restriction]:
    return list(Restriction.objects.filter(limit=held).order_by("id"))


def test_a_restriction_that_was_lifted_is_written_again_with_the_next_refusal(world: World):
    held = limit(world, amount=30)
    charge(world, used("1", "a", 40), used("2", "a", 1))
    limits.lift(restriction=restrictions(held)[0], actor=ACTOR, at=START + HOUR)
    assert [one.state for one in restrictions(held)] == [RestrictionState.LIFTED]
    charge(world, used("3", "a", 1), used("4", "a", 1))
    assert [one.state for one in restrictions(held)] == [RestrictionState.LIFTED, RestrictionState.ACTIVE]


def test_late_usage_of_a_period_that_is_over_restricts_nobody(world: World):
    held = limit(world, amount=30, window="day")
    charge(world, used("1", "a", 40, START + HOUR), at=START + 5 * DAY)
    assert granted("1") == (30, 10)
    assert restrictions(held) == []


def test_the_end_of_an_exemption_lets_the_limit_restrict_again(world: World):
    held = limit(world, amount=30)
    charge(world, used("1", "a", 40))
    exemption = limits.exempt(
        limit=held, line=world.lines["a"], until=START + DAY, reason="Trade fair", actor=ACTOR, at=START + HOUR
    )
    charge(world, used("2", "a", 5, at=START + 2 * HOUR), at=START + DAY)
    limits.end_exemption(exemption=exemption, actor=ACTOR, at=START + 3 * HOUR)
    charge(world, used("3", "a", 5, at=START + 4 * HOUR), at=START + DAY)
    assert [granted(name) for name in "23"] == [(5, 0), (0, 5)]
    assert [one.state for one in restrictions(held)] == [RestrictionState.LIFTED, RestrictionState.ACTIVE]


def _cheap(world: World) -> int:
    """Units of data at home that the rest of the money limit bought."""
    return charged("3")[0].overage_units


def test_a_limit_abroad_leaves_home_alone(world: World):
    limit(world, "R", 10, is_abroad=True)
    charge(world, used("1", "a", 50), used("2", "a", 14, network="20801"))
    assert [granted(name)[0] for name in "12"] == [50, 10]
    assert sound(world)


def test_a_tag_counts_all_lines_that_bear_it_together_while_they_bear_it(world: World):
    tags.set_tags(line=world.lines["a"], tags=["field"], actor=ACTOR, at=START)
    charge(world, used("1", "a", 10), used("2", "c", 10))
    held = limit(world, "#field", 30)
    assert so_far(held) == [10]
    tags.set_tags(line=world.lines["c"], tags=["field"], actor=ACTOR, at=START)
    charge(world, used("3", "c", 15), used("4", "a", 15))
    assert [granted(name)[0] for name in "34"] == [15, 5]
    tags.set_tags(line=world.lines["c"], tags=[], actor=ACTOR, at=START)
    charge(world, used("5", "c", 15))
    assert granted("5") == (15, 0)
    assert sound(world)


def test_consent_lets_so_much_more_pass_in_its_period_once_for_two_who_consent_at_once(world: World):
    held = limit(world, amount=30, action="consent")
    charge(world, used("1", "a", 40))
    assert Restriction.objects.get().action == "redirected"
    told = {
        "limit": held,
        "shown": consent.shown_now(held, START),
        "channel": "portal",
        "text_shown": "0.33",
        "at": START,
    }
    first = consent.consent(amount=20, actor="user:1 Ann", **told)
    assert consent.consent(amount=20, actor="user:1 Ann", **told) == first
    with pytest.raises(consent.AlreadyConsented, match="Ann has consented to 20 units more at 2026-03-15 12:00 UTC"):
        consent.consent(amount=50, actor="user:2 Bob", **told)
    assert Restriction.objects.get().state == RestrictionState.LIFTED
    charge(world, used("2", "b", 40))
    assert granted("2") == (20, 20)
    assert [row.consents for row in Restriction.objects.order_by("id")] == [0, 1]
    consent.revoke(consent=first, actor=ACTOR, at=START)
    charge(world, used("3", "b", 1), used("4", "b", 30, BOUNDARIES[2]), at=BOUNDARIES[2] + HOUR)
    assert [granted(name)[0] for name in "34"] == [0, 30]
    assert sound(world)


def test_marks_are_reached_anew_at_their_higher_level_after_an_extension(world: World):
    held = limit(world, amount=50, action="consent", percents=[80, 100])
    charge(world, used("1", "a", 60))
    consent.extend(limit=held, shown=consent.shown_now(held, START), amount=50, actor=ACTOR, at=START)
    charge(world, used("2", "a", 60))
    assert crossed(held) == [(40, 50), (50, 50), (80, 100), (100, 100)]
    assert sound(world)


def test_an_exemption_lets_a_line_pass_until_it_ends_and_its_use_counts(world: World):
    held = limit(world, amount=10)
    exemption = limits.exempt(
        limit=held, line=world.lines["a"], until=START + DAY, reason="Fair", actor=ACTOR, at=START - 2 * HOUR
    )
    charge(world, used("1", "a", 20), used("2", "b", 1), used("3", "a", 5, START + DAY), at=START + 2 * DAY)
    assert [granted(name)[0] for name in "123"] == [20, 0, 0]
    assert charged("1")[0].reasons.split()[1] == f"exempt:{exemption.id}"
    assert sound(world)


def test_an_emergency_call_is_granted_whatever_stands(world: World):
    limit(world, amount=0, service=Service.VOICE)
    world.accept([used("1", "a", 20, service="voice"), used("2", "a", 20, service="voice")], START)
    with connection.cursor() as cursor:
        _call(cursor, "112")
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    assert granted("1") == granted("2") == (20, 0)
    assert charged("1")[0].reasons.split()[1] == "emergency"
    assert sound(world)


def _call(cursor, number: str) -> None:
    """Let all waiting records be calls of a number."""
    from portal.charging.records import decode_payload, encode_payload

    cursor.execute("SELECT id, payload FROM balances_usagepart WHERE state = 'queued'")
    for part_id, payload in cursor.fetchall():
        usages = decode_payload(payload)
        for usage in usages:
            usage.other_party = number
        cursor.execute("UPDATE balances_usagepart SET payload = %s WHERE id = %s", [encode_payload(usages), part_id])


def test_an_executives_conference_runs_on_within_the_grace(world: World):
    tags.set_tags(line=world.lines["a"], tags=["executive"], actor=ACTOR, at=START)
    april = BOUNDARIES[2] + HOUR
    limit(world, amount=60, service=Service.VIDEO_CONFERENCING, grace_units=60)
    charge(
        world, used("1", "a", 180, april, service="video_conferencing"),
        used("2", "a", 60, april, service="video_conferencing"), at=april + HOUR,
    )  # fmt: skip
    assert [granted(name)[0] for name in "12"] == [120, 0]
    assert "grace" in charged("1")[0].reasons.split()
    assert sound(world)


def test_restrictions_are_written_once_a_line_and_end_with_the_period(world: World):
    held = limit(world, amount=10, action="throttle")
    charge(world, used("1", "a", 20), used("2", "a", 20), used("3", "b", 1))
    rows = Restriction.objects.order_by("id")
    assert [(row.line_id, row.action, row.until) for row in rows] == [
        (world.lines[name].id, "throttle", BOUNDARIES[2]) for name in "ab"
    ]
    assert limits.lift_due(at=BOUNDARIES[2]) == 2
    assert held.restrictions.filter(state="lifted").count() == 2


def test_suspension_restricts_every_service(world: World):
    limit(world, amount=10, action="suspend")
    charge(world, used("1", "a", 20))
    assert (Restriction.objects.get().service, Restriction.objects.get().action) == (None, "suspended")


def test_nothing_is_restricted_before_it_is_approved_where_that_is_wanted(world: World):
    limit(world, amount=10, needs_approval=True)
    charge(world, used("1", "a", 20))
    assert granted("1") == (20, 0)
    waits = Restriction.objects.get()
    assert waits.state == "pending"
    limits.approve(restriction=waits, actor=ACTOR, at=START)
    charge(world, used("2", "a", 20))
    assert granted("2") == (0, 20)


def test_a_retired_limit_stops_nobody_and_lifts_what_it_restricted(world: World):
    held = limit(world, amount=10)
    charge(world, used("1", "a", 20))
    limits.retire(limit=held, actor=ACTOR, at=START)
    charge(world, used("2", "a", 20))
    assert granted("2") == (20, 0)
    assert Restriction.objects.get().state == "lifted"
    assert sound(world)


def test_a_session_is_decided_stretch_by_stretch_each_in_its_own_window(world: World):
    held = limit(world, amount=25)
    april = BOUNDARIES[2]
    charge(world, used("1", "a", 60, april - HOUR, until=april + HOUR), at=april + DAY)
    assert [(line.units, line.refused_units) for line in charged("1")] == [(25, 5), (25, 5)]
    assert so_far(held) == [25, 25]
    assert sound(world)


def test_another_worker_goes_on_where_the_first_stood(world: World):
    held = limit(world, amount=30, percents=[50, 100])
    for number in range(4):
        charge(world, used(str(number), "a", 9))
        pipeline.forget_everything()
    assert [granted(str(number))[0] for number in range(4)] == [9, 9, 9, 3]
    assert crossed(held) == [(15, 18), (30, 30)]
    assert ChargeLine.objects.count() == 4
    assert sound(world)


@pytest.mark.parametrize("damage", ["used + 1", "used - 1"])
def test_use_that_is_not_what_was_charged_is_found(world: World, damage: str):
    limit(world, amount=30)
    charge(world, used("1", "a", 20))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE policies_limituse SET used = {damage}")
    broken = [finding.check.name for finding in proof.prove(checks=CHECKS) if not finding.holds]
    assert broken == ["limit-use-is-charge-lines"]


def test_a_money_limit_knows_what_a_cap_keeps_from_the_line(world: World):
    """Units enough lie above, but only 20 may be drawn: what comes after them costs; the limit has room for 9 of it."""
    draw_caps.set_cap(account=world.accounts["N1"], service=Service.DATA, units=20, actor=ACTOR, at=START)
    held = limit(world, amount=3_000, measure="money", service=None)
    charge(world, used("1", "a", 60))
    line = charged("1")[0]
    assert (line.units, line.refused_units, line.overage_units, line.amount_micros) == (29, 31, 9, 3_000)
    assert so_far(held) == [3_000]
    assert sound(world)


def test_a_limit_that_stops_cannot_be_consented_away(world: World):
    held = limit(world, amount=30)
    with pytest.raises(limits.LimitRefused, match="does not ask"):
        agree(held, amount=5)


@pytest.mark.parametrize(("owner", "said"), [("N1", "is closed"), ("a", "is retired")])
def test_what_is_out_of_use_gets_no_limit(world: World, owner: str, said: str):
    Account.objects.filter(code="N1").update(closed_at=START)
    Line.objects.update(status=LineStatus.RETIRED)
    with pytest.raises(limits.LimitRefused, match=said):
        limit(world, owner)


@pytest.mark.parametrize("turned", ["the period", "the limit"])
def test_what_was_shown_has_to_hold_still(world: World, turned: str):
    held = limit(world, amount=30, action="consent")
    shown, at = consent.shown_now(held, START), START
    if turned == "the period":
        at = BOUNDARIES[2]
    else:
        limits.change(limit=held, amount=20, actor=ACTOR, at=START)
    with pytest.raises(consent.Outdated, match="look at"):
        agree(held, amount=5, shown=shown, at=at)
    agree(Limit.objects.get(retired_at=None), amount=5, at=at)


def test_a_sliding_window_takes_consents_one_after_another_though_it_moves_on(world: World):
    held = limit(world, amount=10, action="consent", window="sliding_24h")
    charge(world, used("1", "a", 40))
    given = [agree(held, amount=5, at=START + timedelta(minutes=minutes)) for minutes in (0, 20, 40)]
    assert [one.number for one in given] == [1, 2, 3]
    charge(world, used("2", "a", 40, START + HOUR), at=START + HOUR)
    assert granted("2") == (15, 25)


def test_a_revoked_consent_restricts_again_with_the_next_refusal(world: World):
    held = limit(world, amount=30, action="consent")
    charge(world, used("1", "a", 40))
    given = agree(held, amount=20)
    charge(world, used("2", "a", 5))
    assert not Restriction.objects.exclude(state="lifted").exists()
    consent.revoke(consent=given, actor=ACTOR, at=START)
    charge(world, used("3", "a", 1))
    assert granted("3") == (0, 1)
    assert Restriction.objects.exclude(state="lifted").get().line == world.lines["a"]
    assert sound(world)


def test_what_is_over_says_so_the_second_time(world: World):
    held = limit(world, amount=30, action="consent")
    charge(world, used("1", "a", 40))
    given, doing = agree(held, amount=20), {"actor": ACTOR, "at": START}
    until = START + DAY
    exemption = limits.exempt(limit=held, line=world.lines["b"], until=until, reason="Fair", **doing)
    for act, thing in (
        (consent.revoke, given),
        (limits.lift, Restriction.objects.get()),
        (limits.end_exemption, exemption),
    ):
        name = {"revoke": "consent", "lift": "restriction", "end_exemption": "exemption"}[act.__name__]
        if name != "restriction":  # the consent lifted it
            act(**{name: thing}, **doing)
        with pytest.raises(limits.LimitRefused, match="already"):
            act(**{name: thing}, **doing)
