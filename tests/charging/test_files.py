"""Usage files: streaming, whatever programs write, and what is said where they are broken."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from balances.models import SuspendedUsage, UsagePart, UsageRecord
from portal.charging import files, pipeline, profiles
from portal.charging.columns import STANDARD, read_profile
from tests.cast import ACTOR, NOW, Cast

HEADER = b"source_record_id,service,msisdn,units,started_at\n"


def line(number: int, end: bytes = b"\n") -> bytes:
    return b"cdr-%d,data,4917010000001,1024,2026-03-10T09:00:00+01:00" % number + end


def content(count: int) -> bytes:
    return HEADER + b"".join(map(line, range(count)))


def ids(data: bytes, columns=STANDARD, **where) -> list[str]:
    return [u.source_record_id for chunk in files.read(io.BytesIO(data), columns, **where) for u in chunk.usages]


def broken(data: bytes, columns=STANDARD) -> tuple[int, str]:
    """How many records come before the break, and what is said of it."""
    taken = 0
    try:
        for chunk in files.read(io.BytesIO(data), columns):
            taken += len(chunk.usages)
    except files.FileRefused as refusal:
        return taken, refusal.message
    pytest.fail("The file was read to its end.")


@pytest.mark.parametrize(
    "data",
    [
        content(3),
        content(3).rstrip(b"\n"),
        content(3).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + content(3),
        gzip.compress(content(3)),
        gzip.compress(content(2)) + gzip.compress(line(2)),
        content(3).replace(b"cdr", b'"cdr').replace(b",data", b'",data'),
        HEADER.upper() + b"\n" + line(0) + b"\n,,,,\n" + line(1) + line(2),
    ],
    ids=["plain", "no last newline", "crlf", "bom", "gzip", "two gzip members", "quotes", "blank rows"],
)
def test_every_usual_form_of_csv_gives_the_same_records(data):
    assert ids(data) == ["cdr-0", "cdr-1", "cdr-2"]


def test_a_row_without_an_id_is_reported_with_its_number_and_its_neighbours_are_taken():
    data = HEADER + line(0) + line(1).removeprefix(b"cdr-1") + b"a\x00b" + line(2).removeprefix(b"cdr-2") + line(3)
    (chunk,) = files.read(io.BytesIO(data), STANDARD)
    assert [usage.source_record_id for usage in chunk.usages] == ["cdr-0", "cdr-3"]
    assert [(error.row, error.column) for error in chunk.errors] == [(3, "source_record_id"), (4, "source_record_id")]


def test_nul_bytes_in_a_value_are_a_fault_that_can_be_shown_and_stored():
    data = HEADER + line(0).replace(b"data", b"da\x00ta")
    ((usage,),) = [chunk.usages for chunk in files.read(io.BytesIO(data), STANDARD)]
    assert usage.fault
    assert "\x00" not in str(usage.raw)


def test_a_wrong_header_says_what_is_missing_and_what_was_found():
    taken, words = broken(b"id,service,msisdn,started_at\n1,data,2,3\n")
    assert taken == 0
    assert "“source_record_id”, “units”" in words
    assert "“id”, “service”" in words
    assert "semicolon" in broken(content(1).replace(b",", b";"))[1]
    assert "stands twice" in broken(HEADER.replace(b"units", b"service") + line(0))[1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "no header"),
        (b"PK\x03\x04rest", "Excel"),
        (content(1).decode().encode("utf-16"), "UTF-16"),
    ],
)
def test_what_is_no_csv_is_named(data, words):
    assert words in broken(data)[1]


def test_a_cut_off_gzip_file_keeps_the_rows_before_the_cut():
    whole = gzip.compress(b"".join([HEADER, *(line(n * 7919 % 10**9) for n in range(20_000))]))
    taken, words = broken(whole[: len(whole) * 2 // 3])
    assert 5_000 < taken < 20_000
    assert f"row {taken + 1:,}" in words
    assert "cut off" in words


def test_a_damaged_gzip_file_is_told_apart_from_a_cut_off_one():
    whole = bytearray(gzip.compress(content(20_000)))
    whole[-8:-4] = b"\x00\x00\x00\x00"  # the checksum
    assert "damaged" in broken(bytes(whole))[1]


def test_other_bytes_than_the_encoding_stop_at_their_row():
    taken, words = broken(content(7) + "cdr-ü".encode("latin-1") + line(8))
    assert taken == 7
    assert "row 8" in words
    assert "utf-8" in words


def test_a_line_without_end_is_no_danger_to_memory():
    endless = HEADER + line(0) + b'"' + b"x" * 200_000
    taken, words = broken(endless)
    assert taken == 1
    assert "longer than 65,536" in words
    never_closed = HEADER + line(0) + b'"' + b"".join(map(line, range(5_000)))
    words = broken(never_closed)[1]
    assert "Read up to row 2;" in words
    assert "quote is opened and never closed" in words


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reading_goes_on_exactly_behind_any_chunk(pack, monkeypatch):
    monkeypatch.setattr(files, "CHUNK_ROWS", 10)
    data = pack(content(35).replace(b"cdr-12,", b'"cdr\n-12",'))
    chunks = list(files.read(io.BytesIO(data), STANDARD))
    assert [len(chunk.usages) + len(chunk.errors) for chunk in chunks] == [10, 10, 10, 5]
    for place, chunk in enumerate(chunks):
        rest = list(files.read(io.BytesIO(data), STANDARD, offset=chunk.offset, row=chunk.row))
        assert [c.usages for c in rest] == [c.usages for c in chunks[place + 1 :]]
        assert [c.row for c in rest] == [c.row for c in chunks[place + 1 :]]


@pytest.mark.parametrize("break_", [b"\xff\xfe,", b"x" * 70_000, b'"' + b"y,\n" * 60_000])
def test_reading_that_goes_on_before_a_break_meets_the_break_again(break_):
    data = HEADER + line(0) + break_
    chunks = files.read(io.BytesIO(data), STANDARD)
    chunk = next(chunks)
    rest = files.read(io.BytesIO(data), STANDARD, offset=chunk.offset, row=chunk.row)
    with pytest.raises(files.FileRefused, match="row 2;"):
        next(rest)


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.csv"
        path.write_bytes(content(rows))
        tracemalloc.start()
        with path.open("rb") as file:
            for _ in files.read(file, STANDARD):
                pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(40_000) < 1.2 * peak(10_000)


# --- manage.py ingest ----------------------------------------------------------------------------------------------


@pytest.fixture
def usage_file(tmp_path: Path) -> Path:
    path = tmp_path / "usage.csv"
    path.write_bytes(content(20) + line(20).replace(b"4917010000001", b"4917099999999") + line(21)[6:])
    return path


def _charge_all(cast: Cast) -> None:
    for enterprise_id in (cast.aurora.enterprise.id, None):
        pipeline.drain(enterprise_id, clock=lambda: NOW)


@pytest.mark.django_db
def test_the_same_file_twice_is_charged_once(cast: Cast, usage_file: Path, capsys):
    pipeline.forget_everything()
    for _ in range(2):
        call_command("ingest", str(usage_file), source="Mediation")
        _charge_all(cast)
    printed = capsys.readouterr()
    assert "accepted 21 records" in printed.out
    assert "row 23: source_record_id is missing" in printed.err
    assert UsageRecord.objects.count() == 20
    assert SuspendedUsage.objects.count() == 1
    assert sum(UsagePart.objects.values_list("duplicate_count", flat=True)) == 21


@pytest.mark.django_db
def test_waiting_tells_what_became_of_it(cast: Cast, usage_file: Path, capsys, monkeypatch):
    pipeline.forget_everything()
    monkeypatch.setattr("time.sleep", lambda _: _charge_all(cast))
    call_command("ingest", str(usage_file), source="Mediation", enterprise="A-1000", wait=True)
    assert "charged 20, duplicate 0, suspended 1" in capsys.readouterr().out


@pytest.mark.django_db
def test_what_cannot_be_taken_is_said_in_a_sentence(cast: Cast, usage_file: Path, tmp_path: Path):
    for arguments, words in (
        ({"enterprise": "X-1"}, "no enterprise with the number “X-1”"),
        ({"operator": "Nobody"}, "no operator “Nobody”"),
        ({"profile": "mine"}, "no column profile “mine”"),
        ({"source": " "}, "1 to 60 characters"),
    ):
        with pytest.raises(CommandError, match=words):
            call_command("ingest", str(usage_file), **{"source": "Mediation"} | arguments)
    with pytest.raises(CommandError, match="No such file"):
        call_command("ingest", str(tmp_path / "none.csv"), source="Mediation")
    assert not UsagePart.objects.exists()


# --- profiles by name ----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_profiles_are_kept_by_name_and_the_built_in_one_stays(cast: Cast):
    mapping = {"columns": {name: [name] for name in ("source_record_id", "service", "msisdn", "units", "started_at")}}
    kept = profiles.save(operator=cast.operator, name="Mine", mapping=mapping, actor=ACTOR, at=NOW)
    assert profiles.names(cast.operator.id) == ["standard", "Mine"]
    assert profiles.named(cast.operator.id, "Mine") == read_profile(mapping)
    for name in ("Mine", "Standard", " "):
        with pytest.raises(profiles.Refused) as refusal:
            profiles.save(operator=cast.operator, name=name, mapping=mapping, actor=ACTOR, at=NOW)
        assert refusal.value.field == "name"
    profiles.remove(profile=kept, actor=ACTOR, at=NOW)
    with pytest.raises(profiles.UnknownProfile):
        profiles.named(cast.operator.id, "Mine")
