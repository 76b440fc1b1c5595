"""Profiles of subscribers, and what fields of profiles and messages are declared to mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances import profiles
from balances.models import AuditEvent, ChargingState, DeclaredField, LineProfile
from balances.profiles import FieldRefused, ProfileRefused
from policies.conditions import Declared, Kind
from tests.cast import ACTOR, NOW, Cast

DOING = {"actor": ACTOR, "at": NOW}


def test_a_profile_is_kept_as_it_was_known_at_each_charge(cast: Cast):
    line = cast.aurora.lines["emil phone"]
    state = ChargingState.objects.filter(enterprise=line.enterprise)
    state.update(charge_sequence=10)
    before = state.get().configuration_version
    profiles.set_profile(line=line, attributes={"level": 3, "site": "Köln", "board": True}, **DOING)
    assert state.get().configuration_version > before
    state.update(charge_sequence=20)
    profiles.set_profile(line=line, attributes={"level": 4}, **DOING)
    profiles.set_profile(line=line, attributes={"level": 4}, **DOING)  # nothing new
    assert profiles.of(line) == {"level": 4}
    state.update(charge_sequence=30)
    profiles.set_profile(line=line, attributes={}, **DOING)
    assert profiles.of(line) == {}
    rows = LineProfile.objects.filter(line=line).order_by("id")
    assert [(row.added_sequence, row.removed_sequence) for row in rows] == [(10, 20), (20, 30)]
    assert AuditEvent.objects.filter(action="line.profiled").count() == 3


def test_yes_is_another_profile_than_one(cast: Cast):
    line = cast.aurora.lines["emil phone"]
    profiles.set_profile(line=line, attributes={"board": 1}, **DOING)
    profiles.set_profile(line=line, attributes={"board": True}, **DOING)
    assert profiles.of(line)["board"] is True


@pytest.mark.parametrize(
    "attributes",
    [
        [], {"a b": 1}, {"": 1}, {"x" * 61: 1}, {"a": None}, {"a": [1]}, {"a": {"b": 1}}, {"a": float("nan")},
        {"a": 2**60}, {"a": "x" * 201}, {"a": "line\nbreak"}, {f"a{n}": n for n in range(41)},
        {f"a{n}": "x" * 100 for n in range(20)}, {1: "a"},
    ],
)  # fmt: skip
def test_what_is_no_profile_is_refused(attributes):
    with pytest.raises(ProfileRefused):
        profiles.checked(attributes)


texts = st.text(max_size=70)


@given(st.sampled_from(profiles.KINDS), texts, texts, st.lists(texts, max_size=4))
def test_whatever_can_be_declared_makes_a_field_of_the_catalogue(kind, label, hint, choices):
    try:
        values = (
            profiles._printable(label, "label", "The label", profiles.LABEL_LENGTH),
            profiles._printable(hint, "hint", "The hint", profiles.HINT_LENGTH, required=False),
            profiles._choices(choices, kind),
        )
    except profiles.Refused:
        return
    assert Declared("profile.x", Kind(kind), values[0], values[1], tuple(values[2])).field.label == values[0]


def test_a_field_is_declared_once_and_no_more_than_fit(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    doing = {"operator": cast.operator, "checked": lambda: None, **DOING}
    first = profiles.declare_field(name="profile.level", kind="number", label="Level", **doing)
    again = profiles.declare_field(name="profile.level", kind="text", label="Level", choices=["A", "b "], **doing)
    assert (again.id, again.choices) == (first.id, ["a", "b"])
    longest = profiles.declare_field(name=f"attributes.{'x' * 59}", kind="text", label="Longest", **doing)
    with pytest.raises(FieldRefused, match="at most 70 characters"):
        profiles.declare_field(name=f"{longest.name}x", kind="text", label="Longer", **doing)
    profiles.withdraw_field(field=longest, checked=lambda: None, **DOING)
    monkeypatch.setattr(profiles, "DECLARED_MOST", 1)
    with pytest.raises(FieldRefused, match="at most 1"):
        profiles.declare_field(name="profile.other", kind="text", label="Other", **doing)
    for wrong in ({"name": "level"}, {"kind": "date"}, {"label": " "}, {"kind": "flag", "choices": ["a"]}):
        with pytest.raises(profiles.Refused):
            profiles.declare_field(**{"name": "profile.level", "kind": "text", "label": "L"} | wrong, **doing)
    profiles.withdraw_field(field=again, checked=lambda: None, **DOING)
    assert not DeclaredField.objects.exists()
