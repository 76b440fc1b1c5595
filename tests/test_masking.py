"""Numbers of other parties: how far managers see them, by country, declaration and time of use."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from balances import contracts, masking
from balances.models import AuditEvent, Contract, MaskingDeclaration, SuspendedUsage, UsageRecord
from balances.selectors import charges
from portal.access import scope_of
from tests.api.client import Api, charge, read, refusal, used
from tests.cast import ACTOR, FEBRUARY, NOW, Cast

DOING = {"actor": ACTOR, "at": FEBRUARY}
NUMBER = "4930901820123"
SHOWN = "4930901820…"
CALL = {
    "service": "voice",
    "units": 60,
    "other_party": NUMBER,
    "attributes": {"called": [f"tel:+{NUMBER}", int(NUMBER)]},
}


@given(st.from_regex(r"\+?[0-9]{1,15}", fullmatch=True), st.sampled_from([3, 4]))
def test_the_last_digits_of_a_number_are_in_nothing_that_is_shown(number: str, cut: int) -> None:
    shown = masking.Mask(cut).shown(number)
    assert shown == number[:-cut] + "…"
    assert masking.Mask(None).shown(number) == masking.HIDDEN
    assert masking.FULL.shown(number) == number


@given(st.from_regex(r"[0-9]{6,15}", fullmatch=True), st.text(max_size=5), st.booleans())
def test_nor_in_what_else_the_network_said(number: str, around: str, as_text: bool) -> None:
    value = f"{around}{number}{around}" if as_text else int(f"1{number}")
    said = masking.cut_out({"a": [{number: value}], "b": None}, number, masking.Mask(3))
    assert number not in str(said)


def test_what_is_no_number_is_shown_in_full_or_not_at_all() -> None:
    assert masking.Mask(3).shown("sip:frida@example.org") == masking.HIDDEN
    assert masking.Mask(3).shown("") == ""
    assert masking.FULL.shown("INFO") == "INFO"


def test_a_country_is_never_outdone_by_a_declaration() -> None:
    assert masking.mask_of("full", "DE") == masking.FULL
    assert masking.mask_of("full", "FR") == masking.Mask(4)
    assert masking.mask_of("cut_three", "FR") == masking.Mask(4)
    assert masking.mask_of("none", "DE") == masking.Mask(None)
    assert masking.mask_of("cut_three", "") == masking.Mask(3)


@pytest.fixture
def call(cast: Cast) -> UsageRecord:
    charge(cast.aurora, used(1, **CALL))
    return UsageRecord.objects.get()


def seen_by(cast: Cast, name: str, call: UsageRecord) -> set[str]:
    """The number as the list, the detail and the screen show it."""
    api = Api.of(cast, name)
    (row,) = read(api.get("/usage-records", line=call.line_id, from_at=call.used_at.isoformat()))["results"]
    client = Client()
    client.force_login(cast.users[name])
    screen = client.get(reverse("usage", args=[call.id])).content.decode()
    texts = [str(row), api.get(f"/usage-records/{call.id}").content.decode(), screen]
    assert all((NUMBER in text) != (SHOWN in text) for text in texts), texts
    return {row["other_party"], read(api.get(f"/usage-records/{call.id}"))["other_party"]}


def test_managers_see_numbers_without_their_end_and_the_person_in_full(cast: Cast, call: UsageRecord) -> None:
    for name in ("alice", "carla", "olga"):
        assert seen_by(cast, name, call) == {SHOWN}
    assert seen_by(cast, "emil", call) == {NUMBER}
    assert UsageRecord.objects.get().other_party == NUMBER, "nothing was changed"


def test_an_employee_who_proved_nothing_sees_what_managers_see(cast: Cast, call: UsageRecord) -> None:
    cast.emil.claims.all().delete()
    assert seen_by(cast, "emil", call) == {SHOWN}


def test_the_declaration_at_the_time_of_use_decides(cast: Cast) -> None:
    first = masking.declare(enterprise=cast.aurora.enterprise, rule="full", text="Staff informed", **DOING)
    masking.end(declaration=first, actor=ACTOR, at=NOW - timedelta(days=3))
    masking.declare(
        enterprise=cast.aurora.enterprise, rule="none", text="Again", actor=ACTOR, at=NOW - timedelta(days=2)
    )
    for number, days in ((1, 5), (2, 3), (3, 1)):
        charge(cast.aurora, used(number, **CALL, started_at=(NOW - timedelta(days=days)).isoformat()))
    scope = scope_of(cast.alice)
    shown = [charges.explain(scope, usage.id).usage.other_party for usage in UsageRecord.objects.order_by("used_at")]
    assert shown == [NUMBER, SHOWN, masking.HIDDEN]


def test_one_declaration_stands_and_each_is_kept(cast: Cast) -> None:
    for rule in ("full", "none"):
        masking.declare(enterprise=cast.aurora.enterprise, rule=rule, text="Said", actor=ACTOR, at=NOW)
    assert list(MaskingDeclaration.objects.order_by("id").values_list("rule", "ended_at")) == [
        ("full", NOW),
        ("none", None),
    ]
    assert AuditEvent.objects.filter(action="masking.declared").count() == 2
    with pytest.raises(masking.MaskingRefused):
        masking.end(declaration=MaskingDeclaration.objects.earliest("id"), actor=ACTOR, at=NOW)


def test_records_in_suspense_are_cut_alike(cast: Cast) -> None:
    charge(cast.aurora, used(1, **CALL | {"service": "GPRS"}))
    address = f"/suspense/{SuspendedUsage.objects.get().id}"
    assert read(Api.of(cast, "alice").get(address))["record"]["other_party"] == SHOWN
    assert NUMBER not in Api.of(cast, "alice").get(address).content.decode()
    assert read(Api.of(cast, "olga").get(address))["record"]["other_party"] == NUMBER


def test_over_rest_the_telecoms_manager_declares_and_takes_back(cast: Cast, call: UsageRecord) -> None:
    alice, carla = Api.of(cast, "alice"), Api.of(cast, "carla")
    body = {"enterprise": cast.aurora.enterprise.id, "rule": "none", "text": "Agreed with the works council"}
    assert refusal(carla.post("/masking-declarations", body), 400)["pointer"] == "/enterprise"
    made = read(alice.post("/masking-declarations", body), 201)
    assert (made["country"], made["cut_digits"], made["ended_at"]) == ("DE", None, None)
    assert seen_by(cast, "alice", call) == {SHOWN}, "what was used before stays as it was"
    assert read(alice.post(f"/masking-declarations/{made['id']}/end"))["ended_at"]
    refusal(alice.post(f"/masking-declarations/{made['id']}/end"), 422)
    assert [row["id"] for row in read(alice.get("/masking-declarations", is_standing="false"))["results"]] == [
        made["id"]
    ]


def test_the_page_says_what_holds_and_takes_a_declaration(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice)
    address = reverse("account-masking", args=[cast.aurora.root.id])
    assert b"the last 3 digits are cut" in client.get(address).content
    sent = {"action": "declare", "declare-rule": "full", "declare-text": "Staff informed"}
    assert client.post(address, sent).status_code == 302
    assert b"shown in full" in client.get(address).content
    assert client.post(address, {"action": "end"}).status_code == 302
    assert not MaskingDeclaration.objects.filter(ended_at__isnull=True).exists()
    below = reverse("account-masking", args=[cast.aurora.accounts["NORTH"].id])
    assert client.get(below).status_code == 404


def test_a_contract_that_has_yet_to_begin_changes_nothing_before(cast: Cast, call: UsageRecord) -> None:
    begins = NOW + timedelta(days=40)
    doing = {"number": "C-2", "currency": "EUR", "cycle_anchor_day": 1, "actor": ACTOR, "at": NOW}
    Contract.objects.filter(enterprise=cast.aurora.enterprise).update(ends_at=begins)
    contracts.create_contract(enterprise=cast.aurora.enterprise, starts_at=begins, time_zone="Europe/Paris", **doing)
    masking.declare(enterprise=cast.aurora.enterprise, rule="full", text="Staff informed", actor=ACTOR, at=NOW)
    masks, number = masking.Masks([cast.aurora.enterprise.id]), cast.aurora.enterprise.id
    assert masks.country_at(number, FEBRUARY - timedelta(days=4000)) == "DE", "of the first one before any began"
    assert (masks.country_at(number, NOW), masks.at(number, NOW)) == ("DE", masking.FULL)
    assert (masks.country_at(number, begins), masks.at(number, begins)) == ("FR", masking.Mask(4))


def test_where_numbers_are_never_shown_in_full_nobody_declares_it(cast: Cast) -> None:
    Contract.objects.filter(enterprise=cast.aurora.enterprise).update(time_zone="Europe/Paris")
    with pytest.raises(masking.MaskingRefused):
        masking.declare(enterprise=cast.aurora.enterprise, rule="full", text="Said", actor=ACTOR, at=NOW)
    charge(cast.aurora, used(1, **CALL))
    shown = charges.explain(scope_of(cast.alice), UsageRecord.objects.get().id).usage.other_party
    assert shown == NUMBER[:-4] + "…"
