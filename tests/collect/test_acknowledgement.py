from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from edge.collect.arrivals import Ledger
from edge.domain.reading import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Callable


def sample(number: int) -> Sample:
    return Sample(device_id=f"d{number}", readings={"a": Reading(value=float(number), unit=None)})


@given(st.permutations(range(12)), st.integers(min_value=1, max_value=12))
def test_acknowledged_in_order_of_arrival_whatever_the_order_of_settling(order: list[int], batch: int) -> None:
    acknowledged: list[Sample] = []
    ledger = Ledger(acknowledged.extend, soon=lambda release: release())
    samples = [sample(number) for number in range(12)]
    receipts = [receipt for start in range(0, 12, batch) for receipt in ledger.enter(samples[start : start + batch])]
    settled: set[int] = set()
    for number in order:
        receipts[number].settle()
        settled.add(number)
        first_open = next((n for n in range(12) if n not in settled), 12)
        assert acknowledged == samples[:first_open]
    assert len(ledger) == 0


def test_what_becomes_free_together_is_acknowledged_together() -> None:
    calls: list[list[Sample]] = []
    due: list[Callable[[], None]] = []
    ledger = Ledger(lambda samples: calls.append(list(samples)), soon=due.append)
    first, second, third, fourth = ledger.enter([sample(1), sample(2), sample(3), sample(4)])
    second.settle()
    assert due == []
    first.settle()
    third.settle()
    (release,) = due
    assert calls == []
    release()
    assert calls == [[sample(1), sample(2), sample(3)]]
    fourth.settle()
    due[1]()
    assert calls[1:] == [[sample(4)]]
