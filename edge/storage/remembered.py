"""What is remembered over restarts, in tables of one shape: alarms, descriptions, adopted devices, checkpoints.

A row is written or removed by the commit that holds the event which says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from edge.domain.alarm import AlarmIdentity, OpenAlarm
from edge.domain.event import Draft, EventType
from edge.storage.connection import Row
from edge.storage.database import OpenTransaction, Reader, Statement

ALARM_TYPES = frozenset({EventType.ALARM_RAISED, EventType.ALARM_CLEARED})

_REMEMBER = (
    "REPLACE INTO open_alarms (alarm, device_id, connection_id, point_id, stream, message, body, raised_at_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_FORGET = (
    "DELETE FROM open_alarms WHERE alarm = ? AND device_id = ? AND connection_id = ? AND point_id = ? AND stream = ?"
)
_SELECT = "SELECT alarm, device_id, connection_id, point_id, stream, message, body, raised_at_ms FROM open_alarms"
_IDENTITY = "alarm = ? AND device_id = ? AND connection_id = ? AND point_id = ? AND stream = ?"

# A restored store is recognised by the newest pair that still matches; what is older than these is read again.
CHECKPOINTS_KEPT = 100


class OpenAlarms:
    """What stands until an event ends it, once the outbox has written what it has taken in: alarms, and lost devices.

    In memory; the rows are few.

    All rooms raise and clear through the outbox, which looks here first. So an alarm is never raised twice while it is
    open, and never cleared while it is not. One alarm is raised and cleared by one room only.
    """

    def __init__(self, standing: Iterable[OpenAlarm] = ()) -> None:
        self._standing = {alarm.identity: alarm for alarm in standing}

    def take_in(self, standing: Iterable[OpenAlarm], waiting: Iterable[Draft]) -> None:
        """Learn what stands on disk, because a commit of unknown outcome may have opened or closed something.

        `waiting` are the events that were taken in and are not on disk yet, in their order.
        """
        self._standing = {alarm.identity: alarm for alarm in standing}
        for draft in waiting:
            self.note(draft)

    def __iter__(self) -> Iterator[OpenAlarm]:
        """Everything that stands, the oldest first. What is noted meanwhile does no harm."""
        return iter(list(self._standing.values()))

    def __contains__(self, identity: AlarmIdentity) -> bool:
        return identity in self._standing

    def find(self, identity: AlarmIdentity) -> OpenAlarm | None:
        """Return what is remembered of an alarm; None if it is not open."""
        return self._standing.get(identity)

    def is_news(self, draft: Draft) -> bool:
        """Whether an event says something new: it neither opens what is open, nor closes what is not."""
        assert draft.type not in ALARM_TYPES or draft.opens or draft.closes, "an alarm is drafted with what it opens"
        if draft.opens is not None and draft.opens.identity in self._standing:
            return False
        return draft.closes is None or draft.closes in self._standing

    def note(self, draft: Draft) -> None:
        """Take note of an event that the outbox has taken in; only the outbox calls this."""
        if draft.closes is not None:
            self._standing.pop(draft.closes, None)
        if draft.opens is not None:
            self._standing.setdefault(draft.opens.identity, draft.opens)


def remembering(drafts: Sequence[Draft]) -> list[Statement]:
    """Say what remembers and forgets what events open and close, in their order."""
    statements = []
    for draft in drafts:
        if draft.closes is not None:
            statements.append(Statement(_FORGET, [_key(draft.closes)]))
        if draft.opens is not None:
            alarm = draft.opens
            row = (*_key(alarm.identity), alarm.message, alarm.body, alarm.raised_at_ms)
            statements.append(Statement(_REMEMBER, [row]))
    return statements


async def load_open_alarms(reader: Reader) -> list[OpenAlarm]:
    """Return everything that stands on disk, the oldest first."""
    rows = await reader.fetch_all(f"{_SELECT} ORDER BY raised_at_ms, alarm, device_id, connection_id, point_id, stream")
    return [_open_alarm(row) for row in rows]


async def find_open_alarm(reader: Reader, identity: AlarmIdentity) -> OpenAlarm | None:
    """Return an alarm if it stands on disk."""
    row = await reader.fetch_one(f"{_SELECT} WHERE {_IDENTITY}", _key(identity))
    return None if row is None else _open_alarm(row)


def _open_alarm(row: Row) -> OpenAlarm:
    alarm, device_id, connection_id, point_id, stream, message, body, raised_at_ms = row
    return OpenAlarm(
        identity=AlarmIdentity(
            alarm=alarm,
            device_id=device_id or None,
            connection_id=connection_id or None,
            point_id=point_id or None,
            stream=stream or None,
        ),
        message=message,
        body=body,
        raised_at_ms=raised_at_ms,
    )


def _key(identity: AlarmIdentity) -> tuple[str, str, str, str, str]:
    """Return the key of a row. A primary key holds no NULL: what an identity does not carry is empty."""
    parts = (identity.device_id, identity.connection_id, identity.point_id, identity.stream)
    device_id, connection_id, point_id, stream = (part or "" for part in parts)
    return identity.alarm, device_id, connection_id, point_id, stream


class Description(NamedTuple):
    """The last DeviceDescribed of a device. Another one is written only when the content differs."""

    digest: str
    # JSON: the event's own fields.
    body: str


async def load_descriptions(reader: Reader) -> dict[str, Description]:
    """Return the last descriptions, by device."""
    rows = await reader.fetch_all("SELECT device_id, digest, body FROM descriptions")
    return {device_id: Description(digest, body) for device_id, digest, body in rows}


async def find_description(reader: Reader, device_id: str) -> Description | None:
    """Return a device's last description."""
    row = await reader.fetch_one("SELECT digest, body FROM descriptions WHERE device_id = ?", (device_id,))
    return None if row is None else Description(*row)


async def save_description(
    transaction: OpenTransaction, device_id: str, description: Description, *, now_ms: int
) -> None:
    """Put a device's description in the place of the one before."""
    await transaction.execute(
        "REPLACE INTO descriptions (device_id, digest, body, described_at_ms) VALUES (?, ?, ?, ?)",
        (device_id, description.digest, description.body, now_ms),
    )


async def remove_description(transaction: OpenTransaction, device_id: str) -> None:
    """Forget a device that was retired."""
    await transaction.execute("DELETE FROM descriptions WHERE device_id = ?", (device_id,))


class AdoptedName(NamedTuple):
    """A name that a group of a connection took on: a device of the runs to come, though no site file lists it."""

    connection_id: str
    group_id: str
    name: str


async def load_adopted(reader: Reader) -> list[AdoptedName]:
    """Return all names, the first adopted first."""
    rows = await reader.fetch_all(
        "SELECT connection_id, group_id, name FROM adopted_devices ORDER BY adopted_at_ms, connection_id, group_id, name"
    )
    return [AdoptedName(*row) for row in rows]


async def save_adopted(transaction: OpenTransaction, adopted: AdoptedName, *, now_ms: int) -> None:
    """Remember a name, in the transaction that describes its device. One that is known stays as it was."""
    await transaction.execute(
        "INSERT OR IGNORE INTO adopted_devices (connection_id, group_id, name, adopted_at_ms) VALUES (?, ?, ?, ?)",
        (*adopted, now_ms),
    )


async def remove_adopted(transaction: OpenTransaction, adopted: AdoptedName) -> None:
    """Forget a name."""
    await transaction.execute(
        "DELETE FROM adopted_devices WHERE connection_id = ? AND group_id = ? AND name = ?", tuple(adopted)
    )


class Checkpoint(NamedTuple):
    """An event that a subscription has dealt with, and where it stands: it tells if the stream is the one we knew."""

    revision: int
    event_id: UUID


async def add_checkpoint(transaction: OpenTransaction, stream: str, checkpoint: Checkpoint) -> None:
    """Remember another pair; the oldest go."""
    await transaction.execute(
        "REPLACE INTO checkpoints (stream, revision, event_id) VALUES (?, ?, ?)",
        (stream, checkpoint.revision, checkpoint.event_id.bytes),
    )
    await transaction.execute(
        "DELETE FROM checkpoints WHERE stream = ? AND revision <= (SELECT revision FROM checkpoints"
        " WHERE stream = ? ORDER BY revision DESC LIMIT 1 OFFSET ?)",
        (stream, stream, CHECKPOINTS_KEPT),
    )


async def load_checkpoints(reader: Reader, stream: str, *, limit: int = CHECKPOINTS_KEPT) -> list[Checkpoint]:
    """Return the remembered pairs of a stream, newest first."""
    rows = await reader.fetch_all(
        "SELECT revision, event_id FROM checkpoints WHERE stream = ? ORDER BY revision DESC LIMIT ?", (stream, limit)
    )
    return [Checkpoint(revision, UUID(bytes=event_id)) for revision, event_id in rows]


async def remove_checkpoints(transaction: OpenTransaction, stream: str, *, above_revision: int) -> None:
    """Forget pairs that no longer match, because the stream went back."""
    await transaction.execute("DELETE FROM checkpoints WHERE stream = ? AND revision > ?", (stream, above_revision))
