"""The options of serial instruments in site files and profiles. Defaults live here; `mistakes` has the other rules."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from drivers.decoders.sdi12 import ADDRESS, ANY_ADDRESS, COMMAND
from drivers.decoders.values import ValueOptions
from edge.domain.serial_line import line_format

Decoder: TypeAlias = Literal["lines", "nmea", "ezo", "sdi12", "mhz19", "plantower", "scale", "wxt"]
Layout: TypeAlias = Literal["csv", "key_value", "json", "regex"]

# Decoders that know what to ask. Devices of all others send by themselves, unless `ask` is given.
ASKING_DECODERS: frozenset[Decoder] = frozenset({"sdi12", "mhz19"})

# What `ask` and `setup` may hold in braces; other braces (JSON) are sent as they are.
PLACEHOLDERS = ("{address}", "{compensation}")
_LIKE_A_PLACEHOLDER = re.compile(r"\{\w+\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialConnectionOptions:
    """One serial port."""

    # Best by its name in /dev/serial/by-id/, which stays when ports are plugged in another order.
    serial_port: str
    baud_rate: int = 9600
    # Data bits, parity, stop bits. (A pseudo-terminal knows only 8N1: it is used there whatever stands here.)
    format: str = "8N1"
    # Whether the line DTR (RTS) is set when the port is opened; many ESP and Arduino boards restart when DTR changes.
    # Linux sets both at each opening and we leave them set at closing, so `true` changes nothing after the first time.
    dtr: bool = True
    rts: bool = True
    # Silence after opening, in which what arrives is dropped: boot messages, bursts of a sensor that got its power.
    settle_ms: int = 0
    # How long a device may take to answer, unless it says otherwise; how long one that speaks by itself may be silent.
    response_timeout_ms: int = 1000
    # Silence between two requests.
    request_gap_ms: int = 0
    # The shortest silence after a request that was not answered, so that a late answer meets no other question.
    quiet_ms: int = 100

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if not self.serial_port.strip():
            yield "serial_port is empty; name the port, best by its link in /dev/serial/by-id/"
        if not 50 <= self.baud_rate <= 4_000_000:
            yield f"baud_rate is {self.baud_rate}; it must be from 50 to 4000000"
        try:
            line_format(self.format)
        except ValueError as error:
            yield str(error)
        if not 1 <= self.response_timeout_ms <= 60_000:
            yield f"response_timeout_ms is {self.response_timeout_ms}; it must be from 1 to 60000"
        for name in ("settle_ms", "request_gap_ms", "quiet_ms"):
            if not 0 <= getattr(self, name) <= 60_000:
                yield f"{name} is {getattr(self, name)}; it must be from 0 to 60000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """A value that goes into the question (the `RT,25.0` of an EZO): another point's newest, while it is fresh."""

    device: str
    point: str
    # An older value is not used (Mycodo's default).
    max_age_s: float = 360.0
    # What is sent instead; the answer is then uncertain, `uncompensated`.
    fallback: float = 25.0

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        if not 0 < self.max_age_s <= 86_400:
            return [f"max_age_s is {self.max_age_s:g}; it must be more than 0 and at most 86400"]
        return []


# What is sent where nothing is known of the medium: 25 degrees, which instruments assume by themselves.
FALLBACK = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialDeviceOptions:
    """One instrument at a port, or at the bus behind it (SDI-12)."""

    decoder: Decoder
    # What is sent for a sample; {address} and {compensation} stand for their values. Empty = the device speaks by
    # itself (then it has the port to itself), or the decoder knows what to ask (sdi12, mhz19).
    ask: str = ""
    # Sent one by one after each opening and after the device has restarted or was silent, before the first question.
    setup: tuple[str, ...] = ()
    # How long each line of the setup may take; a device that acknowledges it (EZO: *OK) is not waited for longer.
    setup_pause_ms: int = 300
    # The address character on a bus (sdi12, wxt).
    address: str = ""
    # What ends a line, coming in (lines, scale; the others know it). "\n" takes "\r\n" as well.
    terminator: str = "\n"
    # Frames that are passed over after each opening: the first one is often a torn or a boot message. Of a device that
    # speaks by itself, the first one never counts.
    discard_frames: int = 0
    # decoder "lines": how a line is laid out; separator between its parts; a regular expression with named groups.
    layout: Layout = "csv"
    separator: str = ","
    pattern: str = ""
    # decoder "sdi12": the measuring command (M, MC, C, CC, M1 to M9, R0 to R9, ...).
    # While a sensor measures (it says how long; 60 s at most), no other at the port is asked.
    command: str = "M"
    # Without, {compensation} is 25.0 and the answer uncertain.
    compensation: Compensation | None = None
    # None = as the connection.
    request_gap_ms: int | None = None
    response_timeout_ms: int | None = None

    @property
    def is_asked(self) -> bool:
        """Whether the device answers questions; else it speaks by itself."""
        return bool(self.ask) or self.decoder in ASKING_DECODERS

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return [
            *self._question_mistakes(),
            *self._decoder_mistakes(),
            *self._timing_mistakes(),
            *(f"compensation.{sentence}" for sentence in (self.compensation.mistakes() if self.compensation else ())),
        ]

    def _question_mistakes(self) -> Iterator[str]:
        for name, text in (("ask", self.ask), *(("setup", line) for line in self.setup)):
            for word in _LIKE_A_PLACEHOLDER.findall(text):
                if word not in PLACEHOLDERS:
                    yield f"{name} holds {word}; there are {' and '.join(PLACEHOLDERS)}"
            if any(ord(character) > 0xFF for character in text):
                yield f"{name} holds a character that is no byte; write bytes above 7F like \\u00FF"
        if any("{compensation}" in line for line in self.setup):
            yield "setup cannot hold {compensation}; only ask, which is sent each time, can"
        if any("{address}" in text for text in (self.ask, *self.setup)) and not self.address:
            yield "address is missing; ask or setup holds {address}"
        if self.compensation is not None and "{compensation}" not in self.ask:
            yield "compensation is given, but ask does not hold {compensation}"
        if "" in self.setup:
            yield "setup holds an empty line"

    def _decoder_mistakes(self) -> Iterator[str]:
        if self.decoder == "sdi12":
            if self.ask or self.setup:
                yield 'ask and setup stay empty for decoder "sdi12"; command says what is asked'
            if self.address != ANY_ADDRESS and not ADDRESS.fullmatch(self.address):
                yield f'address is {self.address!r}; an SDI-12 address is one digit or letter, or "?" for any'
            if not COMMAND.fullmatch(self.command):
                yield f"command is {self.command!r}; it must be one of M, MC, C, CC (each also with 1 to 9), R0 to R9, RC0 to RC9"
        if not self.terminator:
            yield "terminator is empty; say what ends a line"
        if self.decoder == "lines" and self.layout == "csv" and not self.separator:
            yield "separator is empty; say what stands between two values"
        if self.decoder == "lines" and self.layout == "regex":
            yield from _pattern_mistakes(self.pattern)

    def _timing_mistakes(self) -> Iterator[str]:
        if self.request_gap_ms is not None and not 0 <= self.request_gap_ms <= 60_000:
            yield f"request_gap_ms is {self.request_gap_ms}; it must be from 0 to 60000"
        if self.response_timeout_ms is not None and not 1 <= self.response_timeout_ms <= 60_000:
            yield f"response_timeout_ms is {self.response_timeout_ms}; it must be from 1 to 60000"
        if not 0 <= self.setup_pause_ms <= 60_000:
            yield f"setup_pause_ms is {self.setup_pause_ms}; it must be from 0 to 60000"
        if not 0 <= self.discard_frames <= 100:
            yield f"discard_frames is {self.discard_frames}; it must be from 0 to 100"


def _pattern_mistakes(pattern: str) -> Iterator[str]:
    try:
        names = re.compile(pattern).groupindex
    except re.error as error:
        yield f"pattern is no regular expression: {error}"
        return
    if not names:
        yield "pattern names no field; write each as a group, like (?P<depth>[0-9]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialPointOptions(ValueOptions):
    """Which field of the device's frames a point is, and how it becomes a value."""

    # The decoder's name or number (from 0) of the field; empty = the point's id.
    field: str | int = ""

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        negative = isinstance(self.field, int) and self.field < 0
        return [*self._value_mistakes(), *(["field is negative; fields are counted from 0"] if negative else [])]
