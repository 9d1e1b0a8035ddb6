"""How the configuration stream is followed: what interrupts it and until when, in the status, the log and an alarm."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import structlog

from edge.domain.alarm import AlarmKind
from edge.domain.author import Author
from edge.domain.backoff import Backoff
from edge.domain.event_store import AccessRefused, CredentialRefused, EventStoreError, Right, StreamDeleted
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox

# A store that comes back is noticed within a minute; the forwarder looks more often.
RETRY = Backoff(first_s=1.0, longest_s=60.0)
# Rights and tombstones are mended by people.
RETRY_AFTER_REFUSAL = Backoff(first_s=30.0, longest_s=300.0)

log = structlog.get_logger()


class FollowingState(StrEnum):
    """The following in one word."""

    CONNECTING = "connecting"
    FOLLOWING = "following"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowingStatus:
    """How configuration updates are followed."""

    state: FollowingState
    # The stream that is followed, or the one that interrupts it: an update is answered only when the answers that were
    # given before can be read.
    stream: str
    # How long the state has lasted.
    for_s: float
    # What interrupts it; "" = nothing.
    problem: str
    # None = it is not being waited for.
    next_try_in_s: float | None


class Following:
    """Keeps count of interruptions; raises the alarm of a stream that the user may not read, and clears it."""

    def __init__(self, *, outbox: Outbox, author: Author, chance: Callable[[], float]) -> None:
        self._outbox = outbox
        self._author = author
        self._clock = author.clock
        self._chance = chance
        self._configuration = author.stream(author.streams.configuration)
        self._answers = author.stream(author.streams.configuration_status)
        self._state = FollowingState.CONNECTING
        self._stream = self._configuration
        self._since_s = self._clock.monotonic_s()
        self._problem = ""
        self._next_try_s = 0.0
        self._failures = 0
        # The kind of problem that was last logged, and its stream.
        self._said: tuple[type[Exception], str] | None = None

    def interrupted(self, error: EventStoreError | CommitFailed) -> float:
        """Note that following ended, or could not begin; return how many seconds to wait."""
        self._failures += 1
        is_refused = isinstance(error, AccessRefused | CredentialRefused | StreamDeleted)
        self._stream = error.stream if isinstance(error, AccessRefused) else self._configuration
        self._problem = str(error)
        self._enter(FollowingState.INTERRUPTED)
        if (said := (type(error), self._stream)) != self._said:
            self._said = said
            say = log.error if is_refused else log.warning
            say("configuration_interrupted", stream=self._stream, cause=type(error).__name__, problem=str(error))
        if isinstance(error, AccessRefused):
            alarm = self._author.stream_alarm(AlarmKind.STREAM_REFUSED, error.stream)
            message = f"{error}; configuration updates are not answered until it may"
            self._outbox.offer(self._author.alarm_raised(alarm, message, body=error.right))
        wait_s = (RETRY_AFTER_REFUSAL if is_refused else RETRY).delay_s(self._failures, self._chance)
        self._next_try_s = self._clock.monotonic_s() + wait_s
        return wait_s

    def caught_up(self) -> None:
        """Note that every update there was has been read."""
        if self._failures:
            log.info("configuration_resumed", stream=self._configuration)
        self._failures, self._said = 0, None
        self._stream, self._problem = self._configuration, ""
        self._enter(FollowingState.FOLLOWING)
        for stream in (self._configuration, self._answers):
            self._clear(stream)

    def status(self) -> FollowingStatus:
        """Tell how it goes."""
        now_s = self._clock.monotonic_s()
        wait_s = self._next_try_s - now_s
        return FollowingStatus(
            state=self._state,
            stream=self._stream,
            for_s=now_s - self._since_s,
            problem=self._problem,
            next_try_in_s=wait_s if wait_s > 0 and self._state is FollowingState.INTERRUPTED else None,
        )

    def _enter(self, state: FollowingState) -> None:
        if state is not self._state:
            self._state, self._since_s = state, self._clock.monotonic_s()

    def _clear(self, stream: str) -> None:
        """Both streams were read. That answers may not be appended is the forwarder's to say, and to clear."""
        alarm = self._author.stream_alarm(AlarmKind.STREAM_REFUSED, stream)
        standing = self._outbox.alarms.find(alarm)
        if standing is not None and standing.body == Right.READ:
            self._outbox.offer(self._author.alarm_cleared(alarm))
