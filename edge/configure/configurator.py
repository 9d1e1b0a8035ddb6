"""Follows the gateway's configuration stream without end, and answers every update on it exactly once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import structlog

from edge.configure.announce import Announcer
from edge.configure.case import Answers, Unanswered
from edge.configure.following import Following, FollowingStatus
from edge.configure.given_answers import take_in_given_answers
from edge.configure.inbox import Inbox
from edge.configure.judge import Demands, Outcome
from edge.configure.subscription import Chunk, find_resumption
from edge.domain.author import Author
from edge.domain.configuration import DeviceFleet
from edge.domain.event import RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    EventStore,
    EventStoreError,
    EventStoreUnavailable,
)
from edge.storage.configurations import forget_revisions, remove_pending_above
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox
from edge.storage.remembered import Checkpoint, load_checkpoints, remove_checkpoints

# The first poll waits that long for what the event store says of the configuration. A connection with TLS over a mobile
# link and the few reads of a start take one or two seconds; a grower does not notice three.
FIRST_LOOK_S = 3.0

VALID_OUTCOMES = (Outcome.APPLIED.value, Outcome.SUPERSEDED.value)

log = structlog.get_logger()


class _StreamWentBack(Exception):  # noqa: N818 - what happened
    """The configuration stream has lost events that were read."""


class Configurator:
    """The configuration loop's task."""

    def __init__(
        self,
        *,
        event_store: EventStore,
        outbox: Outbox,
        fleet: DeviceFleet,
        author: Author,
        is_reason_required: bool,
        chance: Callable[[], float],
        on_reached: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._event_store = event_store
        self._outbox = outbox
        self._fleet = fleet
        self._author = author
        # What the forwarder wants to know: the event store took the subscription; it did not, or ended it.
        self._on_reached = on_reached
        self._on_lost = on_lost
        self._announcer = Announcer(outbox=outbox, author=author, fleet=fleet)
        self._demands = Demands(gateway_id=author.gateway_id, is_reason_required=is_reason_required)
        self._stream = author.stream(author.streams.configuration)
        self._following = Following(outbox=outbox, author=author, chance=chance)
        self._has_looked = asyncio.Event()

    def status(self) -> FollowingStatus:
        """Tell how updates are followed."""
        return self._following.status()

    async def first_look(self) -> None:
        """Return when what the event store says of the configuration is in force, or when it is not to be waited for.

        Measuring must not begin with settings that are known to be old, nor wait for a link that there is not: this
        returns at the first failure, and after FIRST_LOOK_S at the latest.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._has_looked.wait()

    async def run(self) -> None:
        """Follow the stream and answer; come back after every loss."""
        while True:
            wait_s = 0.0
            try:
                await self._answer_all()
            except* _StreamWentBack:
                # What is read and not answered may stand elsewhere now, or nowhere.
                pass
            except* CommitFailed as failed:
                wait_s = self._interrupted(_first(failed))
            _stop_if_asked()
            await asyncio.sleep(wait_s)

    async def _answer_all(self) -> None:
        """Answer updates, each device's in a task of its own, until the disk does not take it or the stream goes back.

        A lost link ends no case: a device that takes long goes on, and is answered.
        """
        # Needs no link: what is in force is said at every start, and after a commit of unknown outcome.
        await self._announcer.announce()
        async with asyncio.TaskGroup() as tasks:
            answers = Answers(
                outbox=self._outbox,
                author=self._author,
                fleet=self._fleet,
                announcer=self._announcer,
                demands=self._demands,
                unanswered=Unanswered(self._stream, clock=self._author.clock),
            )
            inbox = Inbox(answers, tasks, on_settled=self._has_looked.set)
            while True:
                try:
                    await self._follow(inbox)
                except EventStoreError as error:
                    await asyncio.sleep(self._interrupted(error))

    def _interrupted(self, error: EventStoreError | CommitFailed) -> float:
        """Note that following ended; return how many seconds to wait."""
        self._has_looked.set()
        if isinstance(error, EventStoreUnavailable):
            self._on_lost()
        return self._following.interrupted(error)

    async def _follow(self, inbox: Inbox) -> None:
        """Follow the stream until it is lost."""
        resumed_at = await self._resume(inbox)
        # After `_resume`, which has the status stream read from its start where the other one went back.
        await take_in_given_answers(self._event_store, self._outbox, self._author)
        await inbox.open(resumed_at)
        after = NO_STREAM if resumed_at is None else resumed_at.revision
        async with self._event_store.subscribe(self._stream, after_revision=after) as items:
            self._on_reached()
            await self._work(inbox, items)

    async def _work(self, inbox: Inbox, items: AsyncIterator[RecordedEvent | CaughtUp]) -> None:
        chunk, is_live = Chunk(), False
        async for item in items:
            if isinstance(item, CaughtUp):
                self._following.caught_up()
                await inbox.take(chunk.take_out())
                await inbox.caught_up()
                is_live = True
            elif is_live:
                await inbox.take_one(item)
            else:
                chunk.add(item)
                if chunk.is_full:
                    await inbox.take(chunk.take_out())

    async def _resume(self, inbox: Inbox) -> Checkpoint | None:
        """Return the event after which to go on; forget what the stream no longer holds."""
        known = await load_checkpoints(self._outbox.database, self._stream)
        newest = [] if inbox.last is None else [inbox.last]
        resumption = await find_resumption(self._event_store, self._stream, [*newest, *known])
        if not resumption.has_gone_back:
            return resumption.after
        revision = NO_STREAM if resumption.after is None else resumption.after.revision
        log.warning("configuration_stream_went_back", stream=self._stream, to_revision=revision)
        async with self._outbox.transaction() as transaction:
            await remove_checkpoints(transaction, self._stream, above_revision=revision)
            await remove_pending_above(transaction, revision)
            await forget_revisions(transaction, above_revision=revision, valid_outcomes=VALID_OUTCOMES)
            # Updates may come again whose answers were forgotten here: the status stream is read from its start.
            status_stream = self._author.stream(self._author.streams.configuration_status)
            await remove_checkpoints(transaction, status_stream, above_revision=NO_STREAM)
        if inbox.last is not None:
            raise _StreamWentBack
        return resumption.after


def _stop_if_asked() -> None:
    """Before Python 3.13, a task group that fails in the moment of a stop tells the failure alone."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _first(failed: BaseExceptionGroup[CommitFailed]) -> CommitFailed:
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, CommitFailed)
    return error
