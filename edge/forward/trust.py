"""Whether the event store still holds what it acknowledged: one read answers for all streams."""

import asyncio
from typing import NamedTuple
from uuid import UUID

from edge.domain.event_store import AccessRefused, EventStore, StreamDeleted, StreamNotFound
from edge.forward.reconcile import Standing, standing
from edge.storage.batch import StreamNames
from edge.storage.cursors import Cursors, Witness

# Before the first commit position.
NOWHERE = -1


class Outlook(NamedTuple):
    """What was known when an append began. An append writes after everything that was acknowledged before it began."""

    # The highest commit position that was acknowledged.
    position: int
    # How often events were acknowledged of which no commit position is known.
    unplaced: int


class Trust:
    """Doubts the event store, and proves it by the witness, the acknowledged event with the highest commit position.

    The store's log is one order, and a restore cuts it off at one place: while the witness stands under its id at its
    revision, every event before it stands.

    - There is a witness only while every acknowledged event lies at or before it. An event that was found by reading, or
      that an earlier try had written, may lie after it: then there is none until an append that began later succeeds.
    - Nothing is appended between a doubt and its end, so that no append to a restored store becomes the witness.
    - The proof makes no stream verified. It keeps verified what was verified before the doubt.
    """

    def __init__(self, event_store: EventStore, cursors: Cursors, streams: StreamNames) -> None:
        self._event_store = event_store
        self._cursors = cursors
        self._streams = streams
        # When the last doubt ended.
        self.settled_s = 0.0
        # At start the store is doubted.
        self._doubts = 1
        self._doubted = asyncio.Event()
        self._doubted.set()
        self._settled = asyncio.Event()
        self._unplaced = 0
        # The witness's commit position while there is a witness.
        self._highest = NOWHERE if cursors.witness is None else cursors.witness.commit_position

    def doubt(self) -> None:
        """Note that the event store may have been restored."""
        self._doubts += 1
        self._settled.clear()
        self._doubted.set()

    @property
    def is_doubted(self) -> bool:
        """Whether a doubt is not yet settled."""
        return self._doubted.is_set()

    async def ready(self) -> None:
        """Wait for the end of the doubt, and of any that begins before the caller goes on."""
        while not self._settled.is_set():
            await self._settled.wait()

    async def doubted(self) -> int:
        """Wait for a doubt; return what `settle` takes."""
        await self._doubted.wait()
        return self._doubts

    def settle(self, doubts: int, *, now_s: float) -> None:
        """End the doubt, unless there was another one since `doubted` returned this number."""
        if doubts == self._doubts:
            self.settled_s = now_s
            self._doubted.clear()
            self._settled.set()

    async def is_intact(self) -> bool:
        """Look for the witness. False: it is gone, or hidden, or there is none. Raises EventStoreError for the link."""
        witness = self._cursors.witness
        if witness is None:
            return False
        try:
            page = await self._event_store.read_forward(
                self._streams.name(witness.stream), from_revision=witness.revision, limit=1
            )
        except (StreamNotFound, StreamDeleted, AccessRefused):
            # This stream cannot tell. Each stream is asked for itself, and then each meets its own refusal.
            return False
        is_visible = bool(page) and page[0].revision == witness.revision
        return is_visible and standing(witness.revision, witness.event_id, page) is Standing.HOLDS

    def begin(self) -> Outlook:
        """Say what is known now; an append that begins gives it back to `acknowledge`."""
        return Outlook(self._highest, self._unplaced)

    def acknowledge(self, outlook: Outlook, stream: int, revision: int, event_id: UUID, position: int | None) -> None:
        """Take in an append that succeeded: its last event, and the commit position, if the server told it."""
        if position is None:
            self.acknowledge_unplaced()
            return
        if position <= outlook.position:
            # The log is shorter than it was, or an earlier try had written the events: the witness tells which.
            self.doubt()
        if position > self._highest:
            self._highest = position
            if self._cursors.witness is not None or outlook.unplaced == self._unplaced:
                self._cursors.witness = Witness(stream, revision, event_id, position)

    def acknowledge_unplaced(self) -> None:
        """Note that something was acknowledged which may lie after the witness."""
        self._unplaced += 1
        self._cursors.witness = None

    def forget(self) -> None:
        """Begin again with what is acknowledged from now on: the log's positions may mean other events now."""
        self.acknowledge_unplaced()
        self._highest = NOWHERE
