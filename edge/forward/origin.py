"""Whose event this is, read from what every event of a gateway carries (DESIGN section 6). Pure."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from edge.domain.event import RecordedEvent

# What SQLite can hold as an integer, and so the last position or sequence that a file could ever give.
NUMBER_MAX = 2**63 - 1


class Kinship(Enum):
    """How an event in one of our streams relates to this database."""

    # This file gave it its position.
    OURS = auto()
    # Our gateway id, but a run or position this file does not know: it was restored, lost its tail, or has a clone.
    ESTRANGED = auto()
    # Somebody else wrote into our stream.
    FOREIGN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """An event's kinship; run and position where it carries them."""

    kinship: Kinship
    run: UUID | None = None
    position: int | None = None


def origin_of(event: RecordedEvent, *, gateway_id: str, is_known: Callable[[UUID, int], bool]) -> Origin:
    """Find out whose an event is. Whatever cannot be read is somebody else's."""
    metadata = _object(event.metadata)
    run, position = _run(metadata.get("run")), _number(metadata.get("position"))
    if run is None or position is None or _object(event.data).get("gatewayId") != gateway_id:
        return Origin(kinship=Kinship.FOREIGN)
    kinship = Kinship.OURS if is_known(run, position) else Kinship.ESTRANGED
    return Origin(kinship=kinship, run=run, position=position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an event that is set aside tells of itself."""

    run: str | None
    device_id: str | None
    sequence: int | None


def facts_of(data: bytes, metadata: bytes) -> Facts:
    """Read an event of our own."""
    body = _object(data)
    return Facts(
        run=_text(_object(metadata).get("run")),
        device_id=_text(body.get("deviceId")),
        sequence=_number(body.get("sequence")),
    )


def _object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _run(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _number(value: object) -> int | None:
    """Return a position or sequence as this file gives them: from 1 on."""
    # JSON's `true` would pass for the integer 1.
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 < value <= NUMBER_MAX else None


def _text(value: object) -> str | None:
    # JSON can escape half a character, which could not be written again.
    if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
        return None
    return value
