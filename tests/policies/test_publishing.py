"""Policies from draft to retirement: what may change, what holds when, what is found in conflict."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction

from balances.models import AuditEvent, ChargingState
from policies import publishing
from policies.models import Limit, Policy, PolicyState, PolicyVersion
from policies.publishing import PolicyRefused
from policies.regulation import TEMPLATES
from policies.rules import RuleFault
from tests.cast import ACTOR, NOW

DOING = {"actor": ACTOR, "at": NOW}
LATER = NOW + timedelta(days=1)
STOP = [{"name": "Stop", "when": "service is data and roaming is yes", "action": "stop_now"}]
SLOW = [{"name": "Slow", "when": "service is data and zone is eu", "action": "throttle"}]


@pytest.fixture
def draft(cast) -> PolicyVersion:
    return publishing.create(account=cast.aurora.accounts["NORTH"], name="Abroad", rules=STOP, **DOING)


def publish(version, **more):
    return publishing.publish(version=version, **{"reason": "agreed", **DOING, **more})


def test_a_draft_is_changed_published_and_replaced_by_the_next(cast, draft):
    configuration = ChargingState.objects.get(enterprise=cast.aurora.enterprise).configuration_version
    first = publish(draft)
    assert (first.state, first.effective_at, first.ends_at) == (PolicyState.PUBLISHED, NOW, None)
    assert ChargingState.objects.get(enterprise=cast.aurora.enterprise).configuration_version > configuration
    second = publishing.save_draft(policy=first.policy, rules=SLOW, actor=ACTOR, at=LATER)
    assert publishing.save_draft(policy=first.policy, rules=SLOW + STOP, actor=ACTOR, at=LATER).id == second.id
    second = publish(second, at=LATER)
    first.refresh_from_db()
    assert (first.state, first.ends_at) == (PolicyState.RETIRED, LATER)
    assert [second.number, len(second.rules), second.ends_at] == [2, 2, None]
    acts = AuditEvent.objects.filter(action__startswith="policy.").values_list("action", flat=True)
    assert set(acts) == {"policy.created", "policy.drafted", "policy.published"}


def test_what_was_published_never_changes_not_even_by_hand(draft):
    publish(draft)
    for change in ({"rules": []}, {"reason": "x"}, {"state": PolicyState.DRAFT}, {"effective_at": LATER}):
        with pytest.raises(DatabaseError), transaction.atomic():
            PolicyVersion.objects.filter(id=draft.id).update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        PolicyVersion.objects.filter(id=draft.id).delete()
    with pytest.raises(PolicyRefused, match="never changes"):
        publish(draft)


def test_a_publication_is_taken_back_as_a_new_version_and_a_draft_in_work_is_kept(draft):
    first = publish(draft)
    second = publish(publishing.save_draft(policy=draft.policy, rules=SLOW, **DOING), at=LATER)
    publishing.save_draft(policy=draft.policy, rules=SLOW + STOP, actor=ACTOR, at=LATER)
    third = publishing.undo_publication(policy=draft.policy, actor=ACTOR, at=LATER + timedelta(hours=1))
    second.refresh_from_db()
    assert (third.number, third.rules, third.restores) == (3, first.rules, first)
    assert second.ends_at == third.effective_at
    assert draft.policy.versions.get(state=PolicyState.DRAFT).number == 4


def test_taking_back_the_first_publication_retires_the_policy(draft):
    publish(draft)
    assert publishing.undo_publication(policy=draft.policy, actor=ACTOR, at=LATER) is None
    draft.refresh_from_db()
    assert (draft.state, draft.ends_at) == (PolicyState.RETIRED, LATER)


def test_a_coming_version_that_is_taken_back_never_holds(draft):
    first = publish(draft)
    coming = publish(publishing.save_draft(policy=draft.policy, rules=SLOW, **DOING), effective_at=LATER)
    first.refresh_from_db()
    assert first.ends_at == LATER
    back = publishing.undo_publication(policy=draft.policy, actor=ACTOR, at=NOW + timedelta(hours=1))
    for version in (first, coming):
        version.refresh_from_db()
    assert first.ends_at == back.effective_at == NOW + timedelta(hours=1)
    assert coming.ends_at == coming.effective_at


def test_what_cannot_be_published_is_refused(cast, draft):
    with pytest.raises(PolicyRefused, match="past"):
        publish(draft, effective_at=NOW - timedelta(seconds=1))
    with pytest.raises(PolicyRefused, match="already"):
        publishing.create(account=draft.policy.account, name="Abroad", rules=STOP, **DOING)
    with pytest.raises(RuleFault, match="no zone “mars”"):
        publishing.save_draft(policy=draft.policy, rules=[{**STOP[0], "when": "zone is mars"}], **DOING)
    empty = publishing.save_draft(policy=draft.policy, rules=[], **DOING)
    with pytest.raises(PolicyRefused, match="no rule"):
        publish(empty)
    publishing.discard(version=empty, **DOING)
    assert not Policy.objects.exists()


def test_conflicts_with_policies_above_and_below_are_found_and_kept_those_aside_are_not(cast, draft):
    accounts = cast.aurora.accounts
    for name, code in (("Root", cast.aurora.enterprise.number), ("Field", "N-FIELD"), ("South", "SOUTH")):
        publish(publishing.create(account=accounts[code], name=name, rules=SLOW, **DOING))
    version = publish(draft)
    assert [conflict["loser"]["policy_name"] for conflict in version.conflicts] == ["Root", "Field"]
    assert all(conflict["winner"]["rule_name"] == "Stop" for conflict in version.conflicts)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_policy_from_each_template_is_ready_to_be_published(cast, template):
    version = publishing.create_from_template(account=cast.aurora.root, template=template, **DOING)
    made = Limit.objects.filter(account=cast.aurora.root)
    assert made.count() == len(TEMPLATES[template].limits)
    assert {limit.action for limit in made} <= {"notify"}
    assert publish(version).state == PolicyState.PUBLISHED
    again = publishing.create_from_template(account=cast.aurora.root, template=template, **DOING)
    assert again.policy.name == f"{TEMPLATES[template].name} 2"
