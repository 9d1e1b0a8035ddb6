"""Where packets begin and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt.packets import LongMessage, NoPacket, check_greeting, long_message, packet_length


@pytest.mark.parametrize(
    ("stream", "length"),
    [
        ("", None),
        ("30", None),
        ("30 80", None),
        ("c0 00", 2),
        ("30 7f", 129),
        ("30 80 01", 131),
        ("30 ff ff ff 7f", 268_435_460),
    ],
)
def test_a_packet_says_how_long_it_is(stream: str, length: int | None) -> None:
    assert packet_length(bytes.fromhex(stream)) == length


def test_a_length_that_does_not_end_is_no_packet() -> None:
    with pytest.raises(NoPacket, match="30 ff ff ff ff"):
        packet_length(bytes.fromhex("30 ff ff ff ff 01"))


def test_what_is_no_answer_to_connect_is_shown() -> None:
    check_greeting(bytes.fromhex("20 02"))
    with pytest.raises(NoPacket, match="began with b'HTTP"):
        check_greeting(b"HTTP/1.1 400 Bad Request\r\n")


def test_of_a_long_message_topic_and_packet_id_are_read_as_soon_as_they_are_there() -> None:
    stream = bytes.fromhex("32 80 80 20") + b"\0\5house" + b"\x12\x34" + b"x" * 100
    length = packet_length(stream)
    assert length == 4 + 32 * 16384
    for cut in range(4, 13):
        assert long_message(stream[:cut], length) is None
    assert long_message(stream[:13], length) == LongMessage(topic="house", length=length, quality=1, packet_id=0x1234)


def test_a_long_message_of_quality_0_has_no_packet_id() -> None:
    message = long_message(bytes.fromhex("30 80 80 20") + b"\0\5house{}", 1)
    assert message is not None
    assert message.packet_id == 0


def test_a_long_packet_that_is_no_message_is_none_of_mqtt() -> None:
    with pytest.raises(NoPacket, match="type 9"):
        long_message(bytes.fromhex("90 80 80 20 00 01"), 4)


@given(st.binary(max_size=12))
def test_any_bytes_give_a_length_or_a_named_error(stream: bytes) -> None:
    try:
        length = packet_length(stream)
        if length is not None:
            assert 2 <= length <= 268_435_460
            long_message(stream, length)
    except NoPacket:
        pass
