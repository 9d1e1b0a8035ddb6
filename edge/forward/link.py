"""The event store as a whole: whether it can be reached, and whether it still holds what it acknowledged."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import structlog

from edge.domain.backoff import Backoff
from edge.domain.clock import Clock
from edge.domain.event_store import (
    AccessRefused,
    CredentialRefused,
    EventStore,
    EventStoreError,
    StreamDeleted,
    StreamNotFound,
)
from edge.forward.reconcile import Standing, standing
from edge.storage.batch import StreamNames
from edge.storage.cursors import Cursors, Witness
from edge.storage.errors import CommitFailed

log = structlog.get_logger()

# A link is back within a minute of its return; a hundred gateways do not come back in one second.
LINK_BACKOFF = Backoff(first_s=0.5, longest_s=30.0)
# Credentials are corrected by people.
CREDENTIAL_BACKOFF = Backoff(first_s=10.0, longest_s=300.0)

# Before the first commit position.
NOWHERE = -1


class LinkState(StrEnum):
    """The link in one word."""

    CONNECTING = "connecting"
    FORWARDING = "forwarding"
    UNREACHABLE = "unreachable"
    # The user is refused, or lacks a right on every stream.
    ACCESS_REFUSED = "access_refused"
    # Every event that is tried is called wrong.
    EVENTS_REFUSED = "events_refused"
    # A clone was detected; an operator decides.
    PARKED = "parked"


class Link:
    """Waits for all streams together: one of them finding the store gone speaks for all."""

    def __init__(self, clock: Clock, chance: Callable[[], float]) -> None:
        self.state = LinkState.CONNECTING
        # Counts losses; whatever was learned before the last one must be checked again.
        self.generation = 0
        self.last_error = ""
        self.last_success_s: float | None = None
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._resume_at_s = 0.0
        self._hurried = asyncio.Event()
        # The kind of error that was last logged of this outage.
        self._said: type[EventStoreError] | None = None

    @property
    def next_try_in_s(self) -> float | None:
        """Seconds until the event store is tried again; None while nothing holds that up."""
        wait_s = self._resume_at_s - self._clock.monotonic_s()
        return wait_s if wait_s > 0 and self.state is not LinkState.PARKED else None

    async def ready(self) -> None:
        """Wait until it is time to try (again)."""
        # A loss in the meantime may have moved the moment on.
        if self.state is LinkState.PARKED:
            await asyncio.Event().wait()
        while (wait_s := self._resume_at_s - self._clock.monotonic_s()) > 0:
            self._hurried.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._hurried.wait()

    def hurry(self) -> None:
        """Try at once: another client has just reached the event store."""
        self._resume_at_s = self._clock.monotonic_s()
        self._hurried.set()

    def lost(self, generation: int, error: EventStoreError | CommitFailed) -> bool:
        """Note a failure of a call that began in `generation`; whether it is news."""
        if generation != self.generation or self.state is LinkState.PARKED:
            return False
        self.generation += 1
        self._failures += 1
        state = self._state_after(error)
        backoff = CREDENTIAL_BACKOFF if state is LinkState.ACCESS_REFUSED else LINK_BACKOFF
        self._resume_at_s = self._clock.monotonic_s() + backoff.delay_s(self._failures, self._chance)
        self.last_error = str(error)
        self.state = state
        # An outage's reason may become another one: it is told again. The disk's is told by the writer.
        if type(error) is not self._said and not isinstance(error, CommitFailed):
            log.warning("event_store_lost", state=state.value, error=str(error))
            self._said = type(error)
        return True

    def _state_after(self, error: EventStoreError | CommitFailed) -> LinkState:
        match error:
            case CredentialRefused():
                return LinkState.ACCESS_REFUSED
            case CommitFailed():
                return self.state
            case _:
                return LinkState.UNREACHABLE

    def park(self, error: Exception) -> None:
        """Forward nothing more in this run: an operator decides. Measuring goes on."""
        if self.state is LinkState.PARKED:
            # Another stream that was under way shows the same.
            return
        log.error("forwarding_parked", error=str(error))
        self.state = LinkState.PARKED
        self.last_error = str(error)

    def succeeded(self) -> None:
        """Note that the event store did what it was asked."""
        self._failures = 0
        self.last_success_s = self._clock.monotonic_s()
        self.reached()

    def reached(self) -> None:
        """Note that the event store answered, be it with a refusal of one stream: that tells nothing of the others."""
        if self.state is LinkState.PARKED:
            return
        self.last_error, self._said = "", None
        if self.state is not LinkState.FORWARDING:
            log.info("event_store_reached")
            self.state = LinkState.FORWARDING


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

    - There is a witness only while every acknowledged event lies at or before it. An event that was found by reading,
      or that an earlier try had written, may lie after it: then there is none until an append that began later
      succeeds.
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
