"""What waits for the next commit: bounded, in order of arrival. What does not fit was never accepted."""

from collections import deque

from edge.domain.event import Draft

# 16 MiB of encoded events, or 10,000 of them, whichever comes first: 100 s at 100 samples a second while the disk does
# not answer, and a quarter of the memory the daemon may have (64 MiB) besides the objects they are made of.
ENTRIES_WAITING_MAX = 10_000
BYTES_WAITING_MAX = 16 * 1024 * 1024
# Control events do not go for telemetry: so many more of them are taken when the queue is full.
CONTROL_WAITING_RESERVE = 1000
# Of who can wait, this part of the places is enough for several full commits.
WAITING_SHARE = 0.5
# Before the first commit nobody knows how long events are; the usual sample has 600 bytes with its metadata.
EVENT_BYTES_GUESS = 1024


class Intake:
    """The queue before the writer."""

    def __init__(self, *, entries_max: int = ENTRIES_WAITING_MAX, bytes_max: int = BYTES_WAITING_MAX) -> None:
        self._waiting: deque[Draft] = deque()
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        # An event has no length before it is encoded, and cannot be encoded before it has its number: the recent mean
        # stands for it.
        self._event_bytes = float(EVENT_BYTES_GUESS)
        # How many drafts were ever refused.
        self.refused = 0
        # How many drafts were ever taken in, and given out.
        self.taken = 0
        self.given = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self) -> list[Draft]:
        """What is still in the queue, the oldest first."""
        return list(self._waiting)

    def offer(self, draft: Draft, *, can_wait: bool = False) -> bool:
        """Take a draft in, or refuse it: its author counts what was refused, and declares it.

        An author whose sender can wait (`can_wait`) gets no more than a share, loses nothing, and offers it again: were
        it to fill the queue each time that there is room, whoever asks at his time would find none.
        """
        room = self._entries_max if draft.is_telemetry else self._entries_max + CONTROL_WAITING_RESERVE
        part = WAITING_SHARE if can_wait else 1.0
        if len(self._waiting) >= part * min(room, room * self._bytes_max / (self._event_bytes * self._entries_max)):
            self.refused += not can_wait
            return False
        self.put(draft)
        return True

    def put(self, draft: Draft) -> None:
        """Take a draft in whose author waits for its commit: there are never more of these than there are tasks."""
        self._waiting.append(draft)
        self.taken += 1

    def give(self, count_max: int) -> list[Draft]:
        """Give out the oldest drafts."""
        drafts = [self._waiting.popleft() for _ in range(min(count_max, len(self._waiting)))]
        self.given += len(drafts)
        return drafts

    def learn_size(self, entries: int, size_bytes: int) -> None:
        """Take note of how long encoded events are."""
        if entries:
            # The mean over some ten commits: one long text does not shrink the queue for long.
            self._event_bytes += (size_bytes / entries - self._event_bytes) * 0.1
