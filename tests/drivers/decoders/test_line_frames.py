import pytest

from drivers.decoders.frame import FRAME_LENGTH_MAX
from drivers.decoders.line_frames import LineFrames, excerpt, text_of_line


@pytest.mark.parametrize(
    ("terminator", "stream"),
    [
        ("\n", b"one\ntwo\n"),
        ("\n", b"one\r\ntwo\r\n"),
        ("\r", b"one\rtwo\r"),
        ("\r", b"one\r\ntwo\r\n"),
        ("\r\n", b"one\r\ntwo\r\n"),
        ("\n", b"\n\r\n\0one \n\n two\n"),
    ],
)
def test_lines_end_where_the_terminator_says(terminator: str, stream: bytes) -> None:
    assert list(LineFrames(terminator=terminator).feed(stream)) == [b"one", b"two"]


def test_half_a_line_waits_for_the_rest() -> None:
    lines = LineFrames(terminator="\r\n")
    assert [list(lines.feed(bytes([byte]))) for byte in b"one\r\n"] == [[], [], [], [], [b"one"]]


def test_half_a_line_can_be_forgotten() -> None:
    lines = LineFrames()
    lines.feed(b"late ans")
    lines.reset()
    assert list(lines.feed(b"wer\n")) == [b"wer"]


@pytest.mark.parametrize("piece", [1, 7, 5000, 20_000])
def test_what_has_no_end_is_passed_over_with_its_tail(piece: int) -> None:
    lines = LineFrames()
    stream = b"x" * (FRAME_LENGTH_MAX + 1) + b"9.9\n21.8\n"
    frames: list[bytes] = []
    for start in range(0, len(stream), piece):
        frames += lines.feed(stream[start : start + piece])
        assert len(lines._pending) <= FRAME_LENGTH_MAX
    assert frames == [b"21.8"]


def test_the_longest_line_still_counts() -> None:
    lines = LineFrames(terminator="\r\n")
    longest = b"x" * (FRAME_LENGTH_MAX - 1)
    assert list(lines.feed(longest + b"\r")) == []
    assert list(lines.feed(b"\n")) == [longest]
    assert list(lines.feed(longest + b"x\r\n")) == []


def test_a_forgotten_long_line_does_not_cost_the_next() -> None:
    lines = LineFrames()
    lines.feed(b"x" * 10_000)
    lines.reset()
    assert list(lines.feed(b"21.8\n")) == [b"21.8"]


def test_a_terminator_is_needed() -> None:
    with pytest.raises(ValueError, match="terminator is empty"):
        LineFrames(terminator="")


def test_a_degree_sign_is_read_in_both_its_encodings() -> None:
    assert text_of_line("21.8 °C".encode()) == text_of_line("21.8 °C".encode("latin-1")) == "21.8 °C"


def test_a_message_quotes_the_beginning_of_a_long_line() -> None:
    assert excerpt("21.8\t") == "'21.8\\t'"
    assert excerpt("x" * 81) == f"'{'x' * 80}'..."
