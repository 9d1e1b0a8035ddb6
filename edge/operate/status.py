"""The status of the gateway as one JSON document, for `status --json`, the live view and later the page."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from uuid import UUID

from edge.domain.alarm import DEVICE_LOST, OpenAlarm
from edge.domain.clock import ClockState, rfc3339
from edge.domain.event import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmStatus:
    """An alarm that stands, raised in this run or an earlier one. What its identity does not carry is null."""

    alarm: str
    device_id: str | None
    connection_id: str | None
    point_id: str | None
    stream: str | None
    message: str
    # RFC 3339, as the box's clock was then.
    raised_at: str


@dataclass(frozen=True, kw_only=True)
class GatewayStatus:
    """The whole. The parts are the components' own frozen dataclasses; `as_json` writes what they hold."""

    gateway_id: str
    site_id: str
    site_file: str
    version: str
    pid: int
    run: str
    clock: ClockState
    # RFC 3339, the daemon's own clock.
    now: str
    # The oldest first.
    alarms: Sequence[AlarmStatus]
    event_store: object
    configuration: object
    outbox: object
    fleet: object


def alarm_statuses(standing: Iterable[OpenAlarm]) -> tuple[AlarmStatus, ...]:
    """Show the alarms among what stands; a lost device is shown with its condition."""
    return tuple(
        AlarmStatus(
            alarm=alarm.identity.alarm,
            device_id=alarm.identity.device_id,
            connection_id=alarm.identity.connection_id,
            point_id=alarm.identity.point_id,
            stream=alarm.identity.stream,
            message=alarm.message,
            raised_at=rfc3339(alarm.raised_at_ms),
        )
        for alarm in standing
        if alarm.identity.alarm != DEVICE_LOST
    )


def as_json(value: object) -> Json:
    """Turn frozen dataclasses into JSON with camelCase keys, as events have them.

    Raises TypeError for what has no place in a status (a component's live object, for instance).
    """
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, UUID | Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {key: as_json(getattr(value, name)) for name, key in _keys(type(value))}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [as_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no place in a status")


def json_pieces(value: object) -> Iterator[str]:
    """Write the JSON text of a status in pieces, the items of its lists one by one.

    Each piece is encoded when it is asked for: the status of 1,000 devices takes 30 ms, and the loop turns between.
    Raises what `as_json` raises.
    """
    if is_dataclass(value) and not isinstance(value, type):
        yield from json_pieces({key: getattr(value, name) for name, key in _keys(type(value))})
    elif isinstance(value, Mapping):
        opening = "{"
        for key, item in value.items():
            yield f"{opening}{json.dumps(str(key))}:"
            yield from json_pieces(item)
            opening = ","
        yield "}" if opening == "," else "{}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        opening = "["
        for item in value:
            yield opening + json.dumps(as_json(item), ensure_ascii=False)
            opening = ","
        yield "]" if opening == "," else "[]"
    else:
        yield json.dumps(as_json(value), ensure_ascii=False)


@cache
def _keys(kind: type) -> tuple[tuple[str, str], ...]:
    """Return the fields of a dataclass by name and JSON key. There are as many entries as classes in a status."""
    return tuple((field.name, camel_case(field.name)) for field in fields(kind))


def camel_case(name: str) -> str:
    """`last_position` -> `lastPosition`; ids and units keep their letters: `age_s` -> `ageS`."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
