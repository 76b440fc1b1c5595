"""Usage records on their way in: reading, normalising, encoding. Every door (REST, files, traffic) ends here.

Owns: the public shape of a record, its checks, its content hash, and the compact payload that waits for charging.
Never touches the database. A record with a bad value is not refused, it becomes a `Usage` with a `fault`, and waits
in suspense with a reason; only a record without an identity cannot be taken at all.

Times are kept as canonical UTC text ("2026-03-15 12:00:00.000000+00"): of one width, so that text order is time order,
and what COPY reads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from balances import units
from balances.errors import Refused
from balances.models.accounts import NumberKind
from balances.models.usage import SuspenseReason

CANONICAL_TIME = "%Y-%m-%d %H:%M:%S.%f+00"
#: What a record may say besides its own fields, in octets of JSON.
LARGEST_ATTRIBUTES = 4_096

# A plain `$` would let a line feed through at the end, which has no place in COPY text.
_Digits = Annotated[str, msgspec.Meta(pattern=r"^(\+?[0-9]{5,15})?$(?!\n)")]
_SourceRecordId = Annotated[str, msgspec.Meta(max_length=80, pattern=r"^(?=.*\S)[^\x00-\x1f]+$(?!\n)")]
_Text32 = Annotated[str, msgspec.Meta(max_length=32, pattern=r"^[^\x00-\x1f]*$(?!\n)")]


class Incoming(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record as clients send it. All numbers are integers of the service's unit; times carry an offset."""

    source_record_id: _SourceRecordId
    service: str
    units: Annotated[int, msgspec.Meta(ge=0, le=units.LARGEST_UNITS)]
    started_at: Annotated[datetime, msgspec.Meta(tz=True)]
    msisdn: _Digits = ""
    imsi: _Digits = ""
    ended_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    visited_network: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{3}|[0-9]{5,6})?$(?!\n)")] = ""
    other_party: _Text32 = ""
    imei: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{14,15})?$(?!\n)")] = ""
    attributes: dict[str, Any] | None = None


class Usage(msgspec.Struct, array_like=True, gc=False):
    """A normalised record. `service` 0, `number` 0 and empty times occur only together with a `fault`."""

    source_record_id: str
    service: int
    number_kind: int
    number: int
    units: int
    used_at: str
    ended_at: str
    visited_network: str
    other_party: str
    imei: str
    attributes: dict[str, Any] | None
    content_hash: int
    fault: str = ""
    raw: dict[str, Any] | None = None


class Unidentifiable(Refused):
    """A record that has no usable `source_record_id`: without it "exactly once" has no meaning."""


_payload_encoder = msgspec.msgpack.Encoder()
_payload_decoder = msgspec.msgpack.Decoder(list[Usage])
_json_encoder = msgspec.json.Encoder(order="deterministic")
_incoming_decoder = msgspec.json.Decoder(list[Incoming])


BEGINNING, END = "", "~"  # before and after every canonical time


def canonical_time(instant: datetime) -> str:
    """An aware instant as canonical UTC text."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    text = instant.isoformat(" ")
    return (text[:-6] if instant.microsecond else text[:-6] + ".000000") + "+00"


def parse_canonical(text: str) -> datetime:
    """The instant that a canonical text stands for."""
    return datetime.fromisoformat(text + ":00")


def escaped(text: str) -> str:
    """Text for COPY; control characters were refused at the door."""
    return text.replace("\\", "\\\\") if "\\" in text else text


def encode_payload(records: list[Usage]) -> bytes:
    """The waiting form of records, as `UsagePart.payload` keeps it."""
    return _payload_encoder.encode(records)


def decode_payload(payload: bytes) -> list[Usage]:
    """The records of a part."""
    return _payload_decoder.decode(payload)


def _hash(content: bytes) -> int:
    """64 bits of BLAKE2b as a signed integer, for a bigint column."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)


def seal(
    *,
    source_record_id: str,
    service: int,
    number_kind: int,
    number: int,
    units: int,
    used_at: str,
    ended_at: str = "",
    visited_network: str = "",
    other_party: str = "",
    imei: str = "",
    attributes: dict[str, Any] | None = None,
) -> Usage:
    """A checked record with its content hash. Times are canonical texts; the caller vouches for the values."""
    content = f"{service}|{number_kind}|{number}|{units}|{used_at}|{ended_at}|{visited_network}|{other_party}|{imei}"
    content_bytes = content.encode()
    if attributes:
        content_bytes += _json_encoder.encode(attributes)
    return Usage(
        source_record_id, service, number_kind, number, units, used_at, ended_at, visited_network, other_party, imei,
        attributes or None, _hash(content_bytes),
    )  # fmt: skip


class _Fault(Exception):
    """A value that cannot be charged: reason code and a sentence."""

    def __init__(self, reason: str, detail: str):
        self.reason, self.detail = reason, detail


def _normalise(record: Incoming) -> Usage:
    """A typed record as `Usage`; raises `_Fault` for what its types could not say."""
    service = units.SERVICES_BY_NAME.get(record.service)
    if service is None:
        known = ", ".join(units.SERVICES_BY_NAME)
        raise _Fault(SuspenseReason.UNKNOWN_SERVICE, f"service is “{record.service}”; known are {known}.")
    if record.units > units.MOST_UNITS[service]:
        raise _Fault(SuspenseReason.ABSURD_UNITS, _absurd(record.units, units.MOST_UNITS[service]))
    if record.msisdn:
        kind, digits = 1, record.msisdn
    elif record.imsi:
        kind, digits = 2, record.imsi
    else:
        raise _Fault(SuspenseReason.UNKNOWN_LINE, "Neither msisdn nor imsi is given.")
    try:
        used_at = canonical_time(record.started_at)
        ended_at = canonical_time(record.ended_at) if record.ended_at is not None else ""
    except OverflowError:
        raise _Fault(SuspenseReason.MALFORMED, "started_at or ended_at lies outside the calendar.") from None
    if ended_at and ended_at < used_at:
        detail = f"It ends at {ended_at[:19]} UTC, before it starts at {used_at[:19]} UTC."
        raise _Fault(SuspenseReason.ENDS_BEFORE_START, detail)
    if record.attributes:
        _refuse_unstorable(record.attributes)
    return seal(
        source_record_id=record.source_record_id,
        service=int(service),
        number_kind=kind,
        number=int(digits),
        units=record.units,
        used_at=used_at,
        ended_at=ended_at,
        visited_network=record.visited_network,
        other_party=record.other_party,
        imei=record.imei,
        attributes=record.attributes,
    )


def _absurd(value: float, most: int) -> str:
    return f"units is {value}; at most {most} is believed."


def _refuse_unstorable(attributes: dict[str, Any]) -> None:
    """Raises `_Fault` for attributes that cannot be kept: too long, or with a value PostgreSQL or msgpack has no
    place for."""
    try:
        length = len(_payload_encoder.encode(attributes))
        text = _json_encoder.encode(attributes)
    except (OverflowError, RecursionError):
        raise _Fault(SuspenseReason.MALFORMED, "attributes hold a number or a depth that cannot be kept.") from None
    if length > LARGEST_ATTRIBUTES or len(text) > LARGEST_ATTRIBUTES:
        raise _Fault(SuspenseReason.MALFORMED, f"attributes are longer than {LARGEST_ATTRIBUTES} octets.")
    if b"\\u0000" in text:
        raise _Fault(SuspenseReason.MALFORMED, "attributes contain a NUL character.")


def _identity_of(mapping: Any) -> str:
    if not isinstance(mapping, Mapping):
        raise Unidentifiable("A record must be an object with fields.", field="record")
    identity = mapping.get("source_record_id")
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if not isinstance(identity, str) or not identity.strip():
        raise Unidentifiable("source_record_id is missing or empty.", field="source_record_id")
    if len(identity) > 80 or re.search(r"[\x00-\x1f]", identity):
        raise Unidentifiable(
            "source_record_id must have at most 80 characters and no control characters.",
            field="source_record_id",
        )
    return identity


def _explain(mapping: Mapping[str, Any], error: msgspec.ValidationError) -> tuple[str, str]:
    """The reason code and sentence for a record whose values do not fit their types."""
    text = str(error)
    where = re.search(r"`\$\.([a-z_]+)", text)
    field = where.group(1) if where else ""
    value = mapping.get(field)
    if field == "units":
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return SuspenseReason.MALFORMED, f"units is “{value}”; a whole number is expected."
        if isinstance(value, float) and value == value and abs(value) != float("inf") and value != int(value):
            return (
                SuspenseReason.FRACTIONAL_UNITS,
                f"units is {value}; whole units of the service are expected.",
            )
        if isinstance(value, int | float) and value < 0:
            return SuspenseReason.NEGATIVE_UNITS, f"units is {value}; usage is never negative."
        if isinstance(value, int | float) and value > units.LARGEST_UNITS:
            return SuspenseReason.ABSURD_UNITS, _absurd(value, units.LARGEST_UNITS)
    if field in ("started_at", "ended_at") and isinstance(value, str):
        try:
            if datetime.fromisoformat(value).tzinfo is None:
                return (
                    SuspenseReason.AMBIGUOUS_TIME,
                    f"{field} “{value}” has no offset; write 2026-03-15T12:00:00+01:00 or end it with Z.",
                )
        except ValueError:
            pass
    sentence = text.replace("`$.", "`").replace("`", "")
    shown = "" if value is None else f" (given: {str(value)[:60]})"
    return SuspenseReason.MALFORMED, f"{sentence}{shown}"[:300]


def _jsonable(value: Any) -> Any:
    """The raw mapping in a form that JSON and PostgreSQL can keep: no NaN, no NUL, bounded."""
    if isinstance(value, Mapping):
        return {str(key)[:80].replace("\x00", "␀"): _jsonable(item) for key, item in list(value.items())[:60]}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value[:60]]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    return str(value)[:300].replace("\x00", "␀")


def faulty(mapping: Mapping[str, Any], reason: str, detail: str) -> Usage:
    """A record that goes to suspense, with what was sent and why; raises `Unidentifiable` without an identity."""
    identity = _identity_of(mapping)
    raw = _jsonable(mapping)
    return Usage(
        identity, 0, 0, 0, 0, "", "", "", "", "", None, _hash(_json_encoder.encode(raw)),
        str(reason), {"record": raw, "detail": detail[:300]},
    )  # fmt: skip


def read_mapping(mapping: Mapping[str, Any], *, lax: bool = False) -> Usage:
    """One record from a mapping of the public field names; `lax` reads numbers and times from text (files).

    Raises `Unidentifiable` where there is no identity; any other fault is kept in the result.
    """
    identity = _identity_of(mapping)
    cleaned = {**mapping, "source_record_id": identity}
    if lax:
        cleaned = {key: value for key, value in cleaned.items() if value not in ("", None)}
    try:
        return _normalise(msgspec.convert(cleaned, Incoming, strict=not lax))
    except msgspec.ValidationError as error:
        return faulty(mapping, *_explain(mapping, error))
    except _Fault as fault:
        return faulty(mapping, fault.reason, fault.detail)


class RecordErrors(Refused):
    """Records of a delivery that cannot be taken: (index, field, message) of the first hundred."""

    def __init__(self, errors: list[tuple[int, str, str]]):
        super().__init__(f"{len(errors)} record(s) cannot be identified; nothing was taken.", field="records")
        self.errors = errors


def read_json(records: bytes | msgspec.Raw) -> list[Usage]:
    """A JSON array of records. All-good arrays take the fast path; one bad value does not condemn its neighbours.

    Raises `msgspec.DecodeError` where it is no JSON array, `RecordErrors` where records have no identity.
    """
    try:
        incoming = _incoming_decoder.decode(records)
    except msgspec.ValidationError:
        return read_mappings(msgspec.json.decode(records, type=list[Any]))
    try:
        return [_normalise(record) for record in incoming]
    except _Fault:
        return read_mappings(msgspec.json.decode(records, type=list[Any]))


def read_mappings(mappings: Iterable[Any], *, lax: bool = False) -> list[Usage]:
    """Records one by one; raises `RecordErrors` for those without an identity, after having looked at all."""
    read, errors = [], []
    for index, mapping in enumerate(mappings):
        try:
            read.append(read_mapping(mapping, lax=lax))
        except Unidentifiable as error:
            errors.append((index, error.field or "", error.message))
    if errors:
        raise RecordErrors(errors[:100])
    return read


def public(usage: Usage) -> dict[str, Any]:
    """A record as clients send it, for screens and the API; what was sent where it could not be read."""
    if usage.raw is not None:
        return usage.raw["record"]
    number_field = "msisdn" if usage.number_kind == NumberKind.MSISDN else "imsi"
    shown: dict[str, Any] = {
        "source_record_id": usage.source_record_id,
        "service": units.SERVICE_NAMES[usage.service],
        number_field: str(usage.number),
        "units": usage.units,
        "started_at": parse_canonical(usage.used_at).isoformat(),
    }
    if usage.ended_at:
        shown["ended_at"] = parse_canonical(usage.ended_at).isoformat()
    for field in ("visited_network", "other_party", "imei", "attributes"):
        if value := getattr(usage, field):
            shown[field] = value
    return shown
