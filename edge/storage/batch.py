"""What one commit writes: numbers of streams, numbers of events, and the statements that put entries into the file."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from uuid import UUID

from edge.domain.alarm import AlarmIdentity
from edge.domain.event import Draft, Numbers
from edge.storage import sql
from edge.storage.connection import Row, SqlValue
from edge.storage.cursors import LastSample
from edge.storage.database import Reader, Statement, Transaction
from edge.storage.entries import Entry, control_row, encode_block
from edge.storage.errors import DatabaseDamaged
from edge.storage.remembered import OpenAlarms, find_open_alarm, remembering

# The reason for parking a stream of which only the number is left.
LOST = "its name is lost: the outbox's file is damaged, and its events are kept here"


class StreamRow(NamedTuple):
    """A row of the table `streams`."""

    number: int
    name: str
    # Nothing is appended until a person decides; None where the stream is not parked.
    parked_reason: str | None = None


async def load_streams(reader: Reader) -> list[StreamRow]:
    """Return all rows, in the order of their numbers. Raises DatabaseDamaged if a name or a number stands twice."""
    rows = await reader.fetch_all(sql.STREAMS)
    streams = [StreamRow(*row) for row in rows]
    # The table's own rules forbid both; an index that is damaged does not see it.
    names, numbers = Counter(row.name for row in streams), Counter(row.number for row in streams)
    twice = [what for what, count in (*names.items(), *numbers.items()) if count > 1]
    if twice:
        raise DatabaseDamaged(f"its table streams holds more than once: {', '.join(map(str, twice))}")
    return streams


class StreamNames:
    """Number and name of every stream this file ever wrote to. In memory; the rows are few.

    `name`, `numbers` and `parked` tell what stands in the table, and nothing else. A number that was given and is not
    in the table yet belongs to one name until the process ends, whatever becomes of the transaction that asked for it.
    """

    def __init__(self, rows: Iterable[StreamRow] = (), *, named_elsewhere: Iterable[int] = ()) -> None:
        """`named_elsewhere` are the numbers that entries and cursors name: new streams get higher ones."""
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._parked: dict[int, str] = {}
        # Numbers of names that have no row yet.
        self._given: dict[str, int] = {}
        self._named_elsewhere = frozenset(named_elsewhere)
        self._newest = 0
        self.take_in(rows)

    def take_in(self, rows: Iterable[StreamRow]) -> None:
        """Learn what the table holds: at start, and when a commit of unknown outcome may have written into it."""
        self._numbers, self._names, self._parked = {}, {}, {}
        for row in rows:
            self._numbers[row.name] = row.number
            self._names[row.number] = row.name
            self._given.pop(row.name, None)
            self.mark_parked(row.number, row.parked_reason)
        for number in self.lost():
            self._names[number] = f"(stream {number})"
            self._parked[number] = LOST
        self._newest = max(self._newest, *self._names, 0)

    def lost(self) -> list[int]:
        """Numbers that entries or cursors name and that have no row: it is unknown which stream they are."""
        return sorted(self._named_elsewhere - set(self._numbers.values()))

    def number(self, name: str) -> int:
        """Return a stream's number; a new one gets the next, written in the same commit as its first entry."""
        number = self._numbers.get(name) or self._given.get(name)
        if number is None:
            # Counting the names would give a number twice: one whose transaction failed has no row after a restart.
            self._newest += 1
            number = self._given[name] = self._newest
        return number

    def name(self, number: int) -> str:
        """Return the name behind a number. Raises KeyError for one that is not in the table."""
        return self._names[number]

    def numbers(self) -> list[int]:
        """All streams, in the order of their first entries."""
        return list(self._names)

    def parked(self) -> dict[int, str]:
        """Streams to which nothing is appended until a person decides, with the reason."""
        return dict(self._parked)

    def is_parked(self, number: int) -> bool:
        """Whether a stream is parked."""
        return number in self._parked

    def mark_parked(self, number: int, reason: str | None) -> None:
        """Note what a commit has just written (None = no longer parked); `Outbox.park` and `unpark` call this."""
        if reason is None:
            self._parked.pop(number, None)
        else:
            self._parked[number] = reason

    def unwritten(self, numbers: Iterable[int]) -> list[Statement]:
        """What must be written together with entries of these streams.

        Ask right before writing: a commit of unknown outcome may have written the row, and `take_in` then knows it. A
        row that is there nevertheless fails the commit, because two names would have one number.
        """
        wanted = set(numbers)
        rows = [(number, name) for name, number in self._given.items() if number in wanted]
        return [Statement(sql.INSERT_STREAM, rows)] if rows else []

    def mark_written(self, numbers: Iterable[int]) -> None:
        """Note that a commit with entries of these streams has succeeded."""
        written = set(numbers)
        for name, number in [item for item in self._given.items() if item[1] in written]:
            self._numbers[name] = number
            self._names[number] = name
            del self._given[name]


class Numbering:
    """Gives accepted events their numbers: positions from one counter, sequences per device within this run.

    A number that was given is never given again, whatever becomes of the commit.
    """

    def __init__(
        self, *, run: UUID, last_position: int, last_samples: Mapping[str, LastSample], streams: StreamNames
    ) -> None:
        self.last_position = last_position
        self._run = run
        # Of each device that has none in this run yet, the last sample of an earlier one.
        self._earlier = dict(last_samples)
        self._sequences: dict[str, int] = {}
        self._streams = streams

    def entry(self, draft: Draft) -> Entry:
        """Number an event and have it encoded."""
        position = self.last_position + 1
        numbers = Numbers(position=position) if draft.device_id is None else self._sample(position, draft.device_id)
        data, metadata = draft.encode(numbers)
        # Only now: if encoding failed, the numbers have not been used.
        self.last_position = position
        if draft.device_id is not None and numbers.sequence is not None:
            self._sequences[draft.device_id] = numbers.sequence
        stream = self._streams.number(draft.stream)
        return Entry(
            position, stream, draft.event_id, str(draft.type), data, metadata, draft.source_key, draft.delivery
        )

    def last_sample(self, device_id: str) -> LastSample:
        """Return the sample that got the device's newest number in this run. Raises KeyError if there is none."""
        return self._run, self._sequences[device_id]

    def _sample(self, position: int, device_id: str) -> Numbers:
        sequence = self._sequences.get(device_id, 0) + 1
        previous = self._earlier.get(device_id) if sequence == 1 else None
        return Numbers(position=position, sequence=sequence, previous=previous)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Entries on their way to disk. It keeps its numbers and bytes until it is there, however often that is tried."""

    entries: Sequence[Entry] = ()
    statements: Sequence[Statement] = ()
    # The newest sample in here of each device.
    samples: dict[str, LastSample] = field(default_factory=dict)
    # Samples in it must leave the reserved part of the quota to control events.
    has_telemetry: bool = False
    # The events in here that open or close an alarm.
    declarations: Sequence[Draft] = ()
    # To be called, in order, once it is on disk.
    on_committed: Sequence[Callable[[], None]] = ()

    @property
    def streams(self) -> set[int]:
        """The numbers of the streams that have entries in here."""
        return {entry.stream for entry in self.entries}

    @property
    def size_bytes(self) -> int:
        """Data and metadata of all entries."""
        return sum(len(entry.data) + len(entry.metadata) for entry in self.entries)


def form_batch(drafts: Sequence[Draft], numbering: Numbering, *, committed_at_ms: int) -> Batch:
    """Number and encode drafts in order. The rows of new streams are added when the batch is written."""
    entries = [numbering.entry(draft) for draft in drafts]
    telemetry = [entry for draft, entry in zip(drafts, entries, strict=True) if draft.is_telemetry]
    control = [entry for draft, entry in zip(drafts, entries, strict=True) if not draft.is_telemetry]
    statements: list[Statement] = []
    if telemetry:
        statements.append(Statement(sql.INSERT_BLOCK, [encode_block(telemetry, committed_at_ms=committed_at_ms)]))
    if control:
        rows = [control_row(entry, committed_at_ms=committed_at_ms) for entry in control]
        statements.append(Statement(sql.INSERT_CONTROL, rows))
        statements += remembering(drafts)
    devices = {draft.device_id for draft in drafts if draft.device_id is not None}
    return Batch(
        entries=entries,
        statements=statements,
        samples={device_id: numbering.last_sample(device_id) for device_id in devices},
        has_telemetry=bool(telemetry),
        declarations=[draft for draft in drafts if draft.opens is not None or draft.closes is not None],
        on_committed=[draft.on_accepted for draft in drafts if draft.on_accepted is not None],
    )


class OutboxTransaction:
    """What `Outbox.transaction` yields. Use only this in its body: the outbox and the database wait for its end."""

    def __init__(
        self,
        statements: Transaction,
        *,
        numbering: Numbering,
        streams: StreamNames,
        alarms: OpenAlarms,
        committed_at_ms: int,
    ) -> None:
        self._statements = statements
        self._numbering = numbering
        self._streams = streams
        self._alarms = alarms
        self._committed_at_ms = committed_at_ms
        # What this transaction itself opened and closed.
        self._declared: dict[AlarmIdentity, bool] = {}
        self._batches: list[Batch] = []
        self._on_commit: list[Callable[[], None]] = []

    async def execute(self, sql: str, parameters: Sequence[SqlValue] = ()) -> None:
        """Run a statement."""
        await self._statements.execute(sql, parameters)

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        """Run a query; all its rows."""
        return await self._statements.fetch_all(sql, parameters)

    async def fetch_one(self, sql: str, parameters: Sequence[SqlValue] = ()) -> Row | None:
        """Run a query; its first row, or None."""
        return await self._statements.fetch_one(sql, parameters)

    def append(self, draft: Draft) -> int:
        """Add a control event to the commit; return the position it will have.

        If the transaction fails the position is not used again, so that no number ever means two events.
        """
        assert not draft.is_telemetry, "a sample has its number from the group commit"
        assert draft.opens is None, "declare() looks first whether it says anything new"
        assert draft.closes is None, "as above"
        return self._append(draft)

    async def declare(self, draft: Draft) -> bool:
        """Add an event that opens or closes an alarm to the commit; whether it says anything new, else it is left out.

        The file is asked, not memory: an earlier try whose outcome was unknown may have written it.
        """
        is_news = (draft.closes is None or await self._is_open(draft.closes)) and (
            draft.opens is None or not await self._is_open(draft.opens.identity)
        )
        if is_news:
            self._append(draft)
            if draft.closes is not None:
                self._declared[draft.closes] = False
            if draft.opens is not None:
                self._declared[draft.opens.identity] = True
        self.on_commit(partial(self._alarms.note, draft))
        return is_news

    async def _is_open(self, identity: AlarmIdentity) -> bool:
        declared = self._declared.get(identity)
        return await find_open_alarm(self, identity) is not None if declared is None else declared

    def _append(self, draft: Draft) -> int:
        batch = form_batch([draft], self._numbering, committed_at_ms=self._committed_at_ms)
        self._batches.append(batch)
        return batch.entries[0].position

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have something called in the loop once all is on disk. It must not block or raise."""
        self._on_commit.append(call)

    async def write_entries(self) -> None:
        """Write what was appended; only the outbox calls this."""
        streams = self._streams.unwritten(self.batch().streams)
        for statement in [*streams, *(each for batch in self._batches for each in batch.statements)]:
            await self._statements.execute_many(statement.sql, statement.rows)

    def batch(self) -> Batch:
        """Return what was appended; only the outbox calls this."""
        return Batch(
            entries=[entry for batch in self._batches for entry in batch.entries],
            on_committed=[*self._on_commit, *(call for batch in self._batches for call in batch.on_committed)],
        )
