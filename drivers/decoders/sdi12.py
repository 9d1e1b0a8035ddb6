"""SDI-12 sensors behind a transparent adapter (SDI-12 v1.4, section 4.4). No I/O.

`0M!` is answered by `00013`: in 001 s there will be 3 values. The sensor says `0` when it is ready sooner (not after a
concurrent `0C!`); then `0D0!`, `0D1!` and so on are answered by values, `0+3.14-2.7`, until all of them came. `0R0!` is
answered by values at once. With a C (`MC`, `CC`, `RC0`) three characters of checksum follow the values.
The bus belongs to one sensor from its question to its last value, also while it measures.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.decoders.dialogue import Ask, Dialogue, Fields, More, Pause, answer
from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.line_frames import LineFrames, excerpt, text_of_line

ADDRESS = re.compile(r"[0-9A-Za-z]")
# The address that any sensor answers to; for a bus with one sensor.
ANY_ADDRESS = "?"
COMMAND = re.compile(r"MC?[1-9]?|CC?[1-9]?|RC?[0-9]")

# Slow profiles announce half a minute. While a sensor measures, all others on the bus wait for it.
WAIT_S_MAX = 60

# An adapter may hand our own command back in front of the answer.
_ECHO_END = "!"
_ANNOUNCEMENT = re.compile(r"(?P<address>[0-9A-Za-z])(?P<wait>[0-9]{3})(?P<count>[0-9]{1,2})")
# The standard allows seven digits. Checksum characters are 0x40 to 0x7F, which stand in no value.
_ANSWER = re.compile(
    r"(?P<body>(?P<address>[0-9A-Za-z])(?P<values>(?:[+-](?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}))*))"
    r"(?P<crc>[@-\x7f]{3})?"
)
_VALUE = re.compile(r"[+-][0-9.]+")


@dataclass(frozen=True, slots=True)
class Announcement:
    """How long the sensor needs, in seconds, and how many values there will be."""

    wait_s: int
    count: int


def checksum(text: str) -> str:
    """Return the three characters that follow this text (CRC-16, polynomial 0xA001, from 0; 4.4.12 of the standard)."""
    crc = 0
    for byte in text.encode("latin-1"):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return "".join(chr(0x40 | crc >> shift & 0x3F) for shift in (12, 6, 0))


def announcement(frame: bytes, address: str, command: str) -> Announcement:
    """Read the answer to a measuring command: `atttn`, of a concurrent one `atttnn`. Raises FrameMalformed."""
    line = _line(frame)
    match = _ANNOUNCEMENT.fullmatch(line)
    digits = 2 if command.startswith("C") else 1
    if match is None or len(match["count"]) != digits:
        expected = "atttnn" if digits == 2 else "atttn"
        raise FrameMalformed(f"{excerpt(line)} does not announce a measurement, like {expected}")
    _check_address(line, match["address"], address)
    return Announcement(int(match["wait"]), int(match["count"]))


def values(frame: bytes, address: str, *, needs_checksum: bool = False) -> tuple[float, ...]:
    """Read the values of one answer, none of a bare address. A checksum that is there must be right.

    Raises FrameMalformed.
    """
    line = _line(frame)
    match = _ANSWER.fullmatch(line)
    if match is None:
        raise FrameMalformed(f"{excerpt(line)} is no answer with values, like 0+3.14-2.7")
    _check_address(line, match["address"], address)
    said: str | None = match["crc"]
    right = checksum(match["body"])
    if said is None and needs_checksum:
        raise FrameMalformed(f"{excerpt(line)} has no checksum")
    if said is not None and said != right:
        raise FrameMalformed(f"{excerpt(line)} has the wrong checksum: it says {said!r}, its characters give {right!r}")
    return tuple(map(float, _VALUE.findall(match["values"])))


def says_ready(frame: bytes, address: str) -> bool:
    """Whether the sensor says that its values are ready: its bare address."""
    line = _line(frame)
    return line == address or (address == ANY_ADDRESS and ADDRESS.fullmatch(line) is not None)


def measurement(address: str, command: str, *, to_the_end: bool = False) -> Dialogue[Fields]:
    """Measure once; fields "0", "1", ... are the sensor's values in their order.

    Takes up to the announced time (at most WAIT_S_MAX) besides a response time-out per command. `to_the_end`: the
    answer to the question before may still come; only an `R` command could be mistaken about it. Raises NoAnswer, or
    FrameMalformed: another address, a wrong checksum, more or fewer values than announced.
    """
    needs_checksum = command[1:2] == "C"

    def parse(frame: bytes) -> tuple[float, ...]:
        found = values(frame, address, needs_checksum=needs_checksum)
        if not found:
            raise FrameMalformed(f"{excerpt(_line(frame))}: the sensor has no data; the measurement was broken off")
        return found

    if command.startswith("R"):
        return _numbered((yield from answer(_ask(address, command), parse, to_the_end=to_the_end)))
    announced = yield from answer(_ask(address, command), lambda frame: announcement(frame, address, command))
    if not announced.count:
        raise FrameMalformed(f"the sensor has no values for {address}{command}!")
    if announced.wait_s > WAIT_S_MAX:
        raise FrameMalformed(f"the sensor wants {announced.wait_s} s to measure; the bus waits {WAIT_S_MAX} at most")
    if announced.wait_s:
        yield from _ready(address, announced.wait_s, is_concurrent=command.startswith("C"))
    found: tuple[float, ...] = ()
    for number in range(10):
        found += yield from answer(_ask(address, f"D{number}"), parse)
        if len(found) >= announced.count:
            break
    if len(found) != announced.count:
        raise FrameMalformed(f"the sensor announced {announced.count} values and gave {len(found)}")
    return _numbered(found)


def _ready(address: str, wait_s: float, *, is_concurrent: bool) -> Dialogue[None]:
    """Wait until the values are there. A concurrent measurement is never announced as ready."""
    frame = yield Pause(wait_s)
    while frame is not None:
        if not is_concurrent and says_ready(frame, address):
            return
        frame = yield More()


class Sdi12Decoder(LineFrames):
    """Finds the lines; `fields` reads the values of one by itself, whatever asked for it."""

    def __init__(self, *, address: str = ANY_ADDRESS, needs_checksum: bool = False) -> None:
        super().__init__(terminator="\n")
        self._address = address
        self._needs_checksum = needs_checksum

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Take bytes in; return the lines that are complete now."""
        return super().feed(data.replace(b"\r", b"\n"))

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return the values of one line by number; none of a bare address. Raises FrameMalformed."""
        line = _line(frame)
        match = _ANNOUNCEMENT.fullmatch(line)
        if match is not None:
            raise FrameMalformed(
                f"{excerpt(line)} announces {int(match['count'])} values in {int(match['wait'])} s; it holds none"
            )
        return _numbered(values(frame, self._address, needs_checksum=self._needs_checksum))


def _numbered(found: tuple[float, ...]) -> dict[str, Field]:
    return {str(number): Field(value) for number, value in enumerate(found)}


def _ask(address: str, command: str) -> Ask:
    return Ask(f"{address}{command}!".encode("ascii"))


def _line(frame: bytes) -> str:
    return text_of_line(frame).rpartition(_ECHO_END)[2].strip("\0\r\n ")


def _check_address(line: str, said: str, address: str) -> None:
    if address not in {said, ANY_ADDRESS}:
        raise FrameMalformed(f"{excerpt(line)} comes from address {said}, {address} was asked")
