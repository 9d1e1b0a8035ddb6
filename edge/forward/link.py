"""The link to the event store as a whole: up, or being waited for."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

import structlog

from edge.domain.backoff import Backoff
from edge.domain.clock import Clock
from edge.domain.event_store import CredentialRefused, EventStoreError
from edge.storage.errors import CommitFailed

log = structlog.get_logger()

# A link is back within a minute of its return; a hundred gateways do not come back in one second.
LINK_BACKOFF = Backoff(first_s=0.5, longest_s=30.0)
# Credentials are corrected by people.
CREDENTIAL_BACKOFF = Backoff(first_s=10.0, longest_s=300.0)


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
