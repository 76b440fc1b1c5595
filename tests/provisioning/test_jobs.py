"""Jobs: in turns, resumed where a killed worker left them, exactly once; uploads and imports on top."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.base import ContentFile
from django.db import connection, connections

from balances.errors import Refused
from balances.models import Account, Device, Line, Person, SuspendedUsage, UsageBatch, UsageRecord
from portal.access import scope_of
from portal.charging import files, ingest, pipeline, profiles
from portal.models import Job, JobState
from portal.provisioning import imports, jobs, tasks, uploads, work
from tests.cast import NOW, Cast, imei

HEADER = b"source_record_id,service,msisdn,units,started_at\n"


@pytest.fixture(autouse=True)
def _small_house(settings, tmp_path, monkeypatch):
    """Files below the test's folder; no broker; small chunks."""
    settings.MEDIA_ROOT = tmp_path
    pipeline.forget_everything()
    monkeypatch.setattr(files, "CHUNK_ROWS", 10)
    monkeypatch.setattr(jobs, "start", [].append)


def line(number: int, msisdn: bytes = b"4917010000001") -> bytes:
    return b"cdr-%d,data,%s,1024,2026-03-10T09:00:00+01:00\n" % (number, msisdn)


def usage_job(cast: Cast, data: bytes, by: str = "alice", **changes) -> Job:
    user = getattr(cast, by)
    arguments = {"source": "Mediation", "profile": "standard", "enterprise": cast.aurora.enterprise} | changes
    return uploads.upload(
        file=ContentFile(data, name="march.csv"),
        operator=cast.operator,
        scope=scope_of(user),
        created_by=user,
        **arguments,
    )


def run(job: Job, *, turns: int = 100) -> Job:
    while turns and work.turn(job.id, seconds=0):
        turns -= 1
    job.refresh_from_db()
    return job


def stored_files(settings) -> list:
    return list(settings.MEDIA_ROOT.iterdir())


@pytest.mark.django_db
def test_a_file_is_taken_in_turns_and_charged(cast: Cast, settings, django_capture_on_commit_callbacks):
    job = usage_job(cast, HEADER + b"".join(map(line, range(35))) + line(99)[6:])
    assert work.turn(job.id, seconds=0)
    job.refresh_from_db()
    assert (job.state, job.counts["accepted"]) == (JobState.RUNNING, 10)
    assert 0 < job.percent < 100

    with django_capture_on_commit_callbacks(execute=True):
        run(job)
    pipeline.drain(cast.aurora.enterprise.id, clock=lambda: NOW)

    assert (job.state, job.percent, job.counts["accepted"]) == (JobState.DONE, 100, 35)
    assert job.errors == [{"row": 37, "column": "source_record_id", "message": "source_record_id is missing or empty."}]
    assert uploads.outcome(job).charged == UsageRecord.objects.count() == 35
    assert stored_files(settings) == []
    assert UsageBatch.objects.first().accepted_by == f"user:{cast.alice.id} Alice Arden"


@pytest.mark.django_db
def test_a_worker_killed_between_accepting_and_noting_it_has_done_neither(cast: Cast, monkeypatch):
    job = usage_job(cast, HEADER + b"".join(map(line, range(25))))
    real = ingest.record

    def killed(**arguments):
        real(**arguments)
        raise KeyboardInterrupt

    work.turn(job.id, seconds=0)
    monkeypatch.setattr(ingest, "record", killed)
    with pytest.raises(KeyboardInterrupt):
        work.turn(job.id, seconds=0)
    monkeypatch.undo()
    monkeypatch.setattr(files, "CHUNK_ROWS", 10)
    job.refresh_from_db()
    assert (job.state, job.counts["accepted"]) == (JobState.RUNNING, 10)

    run(job)
    assert job.counts["accepted"] == 25
    assert sum(UsageBatch.objects.values_list("accepted_records", flat=True)) == 25


@pytest.mark.django_db
def test_silent_jobs_are_taken_up_again_and_only_those(cast: Cast, monkeypatch):
    silent, fresh, done = (usage_job(cast, HEADER + line(n)) for n in range(3))
    run(done)
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    Job.objects.filter(id__in=[silent.id, done.id]).update(touched_at=long_ago)
    Job.objects.filter(id=silent.id).update(state=JobState.RUNNING)
    started = []
    monkeypatch.setattr(jobs, "start", started.append)

    tasks.resume_jobs()

    assert started == [silent.id]
    assert fresh.state == JobState.QUEUED


@pytest.mark.django_db
def test_a_job_that_kills_its_workers_is_given_up(cast: Cast, monkeypatch, settings):
    job = usage_job(cast, HEADER + line(1))

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setitem(work._KINDS, uploads.KIND, killed)
    for _ in range(jobs.ATTEMPTS_MOST):
        with pytest.raises(KeyboardInterrupt):
            work.turn(job.id)
    assert not work.turn(job.id)
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "Given up" in job.counts["message"]


@pytest.mark.django_db(transaction=True)
def test_a_job_that_another_worker_has_is_left_alone():
    from tests.cast import build

    job = usage_job(build(), HEADER + line(1))
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [jobs._LOCKS, job.id])
        assert not work.turn(job.id)
        job.refresh_from_db()
        assert job.state == JobState.QUEUED
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [jobs._LOCKS, job.id])
    finally:
        other.close()
    work.turn(job.id)
    job.refresh_from_db()
    assert job.state == JobState.DONE
    connection.close()


@pytest.mark.django_db
def test_a_file_that_breaks_in_the_middle_fails_with_the_row_and_keeps_what_came_before(cast: Cast, settings):
    job = run(usage_job(cast, HEADER + b"".join(map(line, range(13))) + b"\xff\xfe,"))
    assert (job.state, job.counts["accepted"]) == (JobState.FAILED, 13)
    assert "row 14" in job.counts["message"]


@pytest.mark.django_db
def test_an_unforeseen_fault_is_told_without_its_inside(cast: Cast, monkeypatch):
    job = usage_job(cast, HEADER + line(1))

    def divide(job, *, stop_at):
        return 1 / 0

    monkeypatch.setitem(work._KINDS, uploads.KIND, divide)
    run(job)
    assert job.state == JobState.FAILED
    assert "division" not in job.counts["message"]


@pytest.mark.django_db
def test_no_more_than_a_hundred_wrong_rows_are_kept_but_all_are_counted(cast: Cast):
    job = run(usage_job(cast, HEADER + b",data,1,1,x\n" * 250))
    assert (len(job.errors), job.counts["errors"]) == (jobs.ERRORS_KEPT, 250)


@pytest.mark.django_db
def test_usage_is_taken_only_for_whom_one_may_send(cast: Cast):
    with pytest.raises(uploads.NotAllowed):
        usage_job(cast, HEADER, by="bruno")
    with pytest.raises(uploads.NotAllowed):
        usage_job(cast, HEADER, by="carla", enterprise=None)
    with pytest.raises(profiles.UnknownProfile):
        usage_job(cast, HEADER, profile="mine")
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_file_for_several_enterprises_reaches_only_those_of_its_sender(cast: Cast):
    data = HEADER + line(1) + line(2, b"4917020000001")
    run(usage_job(cast, data, by="alice", enterprise=None))
    for enterprise_id in (cast.aurora.enterprise.id, cast.borealis.enterprise.id, None):
        pipeline.drain(enterprise_id, clock=lambda: NOW)
    assert UsageRecord.objects.get().enterprise_id == cast.aurora.enterprise.id
    assert SuspendedUsage.objects.get().enterprise_id is None


# --- imports ---------------------------------------------------------------------------------------------------------


def load(cast: Cast, kind: str, text: str | bytes) -> Job:
    data = text if isinstance(text, bytes) else text.encode()
    job = imports.upload(
        kind=kind,
        file=ContentFile(data, name=f"{kind}.csv"),
        enterprise=cast.aurora.enterprise,
        created_by=cast.alice,
    )
    return run(job)


@pytest.mark.django_db
def test_tree_people_devices_and_lines_are_loaded_one_after_the_other(cast: Cast):
    load(cast, "tree", "code,name,parent_code\nW-1,West one,WEST\nWEST,West,\n")
    load(cast, "people", b"\xef\xbb\xbfNumber;Name;Account_Code\r\nP-9;J\xc3\xb6rg;W-1\r\n")
    load(cast, "devices", f"imei\tmodel\n{imei(77)}\tRouter\n")
    job = load(
        cast,
        "lines",
        "msisdn,account_code,person_number,device_imei,assigned_from\n"
        f"+49 170 3000001,W-1,P-9,{imei(77)},2026-03-01T00:00:00+01:00\n"
        "0170,W-1,,,\n"
        "+49 170 3000002,NONE,,,\n",
    )
    assert Account.objects.get(code="W-1").parent.code == "WEST"
    made = Line.objects.get(msisdn="491703000001")
    assert (made.person.name, made.device.model, made.account.code) == ("Jörg", "Router", "W-1")
    assert (job.state, job.counts["rows"], job.counts["created"], job.counts["errors"]) == (JobState.DONE, 3, 1, 2)
    assert [(error["row"], error["column"]) for error in job.errors] == [(3, "msisdn"), (4, "account_code")]


@pytest.mark.django_db
def test_a_tree_with_a_fault_is_not_loaded_at_all(cast: Cast):
    job = load(cast, "tree", "code,parent_code,name\nWEST,,West\nW-1,NOWHERE,One\n")
    assert job.counts["created"] == 0
    assert job.errors[0]["row"] == 3
    assert not Account.objects.filter(code="WEST").exists()


@pytest.mark.django_db
def test_a_spreadsheets_windows_file_is_read_as_it_was_meant(cast: Cast):
    load(cast, "people", "number;name;account_code\nP-8;Jürgen;NORTH\n".encode("cp1252"))
    assert Person.objects.get(number="P-8").name == "Jürgen"


@pytest.mark.django_db
def test_a_load_and_the_end_of_its_job_are_one(cast: Cast, monkeypatch):
    def killed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "finish", killed)
    text = f"imei\n{imei(78)}\n"
    with pytest.raises(KeyboardInterrupt):
        load(cast, "devices", text)
    assert not Device.objects.filter(imei=imei(78)).exists()
    monkeypatch.undo()
    job = run(Job.objects.get())
    assert (job.counts["created"], job.counts["errors"]) == (1, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("lines", "number,account\n1,2\n", "lacks the columns “msisdn”, “account_code”"),
        ("lines", "msisdn,account_code\n", "no rows"),
        ("lines", "", "empty"),
        ("planets", "x\n1\n", "no import"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_a_job_is_made(cast: Cast, kind, text, words):
    with pytest.raises(Refused, match=words):
        load(cast, kind, text)
    assert not Job.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("kind", imports.IMPORTS)
def test_every_template_is_a_file_that_can_be_read(cast: Cast, kind: str):
    rows = imports._rows(imports.IMPORTS[kind], imports.IMPORTS[kind].template.encode())
    assert len(rows) == 1
    imports.IMPORTS[kind].row(**rows[0])
    assert list(files.Rows(io.BytesIO(imports.IMPORTS[kind].template.encode())).header)
