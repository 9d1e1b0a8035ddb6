"""How the outbox is doing."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatistics:
    """Figures for `status`, health and metrics."""

    # Entries that are not yet in the event store, by stream and together.
    pending_by_stream: Mapping[str, int]
    last_position: int
    # How long ago the last commit succeeded; None if none has yet.
    committed_age_s: float | None
    # Drafts that wait for the next commit.
    waiting: int
    entries_committed: int
    commits: int
    commits_failed: int
    # The disk does not take commits right now.
    is_failing: bool
    # Why; None while it takes them.
    failure: str | None
    blocks_damaged: int
    # Blocks that start had to decode: those after the cursors, or all of them if the cursors were lost.
    blocks_replayed: int
    quarantined: int
    refused: int
    parked: Mapping[str, str]

    @property
    def pending(self) -> int:
        """Entries of all streams that are not yet in the event store."""
        return sum(self.pending_by_stream.values())
