"""What is on disk, as memory knows it: changed only when a commit has succeeded."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

from edge.storage.batch import Batch
from edge.storage.cursor_row import CursorRow, LastSample
from edge.storage.cursors import Cursors
from edge.storage.entry import Entry
from edge.storage.numbering import Numbering
from edge.storage.recovery import Recovered

Listener: TypeAlias = Callable[[Sequence[Entry]], None]


class Ledger:
    """Streams, cursors, counters and runs, and who wants to hear of commits."""

    def __init__(self, recovered: Recovered, *, run: UUID) -> None:
        self.run = run
        self.streams = recovered.streams
        self.cursors = recovered.cursors
        self.alarms = recovered.alarms
        # How many entries are set aside; their positions stay in the file.
        self.quarantined = recovered.quarantined
        self.numbering = Numbering(
            run=run,
            last_position=recovered.last_position,
            last_samples=recovered.last_samples,
            streams=recovered.streams,
        )
        # Everything up to here is on disk and may be read.
        self.last_position = recovered.last_position
        self.blocks_replayed = recovered.blocks_replayed
        self.entries_committed = 0
        self.commits = 0
        # The last run before this one that wrote something; None in a new file.
        self.previous_run = next(reversed([*recovered.runs.last_positions]), None)
        self._runs = recovered.runs
        self._last_samples = dict(recovered.last_samples)
        self._listeners: list[Listener] = []

    def attach(self, listener: Listener) -> None:
        """Have a listener called after each commit, with its entries in the order of their positions."""
        self._listeners.append(listener)

    def publish(self, batch: Batch) -> None:
        """Take in a batch that is on disk, then tell everybody: first who waits for it, then who reads along."""
        self.commits += 1
        if batch.entries:
            self.last_position = batch.entries[-1].position
            self.entries_committed += len(batch.entries)
            self._last_samples.update(batch.samples)
            self.streams.mark_written(batch.streams)
            self.cursors.note_committed(batch.entries)
        for accepted in batch.on_committed:
            accepted()
        if batch.entries:
            for listener in self._listeners:
                listener(batch.entries)

    def note_quarantined(self) -> None:
        """Take in that another entry was set aside."""
        self.quarantined += 1

    def last_samples(self) -> Mapping[str, LastSample]:
        """The last committed sample of each device."""
        return dict(self._last_samples)

    def cursor_row(self, cursors: Cursors) -> CursorRow:
        """Return what start must know, with these cursors."""
        return CursorRow(
            position=self.last_position,
            streams=cursors.all(),
            devices=self.last_samples(),
            witness=cursors.witness,
        )

    def is_known(self, run: UUID, position: int) -> bool:
        """Whether this file gave that position in that run."""
        return 0 < position <= self.last_position if run == self.run else self._runs.is_known(run, position)
