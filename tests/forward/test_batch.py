from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from edge.forward.batch import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, leading_batch, new_events, size_of
from edge.storage.entries import Entry


def entry(size: int, position: int = 1) -> Entry:
    return Entry(position, 1, UUID(int=position), "T", b"x" * size, b"")


@given(st.lists(st.integers(0, BATCH_BYTES_MAX * 2), max_size=8), st.integers(1, 5))
def test_a_batch_is_the_front_and_fits_unless_it_is_one_event(sizes: list[int], events_max: int) -> None:
    entries = [entry(size, position) for position, size in enumerate(sizes)]
    batch = leading_batch(entries, events_max=events_max)
    assert batch == entries[: len(batch)]
    assert bool(batch) == bool(entries)
    assert len(batch) <= events_max
    assert len(batch) <= 1 or sum(map(size_of, batch)) <= BATCH_BYTES_MAX


def test_small_events_fill_a_batch_by_number() -> None:
    assert len(leading_batch([entry(1)] * 2000)) == BATCH_EVENTS_MAX


def test_the_events_are_a_list_since_the_library_iterates_again() -> None:
    assert isinstance(new_events(iter([entry(1)])), list)
