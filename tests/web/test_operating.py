"""The screens by which people run things: files, suspense, imports, contracts, tokens, profiles, accounts and lines."""

from __future__ import annotations

import gzip
import re
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from balances import contracts
from balances.models import (
    Account,
    Contract,
    ContractVersion,
    Enterprise,
    Line,
    LineAssignment,
    Person,
    SuspendedUsage,
    Threshold,
    UsageRecord,
)
from balances.models.contracts import VersionState
from balances.models.usage import SuspenseState
from balances.scope import Verb
from balances.units import GIB, Service
from portal.charging import ingest, pipeline
from portal.charging.columns import REQUIRED
from portal.charging.records import read_mapping
from portal.models import ApiToken, ColumnProfile, Job, Membership, User
from portal.provisioning import imports, jobs, work
from tests.cast import ACTOR, NOW, Cast, issue_token, set_rates

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_broker(settings, tmp_path, monkeypatch):
    settings.MEDIA_ROOT = tmp_path
    monkeypatch.setattr(jobs, "start", [].append)
    pipeline.forget_everything()


class Browser:
    """A user with a browser: follows redirects, returns what the page says."""

    def __init__(self, user):
        self.client = Client()
        self.client.force_login(user)
        self.status = 0

    def get(self, page: str, /, *arguments, **query) -> str:
        return self._read(self.client.get(reverse(page, args=arguments), query, follow=True))

    def post(self, page: str, /, *arguments, query: str = "", **values) -> str:
        address = reverse(page, args=arguments) + (f"?{query}" if query else "")
        return self._read(self.client.post(address, values, follow=True))

    def act(self, page: str, /, *arguments, action: str, query: str = "", **values) -> str:
        """Send the form `action` of a page, its fields prefixed with the form's name."""
        named = {f"{action}-{key}": value for key, value in values.items()}
        return self.post(page, *arguments, query=query, action=action, **named)

    def _read(self, response) -> str:
        self.status = response.status_code
        return response.content.decode()


def suspend(cast: Cast, *mappings: dict, enterprise_id: int | None) -> list[SuspendedUsage]:
    delivery = ingest.Delivery(
        operator_id=cast.operator.id,
        enterprise_id=enterprise_id,
        source_id=ingest.source(operator_id=cast.operator.id, name="Mediation"),
        accepted_by="test",
    )
    ingest.accept(delivery=delivery, usages=[read_mapping(mapping) for mapping in mappings], at=timezone.now())
    pipeline.drain(enterprise_id)
    return list(SuspendedUsage.objects.order_by("id"))


def record(number: int, **changes) -> dict:
    used = (timezone.now() - timedelta(hours=1)).isoformat()
    values = {"service": "data", "msisdn": "4917010000001", "units": 1024, "started_at": used}
    return {"source_record_id": f"cdr-{number}"} | values | changes


def pages(cast: Cast) -> dict[str, tuple[tuple, set[str]]]:
    """Each screen: arguments, and who of the cast may see it."""
    aurora = cast.aurora
    (row, *_) = suspend(cast, record(1, units=-1), enterprise_id=aurora.enterprise.id)
    mapping = {"columns": {field: [field] for field in (*REQUIRED, "msisdn")}}
    profile = ColumnProfile.objects.create(operator=cast.operator, name="Mine", mapping=mapping)
    file = ContentFile(b"imei\n1\n", name="devices.csv")
    job = imports.upload(kind="devices", file=file, enterprise=aurora.enterprise, created_by=cast.alice)
    token, _ = issue_token(cast, cast.alice, Verb.VIEW, enterprise=aurora.enterprise)
    whole, operator = {"alice", "olga"}, {"olga"}
    of_north = {"alice", "olga", "carla"}
    return {
        "uploads": ((), {*whole, "bruno", "carla", "dora", "emil", "mallory"}),
        "upload": ((), {*whole, "bruno"}),
        "imports": ((), {*whole, "bruno"}),
        "profiles": ((), {*whole, "bruno"}),
        "profile-new": ((), operator),
        "profile": ((profile.id,), operator),
        "job": ((job.id,), whole),
        "job-progress": ((job.id,), whole),
        "suspended": ((row.id,), whole),
        "tokens": ((), {*whole, "bruno", "carla"}),
        "token-revoke": ((token.id,), whole),
        "enterprise-new": ((), operator),
        "enterprise-admin": ((aurora.enterprise.id,), operator),
        "contract-new": ((aurora.enterprise.id,), operator),
        "contract": ((aurora.contract.id,), operator),
        "version": ((aurora.version.id,), operator),
        "account-admin": ((aurora.accounts["N-SALES"].id,), of_north),
        "line-admin": ((aurora.lines["emil phone"].id,), of_north),
    }


def test_each_screen_opens_for_those_who_may_and_is_not_there_for_others(cast: Cast):
    wrong = []
    for name, (arguments, allowed) in pages(cast).items():
        for who, user in cast.users.items():
            browser = Browser(user)
            browser.get(name, *arguments)
            if (browser.status == 200) != (who in allowed) or browser.status not in (200, 404):
                wrong.append((name, who, browser.status))
    assert wrong == []


def test_the_lists_of_others_are_empty(cast: Cast):
    pages(cast)
    for user in (cast.bruno, cast.carla, cast.mallory):
        assert "Nothing is in suspense" in Browser(user).get("suspense")
        assert "No file yet" in Browser(user).get("uploads")


# --- files ----------------------------------------------------------------------------------------------------

USAGE = b"source_record_id,service,msisdn,units,started_at\n"


def test_an_uploaded_file_is_followed_to_its_outcome(cast: Cast):
    used = (timezone.now() - timedelta(hours=1)).isoformat().encode()
    rows = b"a,data,4917010000001,1024,%s\nb,data,4917099999999,1024,%s\n,data,1,1,x\n" % (used, used)
    alice = Browser(cast.alice)
    file = SimpleUploadedFile("march.csv.gz", gzip.compress(USAGE + rows))
    html = alice.act(
        "upload", action="upload", file=file, source="Mediation", profile="standard",
        enterprise=str(cast.aurora.enterprise.id),
    )  # fmt: skip
    job = Job.objects.get()
    assert "Waiting for a worker" in html
    assert "hx-get" in html

    work.turn(job.id)
    pipeline.drain(cast.aurora.enterprise.id)

    html = alice.get("job-progress", job.id)
    assert "hx-get" not in html  # it has ended: nobody asks again
    assert "source_record_id is missing" in html
    assert f"{reverse('suspense')}?enterprise={cast.aurora.enterprise.id}" in html
    assert UsageRecord.objects.count() == 1
    assert "march.csv.gz" in alice.get("uploads")


def test_an_upload_that_cannot_be_says_so_at_its_field(cast: Cast):
    alice = Browser(cast.alice)
    file = SimpleUploadedFile("x.csv", USAGE)
    html = alice.act(
        "upload", action="upload", file=file, source="M", profile="standard",
        enterprise=str(cast.borealis.enterprise.id),
    )  # fmt: skip
    assert "not one of the available choices" in html
    assert not Job.objects.exists()


def test_an_import_is_loaded_and_its_faulty_rows_are_listed(cast: Cast):
    alice = Browser(cast.alice)
    content = b"msisdn,account_code\n+49 170 5550001,N-SALES\n0170,N-SALES\n"
    enterprise_id = str(cast.aurora.enterprise.id)
    html = alice.post(
        "imports", kind="lines", enterprise=enterprise_id, **{"lines-file": SimpleUploadedFile("l.csv", content)}
    )
    assert alice.status == 200, html
    job = Job.objects.get()
    work.turn(job.id)
    html = alice.get("job", job.id)
    assert "has no country code" in html
    assert Line.objects.filter(msisdn="491705550001").exists()

    wrong = alice.post(
        "imports", kind="lines", enterprise=enterprise_id, **{"lines-file": SimpleUploadedFile("l.csv", b"a,b\n1,2\n")}
    )
    assert "lacks the columns" in wrong
    alice.post("imports", kind="lines", enterprise=str(cast.borealis.enterprise.id))
    assert alice.status == 404


def test_templates_are_downloaded_as_csv(cast: Cast):
    client = Browser(cast.alice).client
    response = client.get(reverse("import-template", args=["lines"]))
    assert response["Content-Disposition"] == 'attachment; filename="lines.csv"'
    assert response.content.startswith(b"msisdn,account_code,")


# --- suspense -------------------------------------------------------------------------------------------------


def test_many_records_are_mended_at_once(cast: Cast):
    suspend(
        cast,
        *(record(n, service="gprs") for n in range(60)),
        record(100, units=-1),
        enterprise_id=cast.aurora.enterprise.id,
    )
    alice = Browser(cast.alice)
    html = alice.get("suspense")
    assert "Unknown service <strong>60</strong>" in html
    query = "reason=unknown_service"
    assert "known are data" in alice.get("suspense", reason="unknown_service")

    html = alice.post(
        "suspense", query=query, action="bulk", all="1",
        **{"bulk-verb": "correct", "bulk-field": "service", "bulk-value": "data"},
    )  # fmt: skip
    pipeline.drain(cast.aurora.enterprise.id)

    assert "60 recycled" in html
    assert UsageRecord.objects.count() == 60
    (left,) = SuspendedUsage.objects.filter(state=SuspenseState.OPEN)
    html = alice.post("suspense", action="bulk", id=left.id, **{"bulk-verb": "write_off", "bulk-note": ""})
    assert "The note is missing" in html
    html = alice.post("suspense", action="bulk", id=left.id, **{"bulk-verb": "write_off", "bulk-note": "A refund"})
    assert "1 written off" in html
    assert "Choose at least one" in alice.post("suspense", action="bulk", **{"bulk-verb": "recycle"})


def test_one_record_is_corrected_with_a_look_ahead(cast: Cast):
    (row,) = suspend(cast, record(1, units=-5), enterprise_id=cast.aurora.enterprise.id)
    alice = Browser(cast.alice)
    html = alice.get("suspended", row.id)
    assert "Will come back: Negative units" in html
    typed = {name: row.record.get(name, "") for name in ("source_record_id", "service", "msisdn", "started_at")}

    ahead = alice.act("suspended-outlook", row.id, action="recycle", **typed, units="5000")
    assert "Will be charged" in ahead
    assert "Field sales" in ahead
    assert not UsageRecord.objects.exists()

    assert "is missing" in alice.act(
        "suspended", row.id, action="recycle", **typed | {"source_record_id": ""}, units="5"
    )
    html = alice.act("suspended", row.id, action="recycle", **typed, units="5000")
    assert "It waits to be charged" in html
    pipeline.drain(cast.aurora.enterprise.id)
    assert "see the charge" in alice.get("suspended", row.id)
    assert "Somebody else" in alice.act("suspended", row.id, action="recycle", **typed, units="9")


def test_records_of_nobodys_line_are_for_the_operator(cast: Cast):
    suspend(cast, record(1, msisdn="4917012340000"), enterprise_id=None)
    assert "Nothing is in suspense" in Browser(cast.alice).get("suspense")
    html = Browser(cast.olga).get("suspense", enterprise="none")
    assert "cdr-1" in html


# --- the operator's side --------------------------------------------------------------------------------------


def test_somebody_new_sets_a_password_once_at_the_link_that_was_handed_out(cast: Cast):
    olga, newcomer = Browser(cast.olga), Client()
    enterprise = cast.aurora.enterprise
    html = olga.act("enterprise-admin", enterprise.id, action="invite", email="cleo@example.org", role="owner")
    link = re.search(r"http://testserver(/welcome/[^/]+/[^/]+/)", html)[1]
    form = newcomer.get(link, follow=True)
    chosen = {"new_password1": "eleven-green-bottles", "new_password2": "eleven-green-bottles"}
    done = newcomer.post(form.request["PATH_INFO"], chosen, follow=True)
    assert enterprise.name in done.content.decode()
    assert "no longer works" in Client().get(link, follow=True).content.decode()
    member = Membership.objects.get(user__email="cleo@example.org")
    html = olga.post("enterprise-admin", enterprise.id, action="welcome", member=member.id)
    assert "/welcome/" not in html


def test_no_link_is_handed_out_for_somebody_who_also_belongs_elsewhere(cast: Cast):
    olga, html = Browser(cast.olga), ""
    for house in (cast.borealis, cast.aurora):
        person = User.objects.get_or_create(email="both@example.org")[0]
        Membership.objects.create(user=person, role="owner", enterprise=house.enterprise)
    Membership.objects.filter(user=cast.olga, enterprise=cast.borealis.enterprise).delete()
    member = Membership.objects.get(user__email="both@example.org", enterprise=cast.aurora.enterprise)
    html = olga.post("enterprise-admin", cast.aurora.enterprise.id, action="welcome", member=member.id)
    assert "/welcome/" not in html


def test_an_enterprise_is_set_up_from_nothing_to_a_published_contract(cast: Cast):
    olga = Browser(cast.olga)
    html = olga.act(
        "enterprise-new", action="create", operator=str(cast.operator.id), name="Cirrus SE", number="A-1000"
    )
    assert "already used" in html
    olga.act("enterprise-new", action="create", operator=str(cast.operator.id), name="Cirrus SE", number="C-3000")
    made = Enterprise.objects.get(number="C-3000")
    assert Membership.objects.filter(user=cast.olga, enterprise=made).exists()

    html = olga.act("enterprise-admin", made.id, action="invite", email="cleo@example.org", name="Cleo", role="owner")
    assert "Cleo is Telecoms manager" in html

    html = olga.act(
        "contract-new", made.id, action="contract", number="C-1", time_zone="Europe/Berlin",
        starts_at="2026-03-01T00:00", cycle_anchor_day="1", currency="eur", late_usage_days="90",
    )  # fmt: skip
    version = ContractVersion.objects.get(enterprise=made)
    assert version.effective_at.isoformat() == "2026-02-28T23:00:00+00:00"
    assert version.contract.currency == "EUR"

    html = olga.act(
        "version", version.id, action="allowance", name="Data", service=str(int(Service.DATA)), amount="12 parsecs",
        priority="100",
    )  # fmt: skip
    assert "is no unit here" in html
    olga.act(
        "version", version.id, action="allowance", name="Data", service=str(int(Service.DATA)), amount="1,500 GiB",
        rollover="10 GiB", priority="100", zones=[cast.zones["home"].id],
    )  # fmt: skip
    allowance = version.allowances.get()
    assert (allowance.granted_units, allowance.rollover_cap_units) == (1500 * GIB, 10 * GIB)

    assert "There is no rate for data in Home" in olga.post("version", version.id, action="publish")
    prices = {f"rate-1-{zone.id}-price": "0.004" for zone in cast.zones.values()}
    steps = {f"rate-1-{zone.id}-increment": "1 KiB" for zone in cast.zones.values()}
    blocks = {f"rate-1-{zone.id}-block": "1 MiB" for zone in cast.zones.values()}
    assert "3 rates are kept" in olga.post("version", version.id, action="rates", **prices, **steps, **blocks)
    assert "is published" in olga.post("version", version.id, action="publish")
    version.refresh_from_db()
    assert version.state == VersionState.PUBLISHED
    assert "never changes" in olga.post("version", version.id, action="rates", **prices, **steps, **blocks)


def test_a_new_version_says_what_it_changes_and_from_when(cast: Cast):
    olga = Browser(cast.olga)
    contract = Contract.objects.get(enterprise=cast.aurora.enterprise)
    olga.act(
        "contract", contract.id, action="draft", effective_at="2026-04-15T00:00", copy_from=str(cast.aurora.version.id),
        note="More",
    )  # fmt: skip
    draft = ContractVersion.objects.get(contract=contract, state=VersionState.DRAFT)
    assert "Nothing differs from version 1" in olga.get("version", draft.id)

    old = draft.allowances.get(name="Messages")
    olga.post("version", draft.id, action="remove", allowance=old.id)
    contracts.add_allowance(
        version=draft, name="Messages", service=Service.MESSAGING, granted_units=2_500, actor=ACTOR, at=NOW
    )
    html = olga.get("version", draft.id)
    assert "1,000\u202fmessages → <strong>2,500\u202fmessages" in html
    assert "from the cycle that begins 1 May 2026, 00:00:00" in html
    foreign = cast.borealis.version.allowances.first()
    olga.post("version", draft.id, action="remove", allowance=foreign.id)
    assert olga.status == 404


def test_a_zone_is_made_beside_a_draft(cast: Cast):
    draft = contracts.draft_version(contract=cast.aurora.contract, effective_at=NOW, actor=ACTOR, at=NOW)
    set_rates(draft, cast.zones)
    olga = Browser(cast.olga)
    html = olga.act("version", draft.id, action="zone", name="Switzerland", code="ch", networks="228")
    assert "belongs to “World” already" in html
    html = olga.act("version", draft.id, action="zone", name="Moon", code="moon", networks="90101, 90102")
    assert "Zone “Moon” is there" in html


# --- tokens and profiles --------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_revoked(cast: Cast):
    alice = Browser(cast.alice)
    place = f"enterprise-{cast.aurora.enterprise.id}"
    html = alice.act("tokens", action="issue", name="SAP", place=place, verbs=["view", "ingest"])
    token = ApiToken.objects.get()
    assert f"ent_{token.prefix}_" in html
    assert html.count("Bearer") == 1
    plain = html.split('tabindex="0">', 1)[1].split("<", 1)[0]
    assert plain not in alice.get("tokens")

    wrong = alice.act(
        "tokens", action="issue", name="X", place=f"enterprise-{cast.borealis.enterprise.id}", verbs=["view"]
    )
    assert "not one of the available choices" in wrong
    alice.post("token-revoke", token.id)
    token.refresh_from_db()
    assert token.revoked_at


def test_a_profile_is_tried_then_kept_and_changed(cast: Cast):
    olga = Browser(cast.olga)
    values = {
        "name": "Switch", "delimiter": ";", "encoding": "cp1252", "time_format": "%d.%m.%Y %H:%M", "decimal": ",",
        "time_zone": "Europe/Berlin", "thousands": "", "rounding": "up", "column_source_record_id": "ID + LEG",
        "column_units": "KB", "column_msisdn": "A", "column_started_at": "T", "fixed_service": "data",
        "unit_data": "KB", "unit_voice": "seconds", "services": "",
    }  # fmt: skip
    sample = "ID;LEG;A;KB;T\n7;1;0049170 1000001;1,5;10.03.2026 09:00\n;;;;\n8;1;;x;10.03.2026 09:00"
    html = olga.post(
        "profile-new",
        action="save",
        **{"try": "1"},
        **{f"save-{k}": v for k, v in (values | {"sample": sample}).items()},
    )
    assert "7-1" in html
    assert "1500" in html
    assert "no number" in html
    assert not ColumnProfile.objects.exists()

    wrong = olga.act("profile-new", action="save", **values | {"time_zone": "Berlin"})
    assert "no time zone" in wrong
    olga.act("profile-new", action="save", **values)
    kept = ColumnProfile.objects.get()
    assert kept.mapping["columns"]["source_record_id"] == ["ID", "LEG"]
    olga.act("profile", kept.id, action="save", **values | {"name": "Switch 2"})
    kept.refresh_from_db()
    assert kept.name == "Switch 2"
    assert "ID + LEG" in olga.get("profile", kept.id)
    olga.post("profile", kept.id, action="remove")
    assert not ColumnProfile.objects.exists()


# --- accounts and lines ---------------------------------------------------------------------------------------


def test_a_manager_runs_accounts_of_the_own_subtree(cast: Cast):
    carla = Browser(cast.carla)
    north, field = cast.aurora.accounts["NORTH"], cast.aurora.accounts["N-FIELD"]
    assert "hangs below" in carla.act(
        "account-admin", north.id, action="add-account", name="North lab", code="N-LAB", kind="cost_centre"
    )
    lab = Account.objects.get(code="N-LAB")
    assert "already used" in carla.act(
        "account-admin", north.id, action="add-account", name="Twice", code="N-LAB", kind="group"
    )
    carla.act("account-admin", field.id, action="move", new_parent=str(lab.id))
    field.refresh_from_db()
    assert field.parent_id == lab.id
    south = cast.aurora.accounts["SOUTH"]
    carla.act("account-admin", field.id, action="move", new_parent=str(south.id))
    field.refresh_from_db()
    assert field.parent_id == lab.id
    carla.act("account-admin", field.id, action="rename", name="Field")
    carla.act("account-admin", field.id, action="draw-above", draw_above="never")
    field.refresh_from_db()
    assert (field.name, field.draw_above) == ("Field", "never")
    assert "still has" in carla.post("account-admin", field.id, action="close")
    carla.act("account-admin", lab.id, action="add-person", name="Nora", number="P-77", email="")
    nora = Person.objects.get(number="P-77")
    carla.act("account-admin", lab.id, action="add-line", msisdn="+49 170 7770001", person=nora.id)
    assert Line.objects.get(msisdn="491707770001").person == nora


def test_thresholds_are_set_in_percent_or_amounts_and_removed(cast: Cast):
    carla = Browser(cast.carla)
    north, phone = cast.aurora.accounts["NORTH"], cast.aurora.lines["emil phone"]
    carla.act("account-admin", north.id, action="add-threshold", service="1", level="10 GiB")
    carla.act("line-admin", phone.id, action="add-threshold", service="2", level="80 %")
    assert "is no quantity" in carla.act("line-admin", phone.id, action="add-threshold", service="2", level="much")
    mine = Threshold.objects.filter(account=north) | Threshold.objects.filter(line=phone)
    assert set(mine.values_list("percent", "units")) == {(None, 10 * GIB), (80, None)}
    foreign = Threshold.objects.filter(account=cast.aurora.root).first()
    carla.post("account-admin", north.id, action="remove-threshold", threshold=foreign.id)
    assert carla.status == 404
    carla.post("account-admin", north.id, action="remove-threshold", threshold=mine.get(account=north).id)
    assert mine.count() == 1


def test_a_line_changes_account_number_and_status_from_a_time_on(cast: Cast):
    carla = Browser(cast.carla)
    phone, service = cast.aurora.lines["emil phone"], cast.aurora.accounts["N-SERVICE"]
    carla.act("line-admin", phone.id, action="assign", account=str(service.id), from_at="2026-03-12T00:00")
    latest = LineAssignment.objects.filter(line=phone).order_by("during").last()
    assert (latest.account_id, latest.during.lower.isoformat()) == (service.id, "2026-03-11T23:00:00+00:00")
    html = carla.act("line-admin", phone.id, action="assign", account=str(service.id), from_at="2026-03-29T02:30")
    assert "Clocks never showed this time" in html
    twice = {"action": "assign", "account": str(service.id), "from_at": "2026-10-25T02:30"}
    html = carla.act("line-admin", phone.id, **twice)
    assert "say which of the two" in html
    assert "an hour later (CET)" in html
    html = carla.act("line-admin", phone.id, action="number", kind="1", number="0170", from_at="2026-03-12T00:00")
    assert "no country code" in html
    carla.post("line-admin", phone.id, action="status", status="retired")
    phone.refresh_from_db()
    assert phone.status == "retired"
