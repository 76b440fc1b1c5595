"""Who pays, from draft to retirement: what may change, what holds when and where, what there is to look at before."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.db.models import F

from balances.models import AuditEvent, ChargingState
from policies.models import PolicyState, Steering, SteeringVersion
from policies.steering import publishing, standing
from policies.steering.publishing import SteeringRefused
from policies.steering.rules import COMPANY_PAYS, PERSON_PAYS, REFUSE, SteeringFault
from tests.cast import ACTOR, NOW, Cast

DOING = {"actor": ACTOR, "at": NOW}
DAY = timedelta(days=1)
LATER = NOW + timedelta(days=1)
HOURS = {"name": "Office hours", "when": "weekday in (mon, tue) and time within 08:00-18:00", "pays": "corporate"}
ABROAD = {"name": "Abroad", "when": "roaming is yes", "pays": "personal"}


def drafted(cast: Cast, code: str = "NORTH", *rules: dict, **more) -> SteeringVersion:
    wanted = {"rules": list(rules) or [HOURS], **DOING, **more}
    return publishing.save_draft(account=cast.aurora.accounts[code], **wanted)


def published(cast: Cast, code: str = "NORTH", *rules: dict, **more) -> SteeringVersion:
    when = {key: more.pop(key) for key in ("effective_at",) if key in more}
    version = drafted(cast, code, *rules, **more)
    return publishing.publish(version=version, reason="agreed", **when, **DOING | {"at": more.get("at", NOW)})


def charged(cast: Cast) -> ChargingState:
    return ChargingState.objects.get(enterprise=cast.aurora.enterprise)


def test_a_draft_is_written_again_published_and_replaced_by_the_next(cast: Cast):
    ChargingState.objects.filter(enterprise=cast.aurora.enterprise).update(charge_sequence=41)
    configuration = charged(cast).configuration_version
    first = drafted(cast)
    assert drafted(cast, "NORTH", HOURS, ABROAD, default="personal").id == first.id
    first = publishing.publish(version=first, reason="agreed", **DOING)
    assert (first.state, first.effective_at, first.published_sequence) == (PolicyState.PUBLISHED, NOW, 41)
    assert (len(first.rules), first.default, first.ends_at) == (2, "personal", None)
    assert charged(cast).configuration_version > configuration
    ChargingState.objects.filter(enterprise=cast.aurora.enterprise).update(charge_sequence=57)
    second = published(cast, "NORTH", ABROAD, at=LATER)
    first.refresh_from_db()
    assert (first.state, first.ends_at, first.retired_sequence) == (PolicyState.RETIRED, LATER, 57)
    assert (second.number, second.published_sequence, Steering.objects.count()) == (2, 57, 1)
    acts = AuditEvent.objects.filter(action__startswith="steering.").values_list("action", flat=True)
    assert set(acts) == {"steering.drafted", "steering.published"}


@pytest.mark.parametrize(
    "change",
    [{"rules": []}, {"default": "personal"}, {"state": "draft"}, {"effective_at": LATER}, {"published_sequence": 99}],
)
def test_what_was_published_never_changes_not_even_by_hand(cast: Cast, change: dict):
    version = published(cast)
    with pytest.raises(DatabaseError), transaction.atomic():
        SteeringVersion.objects.filter(id=version.id).update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        SteeringVersion.objects.filter(id=version.id).delete()
    with pytest.raises(SteeringRefused, match="never changes"):
        publishing.publish(version=version, reason="again", **DOING)


def test_what_cannot_be_is_refused_and_nothing_is_left(cast: Cast):
    north = cast.aurora.accounts["NORTH"]
    with pytest.raises(SteeringFault, match=r"rules\[0\].when: there is no zone “mars”"):
        publishing.save_draft(account=north, rules=[{**HOURS, "when": "zone is mars"}], **DOING)
    with pytest.raises(SteeringFault, match="there is no list of numbers “customers”"):
        publishing.save_draft(account=north, rules=[{**HOURS, "when": "list is customers"}], **DOING)
    assert not Steering.objects.exists()
    with pytest.raises(SteeringRefused, match="says nothing"):
        publishing.publish(version=drafted(cast, rules=[]), reason="x", **DOING)
    early = NOW - timedelta(seconds=1)
    with pytest.raises(SteeringRefused, match="past"):
        publishing.publish(version=drafted(cast), effective_at=early, reason="x", **DOING)


def test_no_more_rules_hold_in_an_enterprise_than_charging_takes(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publishing, "RULES_IN_FORCE_MOST", 3)
    published(cast, "NORTH", HOURS, ABROAD)
    published(cast, "SOUTH", HOURS)
    with pytest.raises(SteeringRefused, match="At most 3 rules"):
        published(cast, "S-PLANT", ABROAD)
    assert published(cast, "NORTH", ABROAD, HOURS).number == 2  # takes the place of its own


def test_a_publication_is_taken_back_and_a_draft_in_work_stays_as_it_is(cast: Cast):
    first = published(cast)
    second = published(cast, "NORTH", ABROAD, at=LATER)
    draft = drafted(cast, "NORTH", HOURS, ABROAD, note="in work", at=LATER)
    third = publishing.undo_publication(steering=draft.steering, actor=ACTOR, at=LATER + timedelta(hours=1))
    second.refresh_from_db()
    draft.refresh_from_db()
    assert (third.number, third.rules, third.restores) == (3, first.rules, first)
    assert second.ends_at == third.effective_at == LATER + timedelta(hours=1)
    assert (draft.state, draft.number, draft.note, draft.made_at) == (PolicyState.DRAFT, 4, "in work", LATER)


def test_taking_the_first_publication_back_ends_it(cast: Cast):
    version = published(cast)
    assert publishing.undo_publication(steering=version.steering, actor=ACTOR, at=LATER) is None
    version.refresh_from_db()
    assert (version.state, version.ends_at) == (PolicyState.RETIRED, LATER)
    assert publishing.undo_publication(steering=version.steering, actor=ACTOR, at=LATER + DAY).restores == version
    draft = drafted(cast, "SOUTH")
    with pytest.raises(SteeringRefused, match="No version"):
        publishing.undo_publication(steering=draft.steering, actor=ACTOR, at=LATER)


def timeline(steering: Steering) -> list[tuple]:
    """What holds when: the rules' names, from and until, without what never held."""
    said = steering.versions.exclude(state=PolicyState.DRAFT).exclude(ends_at=F("effective_at"))
    return [([rule["name"] for rule in one.rules], one.effective_at, one.ends_at) for one in said.order_by("number")]


def test_a_version_that_was_kept_from_beginning_begins_at_its_time_once_that_is_taken_back(cast: Cast):
    week = timedelta(days=7)
    published(cast)
    published(cast, "NORTH", ABROAD, effective_at=NOW + week, at=NOW + DAY)
    third = published(cast, "NORTH", HOURS, ABROAD, at=NOW + 2 * DAY)
    draft = drafted(cast, "NORTH", at=NOW + 2 * DAY, note="in work")
    steering = third.steering
    first = publishing.undo_publication(steering=steering, actor=ACTOR, at=NOW + 3 * DAY)
    assert (first.number, first.state, first.ends_at) == (4, PolicyState.RETIRED, NOW + week)
    assert timeline(steering)[2:] == [
        (["Office hours"], NOW + 3 * DAY, NOW + week),
        (["Abroad"], NOW + week, None),
    ]
    draft.refresh_from_db()
    assert (draft.number, draft.note) == (6, "in work")
    publishing.undo_publication(steering=steering, actor=ACTOR, at=NOW + 4 * DAY)  # both at once
    assert timeline(steering)[-1] == (["Office hours", "Abroad"], NOW + 4 * DAY, None)
    assert not steering.versions.filter(effective_at__gt=NOW + 4 * DAY, ends_at=None).exists()


def test_a_version_that_would_have_begun_meanwhile_holds_once_what_kept_it_from_that_is_taken_back(cast: Cast):
    published(cast)
    second = published(cast, "NORTH", ABROAD, effective_at=NOW + 2 * DAY)
    third = published(cast, "NORTH", HOURS, ABROAD, at=NOW + DAY)
    assert publishing.comes_back(third.steering, NOW + 3 * DAY) == [second]
    back = publishing.undo_publication(steering=third.steering, actor=ACTOR, at=NOW + 3 * DAY)
    assert (back.restores, back.effective_at) == (second, NOW + 3 * DAY)


def test_the_end_of_rules_is_taken_back_with_what_was_to_follow_them(cast: Cast):
    published(cast)
    second = published(cast, "NORTH", ABROAD, effective_at=NOW + 7 * DAY, at=NOW + DAY)
    steering = second.steering
    publishing.retire(steering=steering, reason="over", actor=ACTOR, at=NOW + 2 * DAY)
    assert timeline(steering) == [(["Office hours"], NOW, NOW + 2 * DAY)]
    publishing.undo_publication(steering=steering, actor=ACTOR, at=NOW + 3 * DAY)
    assert timeline(steering)[1:] == [
        (["Office hours"], NOW + 3 * DAY, NOW + 7 * DAY),
        (["Abroad"], NOW + 7 * DAY, None),
    ]


def test_a_version_that_never_held_is_not_what_comes_back(cast: Cast):
    first = published(cast)
    published(cast, "NORTH", ABROAD, effective_at=LATER + timedelta(days=7), at=LATER)
    third = published(cast, "NORTH", HOURS, ABROAD, at=LATER)  # before the second one began
    back = publishing.undo_publication(steering=third.steering, actor=ACTOR, at=LATER + timedelta(hours=1))
    assert back.restores == first


def test_taking_back_what_was_to_follow_a_version_that_is_to_begin_brings_that_one_back(cast: Cast):
    week = timedelta(days=7)
    first = published(cast)
    second = published(cast, "NORTH", ABROAD, effective_at=NOW + week)
    third = published(cast, "NORTH", HOURS, ABROAD, effective_at=NOW + 2 * week)
    back = publishing.undo_publication(steering=third.steering, actor=ACTOR, at=LATER)
    first.refresh_from_db()
    assert (back.restores, back.effective_at, first.ends_at) == (second, NOW + week, NOW + week)


def test_a_draft_is_thrown_away_and_what_it_stood_on_with_it(cast: Cast):
    publishing.discard(version=drafted(cast), **DOING)
    assert not Steering.objects.exists()
    version = published(cast)
    publishing.discard(version=drafted(cast, "NORTH", ABROAD), **DOING)
    assert list(version.steering.versions.all()) == [version]


def test_rules_are_asked_from_above_where_they_are_fixed_and_from_below_where_not(cast: Cast):
    aurora = cast.aurora
    root = {"account": aurora.root, **DOING}
    fixed, loose = {**ABROAD, "name": "Board", "fixed": True}, {**HOURS, "name": "House"}
    version = publishing.save_draft(rules=[loose, fixed], default="personal", missing={"action": "refuse"}, **root)
    publishing.publish(version=version, reason="agreed", **DOING)
    published(cast, "NORTH", {**HOURS, "name": "North"}, {**ABROAD, "name": "Never abroad", "fixed": True})
    published(cast, "N-FIELD", {**HOURS, "name": "Field"}, missing={"action": "interim", "micros": 5})
    published(cast, "SOUTH", {**HOURS, "name": "South"})
    along = standing.inherited(aurora.accounts["N-FIELD"], NOW)
    assert [(held.rule.name, held.account.code) for held in along.rules] == [
        ("Board", "A-1000"), ("Never abroad", "NORTH"), ("Field", "N-FIELD"), ("North", "NORTH"), ("House", "A-1000")
    ]  # fmt: skip
    assert [held.number for held in along.rules] == [2, 2, 1, 1, 1]
    assert (along.default, along.default_of.steering.account) == (PERSON_PAYS, aurora.root)
    assert (along.missing.interim_micros, along.missing_of.steering.account.code) == (5, "N-FIELD")


def test_nothing_holds_before_a_version_begins_and_after_it_ends(cast: Cast):
    field = cast.aurora.accounts["N-FIELD"]
    version = published(cast, effective_at=LATER)
    publishing.retire(steering=version.steering, reason="done", actor=ACTOR, at=LATER + timedelta(days=1))
    for at, names in ((NOW, []), (LATER, ["Office hours"]), (LATER + timedelta(days=1), [])):
        along = standing.inherited(field, at)
        assert [held.rule.name for held in along.rules] == names
        assert (along.default, along.default_of, along.missing) == (COMPANY_PAYS, None, REFUSE)


def test_a_draft_is_asked_in_place_of_what_holds(cast: Cast):
    published(cast)
    draft = drafted(cast, "NORTH", ABROAD)
    along = standing.inherited(cast.aurora.accounts["N-FIELD"], NOW, instead=draft)
    assert [held.rule.name for held in along.rules] == ["Abroad"]
