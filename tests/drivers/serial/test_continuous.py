"""Devices that speak by themselves, on virtual time."""

import asyncio
from collections.abc import Mapping

import pytest

from drivers.decoders.dialogue import NoAnswer
from drivers.decoders.frame import FrameMalformed
from drivers.decoders.nmea import checksum
from drivers.serial.continuous import ContinuousDevice
from edge.domain.driver import ConnectionLost
from edge.domain.reading import Reading, Reason, Value, bad
from fakes.serial_line import SerialLine
from fakes.serial_peer import Reply, silent
from fakes.serial_site import device, line_options, point
from fakes.virtual_time import run_virtual

TIMEOUT_S = 2.0


def scale(**options: object) -> ContinuousDevice:
    """A scale that is opened in the middle of a line; weight and whether it is stable."""
    settings = device(
        "scale", point("weight"), decoder="lines", layout="regex", pattern=r"W(?P<weight>[0-9]+)", **options
    )
    return opened(ContinuousDevice(settings, line_options(response_timeout_ms=2000)))


def wind() -> ContinuousDevice:
    settings = device("wind", point("speed", "MWV.speed"), point("temperature", "XDR.C.0"), decoder="nmea")
    return opened(ContinuousDevice(settings, line_options(response_timeout_ms=2000)))


def opened(made: ContinuousDevice) -> ContinuousDevice:
    made.opened()
    return made


def values(readings: Mapping[str, Reading]) -> dict[str, Value | None]:
    return {name: reading.value for name, reading in readings.items()}


def say_each_second(line: SerialLine, *frames: str) -> None:
    """A frame each second, from half a second on."""
    for second, frame in enumerate(frames):
        line.say_later(Reply(f"{frame}\n".encode(), second + 0.5))


def sentence(body: str) -> str:
    return f"${body}*{checksum(body.encode()):02X}"


def test_the_first_frame_after_opening_never_counts() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = opened(
            ContinuousDevice(device("csv", point("weight", 0), decoder="lines"), line_options(response_timeout_ms=2000))
        )
        # "120.5" was under way when the port was opened.
        say_each_second(line, "0.5", "120.6")
        assert values(await made.read(line)) == {"weight": 120.6}

    run_virtual(main)


def test_as_many_frames_as_wanted_are_passed_over() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        say_each_second(line, "W1", "W2", "W3", "W4")
        made = scale(discard_frames=3, response_timeout_ms=5000)
        assert values(await made.read(line)) == {"weight": 4.0}

    run_virtual(main)


def test_a_poll_gives_the_newest_words_and_each_only_once() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = scale()
        say_each_second(line, *(f"W{number}" for number in range(8)))
        await asyncio.sleep(6)
        assert values(await made.read(line)) == {"weight": 5.0}
        # The next one is waited for.
        assert values(await made.read(line)) == {"weight": 6.0}
        assert asyncio.get_running_loop().time() == pytest.approx(6.5)

    run_virtual(main)


def test_words_from_before_the_silence_are_no_answer() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = scale()
        say_each_second(line, "W1", "W2", "W3")
        await asyncio.sleep(60)
        with pytest.raises(NoAnswer):
            await made.read(line)
        assert asyncio.get_running_loop().time() == pytest.approx(60 + TIMEOUT_S)

    run_virtual(main)


def test_several_sentences_together_make_one_sample() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = wind()
        say_each_second(
            line, sentence("WIMWV,1,R,1.0,M,A"), sentence("WIMWV,1,R,5.8,M,A"), sentence("WIXDR,C,022.0,C,,")
        )
        await asyncio.sleep(1)
        assert values(await made.read(line)) == {"speed": 5.8, "temperature": 22.0}

    run_virtual(main)


def test_a_sentence_that_stays_out_is_bad_and_the_other_is_kept() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = wind()
        say_each_second(line, *[sentence("WIMWV,1,R,5.8,M,A")] * 3)
        readings = await made.read(line)
        assert readings["speed"].value == 5.8
        assert readings["temperature"] == bad(Reason.COMM_ERROR, None)

    run_virtual(main)


def test_noise_is_passed_over_and_the_next_line_is_found() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = scale()
        say_each_second(line, "W0", "\x00\x13 rst cause:2, boot mode", "W7")
        await asyncio.sleep(1)
        assert values(await made.read(line)) == {"weight": 7.0}

    run_virtual(main)


def test_a_device_that_says_only_junk_is_told_by_its_last_line() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = scale()
        say_each_second(line, "junk 0", "junk 1", "junk 2")
        with pytest.raises(FrameMalformed, match="junk 1") as caught:
            await made.read(line)
        assert caught.value.__notes__ == ["frame: b'junk 1'"]

    run_virtual(main)


def test_after_lost_bytes_the_torn_line_does_not_count() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = opened(ContinuousDevice(device("csv", point("weight", 0), decoder="lines"), line_options()))
        line.say(b"120.4\n120.5\n12")
        line.say(b"0.6\n", is_torn=True)
        assert values(await made.read(line)) == {"weight": 120.5}

    run_virtual(main)


def test_what_numbers_its_values_is_refused_as_a_whole_when_one_is_missing() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        settings = device("csv", point("a", 0), point("b", 1), decoder="lines")
        made = opened(ContinuousDevice(settings, line_options(response_timeout_ms=2000)))
        say_each_second(line, "1.5,33.1", "33.1")
        with pytest.raises(FrameMalformed, match="number 1 is not among them"):
            await made.read(line)

    run_virtual(main)


def test_the_setup_is_sent_at_opening_and_after_a_restart() -> None:
    async def main() -> None:
        line = SerialLine(silent)
        made = scale(setup=("rate 1\n",))
        say_each_second(line, "W1", "W2", "W3", "rst cause:2", "W4", "W5")
        assert values(await made.read(line)) == {"weight": 2.0}
        await made.read(line)
        assert line.sent == [b"rate 1\n"]
        await asyncio.sleep(1.5)
        assert values(await made.read(line)) == {"weight": 4.0}
        assert values(await made.read(line)) == {"weight": 5.0}
        assert line.sent == [b"rate 1\n"] * 2
        made.opened()
        line.lose()
        with pytest.raises(ConnectionLost):
            await made.read(line)
        assert line.sent == [b"rate 1\n"] * 3

    run_virtual(main)
