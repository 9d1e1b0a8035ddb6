"""Whatever comes over a line, in whatever pieces: frames, fields or a named error; nothing else, and never more memory."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drivers.decoders.binary_frames import BinaryFrames
from drivers.decoders.frame import FRAME_LENGTH_MAX, Field, FrameMalformed
from drivers.decoders.line_frames import LineFrames
from drivers.decoders.lines import LineDecoder
from drivers.decoders.mhz19 import Mhz19Decoder
from drivers.decoders.nmea import NmeaDecoder
from drivers.decoders.plantower import PlantowerDecoder
from drivers.decoders.scale import ScaleDecoder
from drivers.decoders.values import ValueCodec
from drivers.decoders.wxt import WxtDecoder
from edge.domain.reading import Reading
from fakes.value_points import value_point

Decoder = LineDecoder | NmeaDecoder | ScaleDecoder | WxtDecoder | Mhz19Decoder | PlantowerDecoder

# Each decoder with a frame that it takes, as it comes over the line.
DECODERS: Mapping[str, tuple[Callable[[], Decoder], bytes]] = {
    "csv": (LineDecoder, b"21.8,55.2\r\n"),
    "key_value": (lambda: LineDecoder(layout="key_value"), b"raw=153  depth=127 mm\n"),
    "json": (lambda: LineDecoder(layout="json"), b'{"air": {"t": 21.8}, "ok": [true, null, "x"]}\n'),
    "regex": (lambda: LineDecoder(layout="regex", pattern=r"(?P<sign>[+-]) *(?P<number>[\d.]+)"), b"+ 7.16\n"),
    "two-letter end": (lambda: LineDecoder(terminator="\r\n"), b"21.8\r\n"),
    "nmea": (NmeaDecoder, b"$WIXDR,C,19.5,C,AIR,P,1.0132,B,*14\r\n"),
    "scale": (ScaleDecoder, b"ST,GS,+ 7.16 kg\r\n"),
    "wxt": (WxtDecoder, b"0R0,Dm=106#,Ta=16.0C,Pa=1018.1H,Id=Ant\r\n"),
    "mhz19": (Mhz19Decoder, bytes.fromhex("FF8602200000000058")),
    "plantower": (PlantowerDecoder, bytes.fromhex("424d001c0002000a000a0002000a000a024600af0031001600000000970002ac")),
}
CODECS = [
    ValueCodec(value_point("air_temperature", scale=0.1)),
    ValueCodec(value_point(type="boolean")),
    ValueCodec(value_point(type="text")),
]

every_decoder = pytest.mark.parametrize(("make", "whole"), DECODERS.values(), ids=DECODERS)


def streams(whole: bytes) -> st.SearchStrategy[bytes]:
    """Noise, whole frames, torn ones and damaged ones, one after the other."""
    torn = st.builds(lambda start, end: whole[start:end], st.integers(0, len(whole)), st.integers(0, len(whole)))
    damaged = st.builds(
        lambda place, byte: whole[:place] + bytes([byte]) + whole[place + 1 :],
        st.integers(0, len(whole) - 1),
        st.integers(0, 255),
    )
    letters = st.text(alphabet='$*#,=+-.0123456789eE[]{}":RSTOLGNadkgm \r\n', max_size=30).map(str.encode)
    return st.lists(st.one_of(st.binary(max_size=12), st.just(whole), torn, damaged, letters), max_size=8).map(b"".join)


def read(decoder: Decoder, frame: bytes) -> Mapping[str, Field] | str:
    try:
        return decoder.fields(frame)
    except FrameMalformed as error:
        return str(error)


def pending(decoder: LineFrames | BinaryFrames) -> int:
    return len(decoder._pending)


@every_decoder
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_pieces_give_the_same_frames_as_the_whole(
    make: Callable[[], Decoder], whole: bytes, data: st.DataObject
) -> None:
    stream = data.draw(streams(whole))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    at_once = list(make().feed(stream))
    decoder = make()
    in_pieces: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        in_pieces += decoder.feed(stream[start:end])
    assert in_pieces == at_once


@every_decoder
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_frame_gives_fields_or_says_why_not(make: Callable[[], Decoder], whole: bytes, data: st.DataObject) -> None:
    decoder = make()
    frames = [*decoder.feed(data.draw(streams(whole))), data.draw(st.binary(max_size=40))]
    for frame in frames:
        fields = read(decoder, frame)
        if isinstance(fields, str):
            assert fields
            continue
        for field in fields.values():
            readings = [codec.reading(field.value, unit=field.unit, reason=field.reason) for codec in CODECS]
            assert all(isinstance(reading, Reading) for reading in readings)


@every_decoder
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_whole_frame_is_found_after_any_noise(make: Callable[[], Decoder], whole: bytes, data: st.DataObject) -> None:
    decoder = make()
    # The end of a line of noise is heard before the next line.
    end = b"\r\n" if isinstance(decoder, LineFrames) else b""
    noise = data.draw(streams(whole)) + end
    *before, last = decoder.feed(noise + whole)
    if isinstance(decoder, BinaryFrames):
        # Noise may hold a frame by chance, and that one the beginning of ours.
        assume(all(isinstance(read(decoder, frame), str) or frame == whole for frame in before))
    assert last == whole.rstrip(b"\r\n")
    assert isinstance(decoder.fields(last), Mapping)


@every_decoder
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_memory_is_bounded_whatever_is_fed(make: Callable[[], Decoder], whole: bytes, data: st.DataObject) -> None:
    decoder = make()
    for _ in range(4):
        piece = data.draw(st.one_of(st.binary(min_size=1, max_size=20), st.just(whole[:-1])))
        decoder.feed(piece * data.draw(st.sampled_from((1, 100, 3000))))
        assert pending(decoder) <= FRAME_LENGTH_MAX
