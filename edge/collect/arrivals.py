"""The samples that came over a pushing connection: when each is acknowledged, and whether it came before.

They are acknowledged in the order of arrival, none before its commit. A sender that missed our acknowledgement sends
again, and that gives no second event.

What proves that a sample came before is one of three:
- its payload has an identity or a time of its own, and its key is known;
- its sender names the delivery that it repeats, the driver is certain of it, and the same key came with that delivery;
- a broker had retained it, and nothing else was recorded of the same place since.

A sample whose sender says that it repeats, without proof, is likely a repetition and maybe the only copy there is.

A key is known from the moment its sample was offered to the outbox. A repetition may be settled at once, though what it
repeats is not on disk yet: the ledger acknowledges in the order of arrival, and the first arrival stands before it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from edge.domain.reading import SOURCE_KEY_LENGTH_MAX, Origin, Sample
from edge.storage.entries import Keyed

# The newest keys of one connection, some MiB of them. More than the outbox's queue holds, so that nothing on its way to
# disk is forgotten; a broker sends again what it has in flight, some hundreds of messages; radio networks deliver twice
# within minutes.
KEYS_MAX = 16_384

_PLACE_LENGTH = SOURCE_KEY_LENGTH_MAX // 2

_Value = TypeVar("_Value")


@dataclass(slots=True, eq=False)
class Receipt:
    """The place of one sample in the order of arrival."""

    sample: Sample
    _note_settled: Callable[[], None] = field(repr=False)
    is_settled: bool = False

    def settle(self) -> None:
        """Say that nothing more is owed to this sample: it is on disk, or there was nothing to keep."""
        self.is_settled = True
        self._note_settled()


def _in_this_loop(release: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(release)


class Ledger:
    """All samples that came in and are not acknowledged yet.

    Its length is bounded by what the driver returns from one `receive` and by `RECEIPTS_MAX` of the collector: the next
    one is not called before each sample of this one was taken or found to be nothing to keep.
    """

    def __init__(
        self,
        acknowledge: Callable[[Sequence[Sample]], None],
        *,
        soon: Callable[[Callable[[], None]], object] = _in_this_loop,
    ) -> None:
        self._acknowledge = acknowledge
        # Calls it when everything else that is due was done: one commit settles some hundred samples, one after the
        # other.
        self._soon = soon
        self._is_releasing = False
        self._receipts: deque[Receipt] = deque()

    def __len__(self) -> int:
        return len(self._receipts)

    def enter(self, samples: Sequence[Sample]) -> list[Receipt]:
        """Note the arrival of samples."""
        receipts = [Receipt(sample, self._note_settled) for sample in samples]
        self._receipts.extend(receipts)
        return receipts

    def _note_settled(self) -> None:
        if not self._is_releasing and self._receipts and self._receipts[0].is_settled:
            self._is_releasing = True
            self._soon(self._release)

    def _release(self) -> None:
        """Acknowledge what is settled, up to the first sample that is not."""
        self._is_releasing = False
        released: list[Sample] = []
        while self._receipts and self._receipts[0].is_settled:
            released.append(self._receipts.popleft().sample)
        if released:
            self._acknowledge(released)


class Repeats:
    """The source keys of one connection."""

    def __init__(self, accepted: Iterable[Keyed] = (), *, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        # In all three, the oldest first.
        self._keys: dict[bytes, None] = {}
        # The name of a delivery, and a key that came by it -> the id of its event; None: it gave none.
        self._events: dict[bytes, bytes | None] = {}
        # The first half of a key, which is its place -> the newest key of that place.
        self._newest: dict[bytes, bytes] = {}
        for keyed in accepted:
            self._note(keyed.source_key, keyed.delivery, keyed.event_id)
            self._note_newest(keyed.source_key)

    def repeats(self, sample: Sample) -> bool:
        """Whether a sample came before, beyond doubt."""
        if sample.may_repeat and sample.source_key in self._keys:
            return True
        if sample.redelivery is not None and sample.redelivery.is_certain:
            return sample.redelivery.of + sample.source_key in self._events
        if sample.origin is not Origin.RETAINED:
            return False
        return self._newest.get(sample.source_key[:_PLACE_LENGTH]) == sample.source_key

    def original(self, sample: Sample) -> UUID | None:
        """Return the event that a sample likely repeats, as its sender says; None if there is none."""
        if sample.redelivery is None:
            return None
        event_id = self._events.get(sample.redelivery.of + sample.source_key)
        return None if event_id is None else UUID(bytes=event_id)

    def remember(self, sample: Sample, event_id: UUID | None) -> None:
        """Note a sample that was offered, and the event that tells of it; None: it was not worth one."""
        if not sample.source_key:
            return
        # Of what proves itself by its time, too: a clock that is set between two deliveries takes the proof away.
        self._note(sample.source_key, sample.delivery, event_id)
        if not sample.may_repeat:
            self._note_newest(sample.source_key)

    def _note(self, key: bytes, delivery: bytes, event_id: UUID | None) -> None:
        self._put(self._keys, key, None)
        if delivery:
            self._put(self._events, delivery + key, None if event_id is None else event_id.bytes)

    def _note_newest(self, key: bytes) -> None:
        self._put(self._newest, key[:_PLACE_LENGTH], key)

    def _put(self, known: dict[bytes, _Value], key: bytes, value: _Value) -> None:
        # To the end, if it was there.
        known.pop(key, None)
        known[key] = value
        if len(known) > self._keys_max:
            del known[next(iter(known))]
