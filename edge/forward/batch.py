"""How much goes into one append."""

from collections.abc import Iterable, Sequence
from itertools import islice

from edge.domain.event import NewEvent
from edge.storage.entries import Entry

# The server's default limit on an append. An event beyond it is too large for every server that has not been changed.
APPEND_BYTES_MAX = 1024 * 1024
# Half of it leaves room for what the server counts and we do not.
BATCH_BYTES_MAX = APPEND_BYTES_MAX // 2
BATCH_EVENTS_MAX = 500


def size_of(entry: Entry) -> int:
    """Return an entry's size as the server counts it."""
    return len(entry.data) + len(entry.metadata) + 2 * len(entry.type)


def leading_batch(
    entries: Iterable[Entry], *, events_max: int = BATCH_EVENTS_MAX, bytes_max: int = BATCH_BYTES_MAX
) -> list[Entry]:
    """Take from the front what one append may hold: at least one entry, however large."""
    batch: list[Entry] = []
    size = 0
    for entry in islice(entries, events_max):
        size += size_of(entry)
        if size > bytes_max and batch:
            break
        batch.append(entry)
    return batch


def others_to_try(entries: Sequence[Entry]) -> list[Entry]:
    """Choose from what follows the first entry a few that may pass where the first does not: near ones, far ones, the last.

    Farther apart each time: a run of a thousand bad events is seen through with ten tries.
    """
    indices = {1 << power for power in range(len(entries).bit_length())} | {len(entries) - 1}
    return [entries[index] for index in sorted(indices) if 0 < index < len(entries)]


def new_events(entries: Iterable[Entry]) -> list[NewEvent]:
    """Turn entries into what the event store takes. A list: a retry must find them again."""
    return [
        NewEvent(event_id=entry.event_id, type=entry.type, data=entry.data, metadata=entry.metadata)
        for entry in entries
    ]
