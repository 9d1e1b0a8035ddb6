"""What a pushing driver may acknowledge to its sender, and when: in the order of arrival, nothing before its commit."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge.domain.reading import Sample


@dataclass(slots=True, eq=False)
class Receipt:
    """The place of one sample in the order of arrival."""

    sample: Sample
    _release: Callable[[], None] = field(repr=False)
    is_settled: bool = False

    def settle(self) -> None:
        """Say that nothing more is owed to this sample: it is on disk, or there was nothing to keep."""
        self.is_settled = True
        self._release()


class Ledger:
    """All samples that came in and are not acknowledged yet.

    Its length is bounded by what the driver returns from one `receive` and by `RECEIPTS_MAX` of the collector: the next
    one is not called before each sample of this one was taken or found to be nothing to keep.
    """

    def __init__(self, acknowledge: Callable[[Sequence[Sample]], None]) -> None:
        self._acknowledge = acknowledge
        self._receipts: deque[Receipt] = deque()

    def __len__(self) -> int:
        return len(self._receipts)

    def enter(self, samples: Sequence[Sample]) -> list[Receipt]:
        """Note the arrival of samples."""
        receipts = [Receipt(sample, self._release) for sample in samples]
        self._receipts.extend(receipts)
        return receipts

    def _release(self) -> None:
        """Acknowledge what is settled, up to the first sample that is not."""
        released: list[Sample] = []
        while self._receipts and self._receipts[0].is_settled:
            released.append(self._receipts.popleft().sample)
        if released:
            self._acknowledge(released)
