from uuid import UUID, uuid4

import pytest

from edge.domain.event_store import NO_STREAM
from edge.storage.cursors import Cursor, Cursors
from edge.storage.entries import Entry

STREAM = 1
OTHER = 2


def entry(position: int, stream: int = STREAM) -> Entry:
    return Entry(position, stream, uuid4(), "SensorReadingReceived", b"{}", b"{}")


def committed(*positions: int) -> Cursors:
    cursors = Cursors()
    cursors.note_committed([entry(position) for position in positions])
    return cursors


def test_a_stream_never_written_to_has_nothing_to_forward() -> None:
    assert Cursors()[STREAM] == Cursor()
    assert not Cursors()[STREAM].is_lagging


def test_an_entry_makes_its_stream_lag_from_just_before_it() -> None:
    cursor = committed(500)[STREAM]
    assert (cursor.forwarded_position, cursor.last_position, cursor.pending) == (499, 500, 1)
    assert cursor.acked_revision is None


def test_acknowledging_the_last_entry_ends_the_lag() -> None:
    cursors = committed(5, 8)
    event_id = uuid4()
    cursors.acknowledge(STREAM, revision=1, event_id=event_id, position=8)
    assert cursors[STREAM] == Cursor(
        acked_revision=1, acked_event_id=event_id, forwarded_position=8, last_position=8, pending=0
    )
    assert cursors.lagging() == {}


def test_pending_counts_down_with_what_was_acknowledged() -> None:
    cursors = committed(1, 2, 3, 4)
    cursors.acknowledge(STREAM, revision=1, event_id=uuid4(), position=2, count=2)
    assert cursors[STREAM].pending == 2
    cursors.acknowledge(STREAM, revision=2, event_id=uuid4(), position=3, count=9)
    assert cursors[STREAM].pending == 1


def test_a_silent_stream_starts_to_lag_at_its_new_entry_and_not_where_it_fell_silent() -> None:
    cursors = committed(5)
    cursors.acknowledge(STREAM, revision=0, event_id=uuid4(), position=5)
    cursors.note_committed([entry(1_000_000)])
    assert cursors[STREAM].forwarded_position == 999_999
    assert cursors[STREAM].acked_revision == 0


def test_adopting_an_old_tail_does_not_step_back() -> None:
    cursors = committed(100)
    cursors.acknowledge(STREAM, revision=7, event_id=UUID(int=7), position=40)
    cursor = cursors[STREAM]
    assert (cursor.acked_revision, cursor.forwarded_position, cursor.is_lagging) == (7, 99, True)


def test_rewinding_makes_what_follows_pending_again() -> None:
    cursors = committed(1, 2, 3)
    cursors.acknowledge(STREAM, revision=2, event_id=uuid4(), position=3)
    cursors.rewind(STREAM, revision=0, event_id=UUID(int=1), position=1, count=2)
    assert cursors[STREAM] == Cursor(
        acked_revision=0, acked_event_id=UUID(int=1), forwarded_position=1, last_position=3, pending=2
    )


def test_a_store_that_was_replaced_by_an_empty_one_has_no_stream() -> None:
    cursors = committed(1)
    cursors.acknowledge(STREAM, revision=0, event_id=uuid4(), position=1)
    cursors.rewind(STREAM, revision=NO_STREAM, event_id=None, position=0)
    assert (cursors[STREAM].acked_revision, cursors[STREAM].is_lagging) == (NO_STREAM, True)


def test_advancing_passes_what_cannot_be_forwarded_and_keeps_the_revision() -> None:
    cursors = committed(1, 2)
    cursors.acknowledge(STREAM, revision=0, event_id=UUID(int=1), position=1, count=1)
    cursors.advance(STREAM, position=2)
    assert cursors[STREAM] == Cursor(
        acked_revision=0, acked_event_id=UUID(int=1), forwarded_position=2, last_position=2, pending=0
    )
    cursors.advance(STREAM, position=1)
    assert cursors[STREAM].forwarded_position == 2


@pytest.mark.parametrize(("acknowledged", "through"), [(0, 2), (4, 4), (6, 9)])
def test_everything_is_forwarded_up_to_the_first_pending_entry(acknowledged: int, through: int) -> None:
    cursors = Cursors()
    cursors.note_committed([entry(3), entry(5, OTHER), entry(6)])
    cursors.acknowledge(OTHER, revision=0, event_id=uuid4(), position=5)
    if acknowledged:
        cursors.acknowledge(STREAM, revision=0, event_id=uuid4(), position=acknowledged)
    assert cursors.forwarded_through(9) == through


def test_every_change_is_told() -> None:
    changes: list[None] = []
    cursors = committed(1)
    cursors.on_change = lambda: changes.append(None)
    cursors.note_committed([entry(2)])
    cursors.acknowledge(STREAM, revision=0, event_id=uuid4(), position=1)
    cursors.advance(STREAM, position=2)
    cursors.rewind(STREAM, revision=None, event_id=None, position=0)
    assert len(changes) == 4
