"""Gives accepted events their numbers: positions from one counter, sequences per device within this run."""

from collections.abc import Mapping
from uuid import UUID

from edge.domain.event import Draft, Numbers
from edge.storage.cursor_row import LastSample
from edge.storage.entry import Entry
from edge.storage.streams import StreamNames


class Numbering:
    """The counters. A number that was given is never given again, whatever becomes of the commit."""

    def __init__(
        self, *, run: UUID, last_position: int, last_samples: Mapping[str, LastSample], streams: StreamNames
    ) -> None:
        self.last_position = last_position
        self._run = run
        # Of each device that has none in this run yet, the last sample of an earlier one.
        self._earlier = dict(last_samples)
        self._sequences: dict[str, int] = {}
        self._streams = streams

    def entry(self, draft: Draft) -> Entry:
        """Number an event and have it encoded."""
        position = self.last_position + 1
        numbers = Numbers(position=position) if draft.device_id is None else self._sample(position, draft.device_id)
        data, metadata = draft.encode(numbers)
        # Only now: if encoding failed, the numbers have not been used.
        self.last_position = position
        if draft.device_id is not None and numbers.sequence is not None:
            self._sequences[draft.device_id] = numbers.sequence
        stream = self._streams.number(draft.stream)
        return Entry(
            position, stream, draft.event_id, draft.type.value, data, metadata, draft.source_key, draft.delivery
        )

    def last_sample(self, device_id: str) -> LastSample:
        """Return the sample that got the device's newest number in this run. Raises KeyError if there is none."""
        return self._run, self._sequences[device_id]

    def _sample(self, position: int, device_id: str) -> Numbers:
        sequence = self._sequences.get(device_id, 0) + 1
        previous = self._earlier.get(device_id) if sequence == 1 else None
        return Numbers(position=position, sequence=sequence, previous=previous)
