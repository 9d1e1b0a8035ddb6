"""From the bytes of a DeviceConfigurationUpdated to an update, or to the reasons why it is none. Pure; never fails."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast
from uuid import UUID

from pydantic import ValidationError

from edge.contract.configuration import CORRELATION_ID_LENGTH_MAX, UpdateToRead
from edge.contract.model import INTEGER_MAX
from edge.domain.clock import unix_ms_of
from edge.domain.configuration import Code, Mistake
from edge.domain.event import SCHEMA_VERSION, RecordedEvent
from edge.domain.foreign_json import JsonFlaw, JsonRefused, read_json
from edge.domain.identifier import IDENTIFIER_LENGTH_MAX

# A device with a hundred points needs 10 KiB.
UPDATE_BYTES_MAX = 64 * 1024
# A configuration is three deep; what is deeper is not one, and would only cost our stack.
DEPTH_MAX = 16

CODES = {
    JsonFlaw.NOT_JSON: Code.NOT_JSON,
    JsonFlaw.TOO_DEEP: Code.TOO_DEEP,
    JsonFlaw.DUPLICATE_KEY: Code.DUPLICATE_KEY,
}

Document: TypeAlias = Mapping[str, object]

# What each field of an update must be.
_ID = f"a small letter or digit, then small letters, digits, - and _; {IDENTIFIER_LENGTH_MAX} characters at most"
_MUST_BE = {
    "gatewayId": _ID,
    "deviceId": _ID,
    "configVersion": f"a whole number from 1 to {INTEGER_MAX}",
    "basedOn": f"a whole number from 0 to {INTEGER_MAX}",
    "validUntil": "a time with its offset, written as 2026-11-24T00:00:00+01:00",
    "changedBy": "a text",
    "reason": "a text",
    "configuration": "an object",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a producer asks for, as far as it can be known without looking at the device."""

    event_id: UUID
    revision: int
    device_id: str
    config_version: int
    document: Document
    gateway_id: str | None = None
    based_on: int | None = None
    valid_until_ms: int | None = None
    changed_by: str | None = None
    reason: str | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An update that is none. What could be read of it is there, for the answer."""

    event_id: UUID
    revision: int
    mistakes: tuple[Mistake, ...]
    device_id: str | None = None
    config_version: int | None = None
    correlation_id: str | None = None


class _NotReadable(Exception):  # noqa: N818 - the vocabulary's word
    def __init__(self, path: str, code: Code, message: str, limit: float | None = None) -> None:
        super().__init__(message)
        self.mistake = Mistake(path=path, code=code, message=message, limit=limit)


def read_update(event: RecordedEvent) -> Update | Unreadable:
    """Read an event of type DeviceConfigurationUpdated, whatever its bytes are."""
    document: Document = {}
    metadata: Document = {}
    try:
        metadata = _object("metadata", event.metadata or b"{}")
        document = _object("data", event.data)
        _check_schema_version(metadata)
        read = UpdateToRead.model_validate(document)
    except (_NotReadable, ValidationError) as error:
        return Unreadable(
            event_id=event.event_id,
            revision=event.revision,
            mistakes=(error.mistake,) if isinstance(error, _NotReadable) else _mistakes(error),
            device_id=_device_id(document),
            config_version=_config_version(document),
            correlation_id=_correlation_id(metadata),
        )
    return Update(
        event_id=event.event_id,
        revision=event.revision,
        device_id=read.device_id,
        config_version=read.config_version,
        document=read.configuration,
        gateway_id=read.gateway_id,
        based_on=read.based_on,
        valid_until_ms=None if read.valid_until is None else unix_ms_of(read.valid_until),
        changed_by=read.changed_by,
        reason=read.reason,
        correlation_id=_correlation_id(metadata),
    )


def _object(what: str, raw: bytes) -> Document:
    if len(raw) > UPDATE_BYTES_MAX:
        raise _NotReadable(
            what, Code.TOO_LARGE, f"{what} has {len(raw)} bytes; {UPDATE_BYTES_MAX} are allowed", UPDATE_BYTES_MAX
        )
    try:
        value = read_json(raw, depth_max=DEPTH_MAX)
    except JsonRefused as error:
        limit = DEPTH_MAX if error.flaw is JsonFlaw.TOO_DEEP else None
        raise _NotReadable(what, CODES[error.flaw], f"{what} {error}", limit) from error
    if value is None and what == "metadata":
        return {}
    if not isinstance(value, dict):
        raise _NotReadable(what, Code.WRONG_TYPE, f"{what} must be a JSON object")
    return cast("Document", value)


def _check_schema_version(metadata: Document) -> None:
    version = metadata.get("schemaVersion", SCHEMA_VERSION)
    if isinstance(version, bool) or version != SCHEMA_VERSION:
        raise _NotReadable(
            "schemaVersion",
            Code.UNKNOWN_SCHEMA_VERSION,
            f"this gateway reads schemaVersion {SCHEMA_VERSION} only",
            SCHEMA_VERSION,
        )


def _mistakes(error: ValidationError) -> tuple[Mistake, ...]:
    problems = error.errors(include_url=False, include_context=False)
    return tuple(_mistake(str(problem["loc"][0]), _code(problem["type"], problem["input"])) for problem in problems)


def _mistake(key: str, code: Code) -> Mistake:
    message = f"{key} is missing" if code is Code.MISSING else f"{key} must be {_MUST_BE[key]}"
    return Mistake(path=key, code=code, message=message)


def _code(kind: str, value: object) -> Code:
    """Translate pydantic's word for what is wrong."""
    if kind == "missing":
        return Code.MISSING
    if kind == "int_type" and isinstance(value, float) and not math.isfinite(value):
        return Code.NOT_FINITE
    return Code.WRONG_TYPE if kind.endswith("_type") else Code.MALFORMED


def _device_id(document: Document) -> str | None:
    value = document.get("deviceId")
    return value if isinstance(value, str) and 0 < len(value) <= IDENTIFIER_LENGTH_MAX else None


def _config_version(document: Document) -> int | None:
    value = document.get("configVersion")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= INTEGER_MAX:
        return None
    return int(value) if value == int(value) else None


def _correlation_id(metadata: Document) -> str | None:
    value = metadata.get("$correlationId")
    return value if isinstance(value, str) and 0 < len(value) <= CORRELATION_ID_LENGTH_MAX else None
