import struct
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.storage.entries import (
    BLOCK_FORMAT,
    FORMAT_WITHOUT_DELIVERIES,
    Block,
    Entry,
    _block_checksum,
    decode_block,
    encode_block,
)
from edge.storage.errors import BlockDamaged

POSITION_MAX = 2**48


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    position = draw(st.integers(1, POSITION_MAX))
    result = []
    for _ in range(draw(st.integers(1, 20))):
        metadata = draw(st.binary(max_size=60))
        if draw(st.booleans()):
            metadata = b'{"run":"r","position":%d}' % position
        result.append(
            Entry(
                position,
                draw(st.integers(1, 70_000)),
                draw(st.uuids()),
                draw(st.text(min_size=1, max_size=30)),
                draw(st.binary(max_size=300)),
                metadata,
                draw(st.binary(max_size=16)),
                draw(st.sampled_from([b"", b"delivery"]) | st.binary(min_size=8, max_size=8)),
            )
        )
        position += draw(st.integers(1, 300))
    return result


def sample(
    position: int,
    *,
    data: bytes = b'{"value":1}',
    metadata: bytes | None = None,
    key: bytes = b"",
    delivery: bytes = b"",
) -> Entry:
    metadata = b'{"position":%d}' % position if metadata is None else metadata
    return Entry(position, 3, UUID(int=position << 64 | 7), "SensorReadingReceived", data, metadata, key, delivery)


@given(entries(), st.integers(0, 2**42))
@settings(max_examples=150)
def test_entries_come_out_of_a_block_as_they_went_in(these: list[Entry], committed_at_ms: int) -> None:
    block = encode_block(these, committed_at_ms=committed_at_ms)
    assert decode_block(block) == these
    assert (block.first_position, block.last_position) == (these[0].position, these[-1].position)
    assert (block.entry_count, block.committed_at_ms) == (len(these), committed_at_ms)


@pytest.mark.parametrize("bit", [0, 7])
def test_every_flipped_bit_of_a_body_is_noticed(bit: int) -> None:
    block = encode_block([sample(5), sample(6, data=b"{}")], committed_at_ms=1)
    for index in range(len(block.body)):
        body = bytearray(block.body)
        body[index] ^= 1 << bit
        with pytest.raises(BlockDamaged, match="position 6 is damaged"):
            decode_block(block._replace(body=bytes(body)))


@pytest.mark.parametrize("field", ["first_position", "last_position", "entry_count", "committed_at_ms"])
def test_a_changed_number_beside_the_body_is_noticed(field: str) -> None:
    block = encode_block([sample(5), sample(6)], committed_at_ms=1)
    with pytest.raises(BlockDamaged):
        decode_block(block._replace(**{field: getattr(block, field) + 1}))


def test_a_truncated_body_and_a_wrong_checksum_are_noticed() -> None:
    block = encode_block([sample(5)], committed_at_ms=1)
    for damaged in (block._replace(body=block.body[:-1]), block._replace(body=b""), block._replace(checksum=bytes(8))):
        with pytest.raises(BlockDamaged):
            decode_block(damaged)


def test_metadata_that_only_looks_like_ours_is_kept_to_the_byte() -> None:
    odd = [b'{"position":12}', b'{"position":012}', b"12}", b"", b"p12}", b'{"position":1}']
    these = [sample(12 + index, metadata=metadata) for index, metadata in enumerate(odd)]
    assert decode_block(encode_block(these, committed_at_ms=1)) == these


def test_the_metadata_of_a_run_is_stored_once() -> None:
    one = encode_block([sample(1, metadata=_long_metadata(1))], committed_at_ms=1)
    many = encode_block([sample(n, metadata=_long_metadata(n)) for n in range(1, 101)], committed_at_ms=1)
    assert len(many.body) - len(one.body) < 100 * 16


def test_blocks_written_by_the_first_release_can_still_be_read() -> None:
    # Never change these bytes: they stand for the blocks in the field. zlib itself checks that the dictionary is the same.
    body = bytes.fromhex(FIRST_BODY)
    block = Block(2, 1, 2, 1_795_428_000_000, bytes.fromhex(FIRST_CHECKSUM), body)
    assert decode_block(block) == first_entries()


def test_what_no_sender_can_send_again_is_written_as_the_first_release_wrote_it() -> None:
    block = encode_block(first_entries(), committed_at_ms=1_795_428_000_000)
    assert block.body[0] == FORMAT_WITHOUT_DELIVERIES == 1
    with_delivery = [*first_entries(), sample(3, delivery=b"delivery")]
    assert encode_block(with_delivery, committed_at_ms=1).body[0] == BLOCK_FORMAT == 2


def test_a_block_of_a_format_that_is_not_known_is_called_damaged() -> None:
    body = bytes([BLOCK_FORMAT + 1]) + encode_block([sample(5)], committed_at_ms=1).body[1:]
    with pytest.raises(BlockDamaged, match="unknown format 3"):
        decode_block(Block(5, 5, 1, 1, _block_checksum(5, 5, 1, 1, body), body))


def test_the_names_of_deliveries_take_some_three_bytes_each() -> None:
    names = [bytes.fromhex("a1b2c3d4") + struct.pack(">HH", 4000 + n, 900 + n) for n in range(100)]
    plain = encode_block([sample(n, key=b"%016d" % n) for n in range(100)], committed_at_ms=1)
    named = encode_block(
        [sample(n, key=b"%016d" % n, delivery=name) for n, name in enumerate(names)], committed_at_ms=1
    )
    assert len(named.body) - len(plain.body) < 3 * 100


def first_entries() -> list[Entry]:
    return [
        Entry(
            position,
            4,
            UUID(f"019a0000-0000-7000-8000-00000000000{position}"),
            "SensorReadingReceived",
            b'{"siteId":"s","gatewayId":"g","deviceId":"d","measuredAt":"2026-11-23T10:15:00.120Z","sequence":%d}'
            % position,
            b'{"schemaVersion":1,"run":"5f0c8f57-3f31-4f53-9b21-0d2c1d0a6a11","position":%d}' % position,
            b"key" if position == 2 else b"",
        )
        for position in (1, 2)
    ]


def _long_metadata(position: int) -> bytes:
    return b'{"schemaVersion":1,"siteFileDigest":"%b","position":%d}' % (b"0123456789abcdef" * 20, position)


FIRST_CHECKSUM = "46c267431db27940"
FIRST_BODY = (
    "01700080000000000000017000800000000000000278bb53a1f9aab36500025b1610c100239c18986d93803423108b023156"
    "8d20491f202e008607463e81a42bd33483648b3453735de33463435d933453635dcb2423435d8314a364c3148344b3444343"
    "94a4ccc8386b16031464a756228574315a50a7a386750ad6c03634d435320e3134b03234b53200e64f238328948035aca5b5"
    "0d46b500f7295bc7"
)
