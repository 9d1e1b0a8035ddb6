"""One stream's next step: verify it, or append its leading batch. One append in flight per stream, always exact."""

from dataclasses import dataclass
from typing import Literal

import structlog

from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.author import Author, encode_json
from edge.domain.event import Draft, EventType
from edge.domain.event_store import (
    AppendTooLarge,
    EventStore,
    EventStoreError,
    EventStoreUnavailable,
    RequestRefused,
    StreamDeleted,
    WrongExpectedRevision,
)
from edge.domain.facts import EventQuarantined
from edge.domain.json_form import json_of
from edge.forward.batch import APPEND_BYTES_MAX, BATCH_EVENTS_MAX, leading_batch, new_events, others_to_try, size_of
from edge.forward.link import Trust
from edge.forward.queues import Queues, StreamQueue
from edge.forward.reconcile import Mark, facts_of
from edge.forward.refusals import EventsRefused
from edge.forward.verification import Verification
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# A refusal is followed by reading back, which explains it. So many in a row explain nothing: wait before going on.
CONFLICTS_MAX = 3
# No stream ever has so many events, so an append after this revision is never written. The server judges the events
# before it compares the revision: the answer tells whether it would have taken them.
UNREACHED_REVISION = 10**12


@dataclass(frozen=True, kw_only=True)
class StreamForwarder:
    """Takes steps for whichever stream it is given; all state is in the queue and the cursors."""

    event_store: EventStore
    outbox: Outbox
    queues: Queues
    author: Author
    verification: Verification
    trust: Trust

    async def step(self, queue: StreamQueue) -> int:
        """Take one step; return how many events were forwarded.

        Raises AccessRefused and EventsRefused for what concerns the stream, other EventStoreErrors for the link.
        """
        try:
            if not queue.is_verified:
                await self.verification.verify(queue)
            # It may have been distrusted again while it was compared.
            return await self._append(queue) if queue.is_verified else 0
        except StreamDeleted as error:
            await self._park(queue, error)
            return 0

    async def _append(self, queue: StreamQueue) -> int:
        batch = leading_batch(queue.entries, events_max=queue.events_max)
        if not batch:
            return 0
        revision = self.outbox.cursors[queue.number].acked_revision
        assert revision is not None, "verified streams have a revision"
        outlook = self.trust.begin()
        try:
            position = await self.event_store.append(queue.name, new_events(batch), expected_revision=revision)
        except WrongExpectedRevision as error:
            self._conflict(queue, error)
            return 0
        except (AppendTooLarge, RequestRefused) as error:
            await self._split(queue, batch, error)
            return 0
        # The revision is computed: what the server answers may be that of an earlier try.
        self.outbox.cursors.acknowledge(
            queue.number,
            revision=revision + len(batch),
            event_id=batch[-1].event_id,
            position=batch[-1].position,
            count=len(batch),
        )
        last = Mark(revision + len(batch), batch[-1].event_id)
        self.trust.acknowledge(outlook, queue.number, *last, position)
        queue.marks.note(last)
        self.queues.forwarded(queue, batch[-1].position)
        queue.is_tail_seen, queue.conflicts = True, 0
        queue.events_max = min(BATCH_EVENTS_MAX, queue.events_max * 2)
        return len(batch)

    def _conflict(self, queue: StreamQueue, error: WrongExpectedRevision) -> None:
        queue.distrust()
        queue.refused_at = error.actual
        queue.conflicts += 1
        if queue.conflicts >= CONFLICTS_MAX:
            queue.conflicts = 0
            raise EventStoreUnavailable(
                f"{queue.name} refuses appends that reading it back does not explain"
            ) from error

    async def _split(self, queue: StreamQueue, batch: list[Entry], error: EventStoreError) -> None:
        """Halve what is too large or wrong until it is one event; that one is set aside if others of the stream pass.

        While none passes, nothing shows that it is the event's fault. Nothing waits behind the last event, so it can stay
        until another one comes.
        """
        if len(batch) > 1:
            queue.events_max = len(batch) // 2
            return
        entry = batch[0]
        is_certain = isinstance(error, AppendTooLarge) and size_of(entry) > APPEND_BYTES_MAX
        if not is_certain and not await self._is_at_fault(queue, entry):
            reason = f"the event store refuses what {queue.name} has: {error}"
            raise EventsRefused(reason, is_alone=not queue.has_more) from error
        # The client library repeats by itself: an earlier try of this append may have been written.
        await self.verification.verify(queue)
        if queue.is_verified and queue.entries and queue.entries[0] is entry:
            await self._set_aside(queue, entry, error)

    async def _is_at_fault(self, queue: StreamQueue, suspect: Entry) -> bool:
        """Whether the event store refuses one event, and would take another of the stream, before and after."""
        for entry in await self._others(queue, suspect):
            if await self._would_take(queue, entry):
                return not await self._would_take(queue, suspect) and await self._would_take(queue, entry)
        return False

    async def _others(self, queue: StreamQueue, suspect: Entry) -> list[Entry]:
        """Return what may be asked about besides the suspect."""
        others = others_to_try(queue.entries)
        if queue.lags:
            others += (await self.outbox.read_after(queue.last_position - 1, bytes_max=1)).entries[:1]
        return [entry for entry in others if entry.stream == queue.number and entry.position != suspect.position]

    async def _would_take(self, queue: StreamQueue, entry: Entry) -> bool:
        """Whether the event store finds nothing wrong with an event. It is not written."""
        try:
            await self.event_store.append(queue.name, new_events([entry]), expected_revision=UNREACHED_REVISION)
        except (AppendTooLarge, RequestRefused):
            return False
        except WrongExpectedRevision:
            return True
        # A server that takes what follows nothing does not look at what it is given.
        return False

    async def _set_aside(self, queue: StreamQueue, entry: Entry, error: EventStoreError) -> None:
        reason: Literal["too_large", "refused"] = "too_large" if isinstance(error, AppendTooLarge) else "refused"
        facts = facts_of(entry.data, entry.metadata)
        quarantined = EventQuarantined(
            device_id=facts.device_id,
            stream=queue.name,
            event_id=entry.event_id,
            event_type=entry.type,
            position=entry.position,
            run=facts.run,
            sequence=facts.sequence,
            reason=reason,
            detail=str(error),
        )
        log.error("event_quarantined", **json_of(quarantined))
        # A declaration that is refused itself is told by the log only: declaring that would never end.
        declarations: tuple[Draft, ...] = ()
        if entry.type != EventType.EVENT_QUARANTINED:
            declarations = (self.author.control(quarantined),)
        await self.outbox.quarantine(entry, reason=encode_json([reason, str(error)]), declarations=declarations)
        self.outbox.cursors.advance(queue.number, position=entry.position)
        self.queues.forwarded(queue, entry.position)
        self.queues.resume(queue)

    async def _park(self, queue: StreamQueue, error: StreamDeleted) -> None:
        """Never re-create what somebody deleted for ever; the entries stay until an operator decides."""
        log.error("stream_parked", stream=queue.name, error=str(error))
        message = f"{queue.name} was deleted in the event store; its events are kept here until somebody decides"
        alarm = AlarmIdentity(alarm=AlarmKind.STREAM_PARKED, stream=queue.name)
        raised = self.author.alarm_raised(alarm, message)
        await self.outbox.park(queue.number, "deleted in the event store", raised)
        self.queues.restart(queue, self.outbox.cursors[queue.number].forwarded_position)
