"""The weak cache: the ids of the latest events, by which appends without exact revision are recognised."""

from collections import deque
from collections.abc import Mapping, Sequence

# The real server's cache is 8 MiB: 50 to 90 thousand of its latest events.
RECENT_MAX = 50_000


class RecentIds:
    """Knows for each recent id the *first* stream that used it, and its revision and position. Never loaded at start."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, int, int]] = {}
        self._appends: deque[Sequence[str]] = deque()

    @property
    def known(self) -> Mapping[str, tuple[str, int, int]]:
        """Look up by id."""
        return self._known

    def remember(self, stream: str, ids: Sequence[str], first_revision: int, first_position: int) -> None:
        """Add one append's ids, and forget the oldest appends beyond the limit."""
        for index, event_id in enumerate(ids):
            self._known.setdefault(event_id, (stream, first_revision + index, first_position + index))
        self._appends.append(ids)
        while len(self._known) > RECENT_MAX:
            for event_id in self._appends.popleft():
                self._known.pop(event_id, None)

    def forget(self) -> None:
        """Forget everything, as a restart does."""
        self._known.clear()
        self._appends.clear()
