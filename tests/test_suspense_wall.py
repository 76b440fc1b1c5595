"""What managers see of records that nobody has charged, or that a person pays, in suspense and in deliveries."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from balances.models import AuditEvent, SuspendedUsage, UsageRecord
from balances.scope import Verb
from portal.charging import concealing
from portal.models import Job
from tests import walled
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import Cast, issue_token

AT_NIGHT = "2026-03-10T22:13:44+01:00"
WAITING = {
    "service": "GPRS", "units": 777_777, "started_at": AT_NIGHT, "other_party": "4930888777666",
    "imei": "352099001761481", "attributes": {"apn": "canary.example"},
}  # fmt: skip
SECRET = ("777777", "22:13", "21:13", "4930888777666", "352099001761481", "canary.example", "4917010000001", "cdr-7")


@pytest.fixture
def row(cast: Cast) -> SuspendedUsage:
    """A record of Emil's evening whose service nobody knows, where people pay for the evening."""
    walled.steer(cast.aurora)
    charge(cast.aurora, used(7, **WAITING))
    return SuspendedUsage.objects.get()


def page(cast: Cast, name: str, address: str) -> str:
    client = Client()
    client.force_login(cast.users[name])
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def told(text: str) -> list[str]:
    return [secret for secret in SECRET if secret in text]


def test_managers_read_reason_service_and_day_and_the_operators_staff_all(cast: Cast, row: SuspendedUsage) -> None:
    alice, olga = Api.of(cast, "alice"), Api.of(cast, "olga")
    (seen,) = read(alice.get("/suspense"))["results"]
    assert (seen["reason"], seen["record"]) == ("unknown_service", {"day": "2026-03-10"})
    assert (seen["source_record_id"], seen["usage_batch"]) == (f"Record {row.id}", None)
    assert seen["suspended_at"].endswith("T00:00:00Z")
    for address in (f"/suspense/{row.id}", "/suspense"):
        assert not told(alice.get(address).content.decode())
    screens = [reverse("suspense"), reverse("suspended", args=[row.id])]
    assert not [secret for address in screens for secret in told(page(cast, "alice", address))]
    assert read(olga.get(f"/suspense/{row.id}"))["record"]["units"] == 777_777
    assert len(told(page(cast, "olga", screens[1]))) >= 6


def test_nothing_is_found_by_what_a_record_says(cast: Cast, row: SuspendedUsage) -> None:
    alice, olga = Api.of(cast, "alice"), Api.of(cast, "olga")
    assert ids(alice.get("/suspense", source_record_id="cdr-7")) == set()
    assert ids(olga.get("/suspense", source_record_id="cdr-7")) == {row.id}
    for text in ("cdr-7", "4917010000001"):
        assert f"/suspense/{row.id}/" not in page(cast, "alice", f"{reverse('suspense')}?q={text}")
        assert f"/suspense/{row.id}/" in page(cast, "olga", f"{reverse('suspense')}?q={text}")
    on_the_day = row.suspended_at.replace(hour=23, minute=59).isoformat()
    assert ids(alice.get("/suspense", since=on_the_day)) == {row.id}, "by the day alone"
    assert ids(olga.get("/suspense", since=on_the_day)) == set()


def test_whose_when_and_how_much_only_the_operators_staff_correct(cast: Cast, row: SuspendedUsage) -> None:
    alice, olga = Api.of(cast, "alice"), Api.of(cast, "olga")
    address = f"/suspense/{row.id}/recycle"
    for field, value in (("units", "5"), ("msisdn", "4917010000004"), ("started_at", AT_NIGHT), ("imei", "")):
        refusal(alice.post(address, {"corrections": {field: value}}), 422)
    assert SuspendedUsage.objects.get().state == "open"
    assert read(alice.post(address, {"corrections": {"service": "data"}}))["state"] == "recycled"
    charge(cast.aurora, used(8, **WAITING))
    last = SuspendedUsage.objects.latest("id")
    read(olga.post(f"/suspense/{last.id}/recycle", {"corrections": {"service": "data", "units": "4444"}}))
    acts = AuditEvent.objects.filter(action="suspense.recycled").order_by("id")
    assert [act.subject for act in acts] == [f"Record {row.id}", f"Record {last.id}"]
    assert acts.last().detail["corrections"] == ["service", "units"]


def test_the_outlook_of_a_record_is_not_worked_out_for_those_who_may_not_see_it(
    cast: Cast, row: SuspendedUsage
) -> None:
    client = Client()
    client.force_login(cast.alice)
    shown = client.post(reverse("suspended-outlook", args=[row.id]), {"service": "data", "units": "1"})
    assert b"Will be charged" not in shown.content
    assert not told(shown.content.decode())


def test_deliveries_name_no_usage_that_a_person_pays(cast: Cast) -> None:
    walled.steer(cast.aurora)
    token, plain = issue_token(cast, cast.alice, Verb.INGEST, enterprise=cast.aurora.enterprise)
    batch = charge(
        cast.aurora, used(1), used(2, started_at=AT_NIGHT), used(3, **WAITING), sender=f"token:{token.id} feed"
    )
    corporate = UsageRecord.objects.get(payer=1)
    address = f"/usage-batches/{batch}/records"
    for name in ("alice", "olga"):
        first, second, third = read(Api.of(cast, name).get(address))["results"]
        assert (first["source_record_id"], first["usage_id"]) == ("cdr-1", corporate.id)
        assert (second["source_record_id"], second["usage_id"], second["outcome"]) == (None, None, "charged")
        assert (third["source_record_id"] == "cdr-3") is (name == "olga")
        assert third["suspense_id"]
    first, second, third = read(Api.bearing(plain).get(address))["results"]
    assert [row["source_record_id"] for row in (first, second, third)] == ["cdr-1", "cdr-2", "cdr-3"]
    assert (first["usage_id"], second["usage_id"]) == (corporate.id, None)


def test_a_conflict_names_no_record(cast: Cast) -> None:
    charge(cast.aurora, used(1), used(1, units=4))
    assert not any(character.isdigit() for character in SuspendedUsage.objects.get().detail)


def test_rows_of_a_file_that_went_wrong_are_its_senders_to_read(cast: Cast) -> None:
    walled.steer(cast.aurora)
    job = Job.objects.create(
        operator=cast.operator, enterprise=cast.aurora.enterprise, kind="usage-file", title="March.csv",
        created_by=cast.olga, errors=[{"row": 2, "column": "msisdn", "message": "4917010000001 is no number."}],
        state="done",
    )  # fmt: skip
    assert not told(Api.of(cast, "alice").get(f"/jobs/{job.id}").content.decode())
    assert not told(page(cast, "alice", reverse("job", args=[job.id])))
    assert told(Api.of(cast, "olga").get(f"/jobs/{job.id}").content.decode())


def test_enterprises_in_which_people_pay_nothing_are_as_they_were(cast: Cast) -> None:
    both = {cast.aurora.enterprise.id, cast.borealis.enterprise.id}
    assert concealing.steered(both) == frozenset()
    walled.steer(cast.aurora)
    assert concealing.steered(both) == {cast.aurora.enterprise.id}
