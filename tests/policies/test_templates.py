"""Ready-made policies: built in, changed by an operator, its own; what enterprises then begin with."""

from __future__ import annotations

import pytest

from balances.errors import Refused
from balances.models import AuditEvent
from policies import publishing, templates
from policies.models import Limit, PolicyTemplate
from policies.regulation import TEMPLATES
from policies.rules import rules_from_json
from tests.cast import ACTOR, NOW, Cast

pytestmark = pytest.mark.django_db

DOING = {"actor": ACTOR, "at": NOW}
STOP = [{"name": "Stop", "when": "service is data and roaming is yes", "beyond": {}, "action": "stop_now"}]
LOWER = [{"name": "Roaming", "service": "data", "is_abroad": True, "amount": 30_000_000, "percents": [100, 80]}]


def drafted(cast: Cast, key: str):
    return publishing.create_from_template(account=cast.aurora.accounts["NORTH"], template=key, **DOING)


@pytest.mark.parametrize("key", TEMPLATES)
def test_what_is_built_in_could_be_written_by_an_operator(cast: Cast, key: str):
    shown = templates.of_operator(cast.operator.id)[key]
    limits = [{name: getattr(terms, name) for name in terms.__slots__} for terms in shown.limits]
    kept = templates.save(
        operator=cast.operator, key=key, name=shown.name, source=shown.source, note=shown.note,
        rules=list(shown.rules), limits=limits, **DOING,
    )  # fmt: skip
    assert rules_from_json(list(kept.rules)) == rules_from_json(list(shown.rules))
    assert kept.limits == shown.limits


def test_a_changed_template_is_what_enterprises_begin_with_from_then_on(cast: Cast):
    before = drafted(cast, "eu-roaming")
    Limit.objects.all().delete()
    templates.save(operator=cast.operator, key="eu-roaming", name="EU", rules=STOP, limits=LOWER, **DOING)
    after = drafted(cast, "eu-roaming")
    assert [rule["action"] for rule in after.rules] == ["stop_now"]
    limit = Limit.objects.get()
    assert (limit.amount, limit.percents, limit.is_abroad, limit.action) == (30_000_000, [80, 100], True, "notify")
    before.refresh_from_db()
    assert [rule["action"] for rule in before.rules] == ["consent"]
    assert templates.reset(operator=cast.operator, key="eu-roaming", **DOING) == TEMPLATES["eu-roaming"]
    assert templates.of_operator(cast.operator.id) == {**TEMPLATES, "empty": TEMPLATES["empty"]}
    actions = AuditEvent.objects.filter(action__startswith="policy_template").order_by("id")
    assert list(actions.values_list("action", flat=True)) == ["policy_template.saved", "policy_template.reset"]


def test_what_is_not_offered_cannot_be_begun_with(cast: Cast):
    templates.save(operator=cast.operator, key="us-alerts", name="US", rules=STOP, is_offered=False, **DOING)
    assert "us-alerts" not in templates.offered_to(cast.aurora.enterprise.id)
    with pytest.raises(Refused, match="no such template to begin with; there are: eu-roaming"):
        drafted(cast, "us-alerts")


def test_an_operator_has_templates_of_its_own(cast: Cast):
    key = templates.free_key(cast.operator.id, "Trips & Sales!")
    templates.save(operator=cast.operator, key=key, name="Trips & Sales!", rules=STOP, **DOING)
    assert key == "trips-sales"
    assert templates.free_key(cast.operator.id, "trips sales") == "trips-sales-2"
    assert drafted(cast, key).policy.name == "Trips & Sales!"
    assert templates.reset(operator=cast.operator, key=key, **DOING) is None
    assert not PolicyTemplate.objects.exists()


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"key": "Big"}, "small letters"),
        ({"key": "new"}, "is not “new”"),
        ({"rules": []}, "at least one rule"),
        ({"rules": [{**STOP[0], "when": "zone is mars"}]}, "no zone “mars”"),
        ({"rules": [{**STOP[0], "when": "zone of"}]}, "rules\\[0\\]"),
        ({"name": "Roaming data in the EU"}, "already"),
        ({"limits": [{"amount": 0}]}, "limits\\[0\\]: amount"),
        ({"limits": [{"amount": 5, "measure": "units"}]}, "units are of one service"),
        ({"limits": [{"amount": 5, "service": "fax"}]}, "“fax” is no service"),
        ({"limits": [{"amount": 5, "window": "year"}]}, "“year” is no window"),
        ({"limits": [{"amount": 5, "percents": []}]}, "percents"),
        ({"limits": [{"amount": 5, "colour": 1}]}, "no “colour”"),
    ],
)
def test_a_template_that_cannot_be_is_refused_with_its_place(cast: Cast, terms: dict, said: str):
    with pytest.raises(Refused, match=said):
        templates.save(operator=cast.operator, **{"key": "mine", "name": "Mine", "rules": STOP, **terms}, **DOING)
    assert not PolicyTemplate.objects.exists()
