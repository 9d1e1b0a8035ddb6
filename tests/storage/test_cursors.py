import zlib
from hashlib import blake2b
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.event_store import NO_STREAM
from edge.storage.cursors import (
    Cursor,
    CursorRow,
    CursorRowDamaged,
    Cursors,
    Span,
    Witness,
    decode_cursor_row,
    encode_cursor_row,
)
from edge.storage.entries import CHECKSUM_SIZE, Entry

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


POSITIONS = st.integers(0, 2**60)
EVENT_IDS = st.uuids().filter(lambda event_id: event_id.int != 0)
CURSORS = st.builds(
    Cursor,
    acked_revision=st.none() | st.integers(NO_STREAM, 2**60),
    acked_event_id=st.none() | EVENT_IDS,
    forwarded_position=POSITIONS,
    last_position=POSITIONS,
    pending=st.integers(0, 2**32 - 1),
    landed=st.lists(st.builds(Span, POSITIONS, POSITIONS, POSITIONS), max_size=3).map(tuple),
)
WITNESSES = st.builds(Witness, st.integers(1, 2**31), POSITIONS, EVENT_IDS, POSITIONS)
DEVICES = st.dictionaries(
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True), st.tuples(st.uuids(), st.integers(1, 2**32 - 1))
)
ROWS = st.builds(
    CursorRow,
    position=POSITIONS,
    streams=st.dictionaries(st.integers(1, 2**31), CURSORS),
    devices=DEVICES,
    witness=st.none() | WITNESSES,
)


@given(ROWS)
def test_cursors_come_out_of_the_row_as_they_went_in(row: CursorRow) -> None:
    assert decode_cursor_row(*encode_cursor_row(row)) == row


def test_a_row_of_a_release_that_knew_no_witness_is_read() -> None:
    row = CursorRow(position=9, streams={1: Cursor(forwarded_position=7)}, devices={"d": (UUID(int=1), 4)})
    _, body = encode_cursor_row(row)
    # It ended where the number of spans stands now.
    older = zlib.compress(zlib.decompress(body)[:-4])
    assert decode_cursor_row(blake2b(older, digest_size=CHECKSUM_SIZE).digest(), older) == row


def test_every_flipped_bit_is_noticed() -> None:
    cursor = Cursor(acked_revision=NO_STREAM, forwarded_position=7, last_position=9, pending=2)
    checksum, body = encode_cursor_row(CursorRow(position=9, streams={1: cursor}, devices={"d": (UUID(int=1), 4)}))
    for index in range(len(body) * 8):
        damaged = bytearray(body)
        damaged[index // 8] ^= 1 << index % 8
        with pytest.raises(CursorRowDamaged):
            decode_cursor_row(checksum, bytes(damaged))


def test_two_hundred_streams_fit_into_two_pages() -> None:
    streams = {
        number: Cursor(
            acked_revision=number * 1000,
            acked_event_id=UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128),
            forwarded_position=10**6 + number,
            last_position=10**6 + number,
        )
        for number in range(200)
    }
    devices = {f"bench{number}-climate": (UUID(int=1), 8000 + number) for number in range(200)}
    _, body = encode_cursor_row(CursorRow(position=10**6, streams=streams, devices=devices))
    assert len(body) < 2 * 4096
