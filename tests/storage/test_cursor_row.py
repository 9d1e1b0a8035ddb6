import zlib
from hashlib import blake2b
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.event_store import NO_STREAM
from edge.storage.cursors import (
    Cursor,
    CursorRow,
    CursorRowDamaged,
    Span,
    Witness,
    decode_cursor_row,
    encode_cursor_row,
)
from edge.storage.entries import CHECKSUM_SIZE

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
