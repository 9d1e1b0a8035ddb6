"""What a pushing driver may acknowledge to its sender, and when: in the order of arrival, nothing before its commit."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge.domain.reading import Sample


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
        # Calls it when everything else that is due was done: one commit settles some hundred samples, one after the other.
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
