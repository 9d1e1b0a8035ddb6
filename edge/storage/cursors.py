"""How far each stream has been forwarded. In memory; the outbox writes them with a later commit, packed into one row."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from edge.storage.entry import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """One stream's state.

    `forwarded_position` is a bound, not the position of an event: every entry of the stream up to it is in the event
    store. While nothing is pending it moves along with the log, so that an entry after months of silence does not make
    anybody scan those months. Which event is the last one there, `acked_event_id` tells.
    """

    # The revision of the stream's last event, NO_STREAM, or None: never appended to from this file, or not known any
    # more. The forwarder then adopts the stream.
    acked_revision: int | None = None
    # The event at `acked_revision`; None = unknown, or there is no such event.
    acked_event_id: UUID | None = None
    forwarded_position: int = 0
    # The stream's newest entry.
    last_position: int = 0
    # Entries not yet forwarded. An estimate after `rewind` or a damaged block; exact again when the stream caught up.
    pending: int = 0

    @property
    def is_lagging(self) -> bool:
        """Whether entries of the stream are still to be forwarded."""
        return self.last_position > self.forwarded_position


NOWHERE = Cursor()


class Cursors:
    """The cursors of all streams, by the streams' numbers."""

    def __init__(self, cursors: dict[int, Cursor] | None = None) -> None:
        self._cursors = dict(cursors or {})
        # Called after each change, so that the row is written in time; the outbox sets it.
        self.on_change: Callable[[], None] = lambda: None

    def __getitem__(self, stream: int) -> Cursor:
        return self._cursors.get(stream, NOWHERE)

    def all(self) -> dict[int, Cursor]:
        """All cursors, by stream."""
        return dict(self._cursors)

    def lagging(self) -> dict[int, Cursor]:
        """Return the cursors of the streams of which something is still to be forwarded, parked ones included."""
        return {stream: cursor for stream, cursor in self._cursors.items() if cursor.is_lagging}

    def acknowledge(self, stream: int, *, revision: int, event_id: UUID | None, position: int, count: int = 0) -> None:
        """Note that the event store holds the stream's entries up to `position`, the last of them at `revision`.

        `count` is how many entries that were (for the depth in statistics). A position that was passed already is no
        step back: adopting a stream's tail acknowledges an old entry.
        """
        cursor = self[stream]
        forwarded = max(position, cursor.forwarded_position)
        pending = 0 if forwarded >= cursor.last_position else max(1, cursor.pending - count)
        self._put(
            stream,
            replace(
                cursor,
                acked_revision=revision,
                acked_event_id=event_id,
                forwarded_position=forwarded,
                pending=pending,
            ),
        )

    def advance(self, stream: int, *, position: int) -> None:
        """Note that nothing of the stream up to `position` is left to forward: it is quarantined, damaged or dropped."""
        cursor = self[stream]
        if position > cursor.forwarded_position:
            pending = 0 if position >= cursor.last_position else cursor.pending
            self._put(stream, replace(cursor, forwarded_position=position, pending=pending))

    def rewind(
        self, stream: int, *, revision: int | None, event_id: UUID | None, position: int, count: int = 0
    ) -> None:
        """Note that the event store went back: of this stream it only holds what is up to `position`.

        Everything retained after it is pending again; `count`, where the caller knows it, is how many that are.
        `revision` is the stream's last one, NO_STREAM, or None = find out (adopt).
        """
        cursor = self[stream]
        pending = max(cursor.pending, count, 1) if cursor.last_position > position else 0
        self._put(
            stream,
            replace(
                cursor,
                acked_revision=revision,
                acked_event_id=event_id,
                forwarded_position=position,
                pending=pending,
            ),
        )

    def note_committed(self, entries: Iterable[Entry]) -> None:
        """Take in what a commit has just put on disk; only the outbox calls this."""
        for entry in entries:
            cursor = self._cursors.get(entry.stream, NOWHERE)
            forwarded = cursor.forwarded_position if cursor.is_lagging else entry.position - 1
            self._cursors[entry.stream] = Cursor(
                acked_revision=cursor.acked_revision,
                acked_event_id=cursor.acked_event_id,
                forwarded_position=forwarded,
                last_position=entry.position,
                pending=cursor.pending + 1,
            )
        self.on_change()

    def forwarded_through(self, last_position: int) -> int:
        """Return the position up to which every entry of every stream is forwarded; `last_position` if all are."""
        return min((cursor.forwarded_position for cursor in self.lagging().values()), default=last_position)

    def _put(self, stream: int, cursor: Cursor) -> None:
        self._cursors[stream] = cursor
        self.on_change()
