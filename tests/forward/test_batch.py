from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from edge.forward.stream import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, batch_length, new_events, size_of
from edge.storage.entries import Entry


def entry(size: int, position: int = 1) -> Entry:
    return Entry(position, 1, UUID(int=position), "T", b"x" * size, b"")


@given(st.lists(st.integers(0, BATCH_BYTES_MAX * 2), max_size=8), st.integers(1, 5))
def test_a_batch_is_the_front_and_fits_unless_it_is_one_event(sizes: list[int], events_max: int) -> None:
    length = batch_length(sizes, events_max=events_max)
    assert bool(length) == bool(sizes)
    assert length <= min(events_max, len(sizes))
    assert length <= 1 or sum(sizes[:length]) <= BATCH_BYTES_MAX
    is_whole = length in {events_max, len(sizes)}
    assert is_whole or sum(sizes[: length + 1]) > BATCH_BYTES_MAX


def test_small_events_fill_a_batch_by_number() -> None:
    assert batch_length([size_of(entry(1))] * 2000) == BATCH_EVENTS_MAX


def test_the_events_are_a_list_since_the_library_iterates_again() -> None:
    assert isinstance(new_events(iter([entry(1)])), list)
