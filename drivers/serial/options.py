"""What a site file and a profile may say about serial instruments. Defaults live here; `mistakes` says what types cannot."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from drivers.decoders.values import ValueOptions
from edge.domain.serial_line import line_format

Decoder: TypeAlias = Literal["lines", "nmea", "ezo", "sdi12", "mhz19", "plantower", "scale", "wxt"]
Layout: TypeAlias = Literal["csv", "key_value", "json", "regex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialConnectionOptions:
    """One serial port."""

    # Best by its name in /dev/serial/by-id/, which stays when ports are plugged in another order.
    serial_port: str
    baud_rate: int = 9600
    # Data bits, parity, stop bits. (A pseudo-terminal knows only 8N1: it is used there whatever stands here.)
    format: str = "8N1"
    # Whether the line DTR (RTS) is set when the port is opened; many ESP and Arduino boards restart when DTR changes.
    dtr: bool = True
    rts: bool = True
    # Silence after opening, in which what arrives is dropped: boot messages, bursts of a sensor that got its power.
    settle_ms: int = 0
    # How long a device may take to answer, unless it says otherwise.
    response_timeout_ms: int = 1000
    # Silence between two requests.
    request_gap_ms: int = 0
    # Silence after a request that was not answered, so that a late answer meets no other question.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialDeviceOptions:
    """One instrument at a port, or at the bus behind it (SDI-12)."""

    decoder: Decoder
    # What is sent for a sample; {address} and {compensation} stand for their values. Empty = the device speaks by
    # itself (then it has the port to itself), or the decoder knows what to ask (sdi12, mhz19).
    ask: str = ""
    # Sent one by one after each opening and after the device has restarted, before the first question.
    setup: tuple[str, ...] = ()
    # The address character on a bus (sdi12, wxt).
    address: str = ""
    # What ends a line, coming in. "\n" takes "\r\n" as well.
    terminator: str = "\n"
    # Frames that are passed over after each opening: the first one is often a torn or a boot message.
    discard_frames: int = 0
    # decoder "lines": how a line is laid out; separator between its parts; a regular expression with named groups.
    layout: Layout = "csv"
    separator: str = ","
    pattern: str = ""
    # decoder "sdi12": the measuring command (M, MC, C, CC, M1 to M9, R0 to R9, ...).
    command: str = "M"
    compensation: Compensation | None = None
    # None = as the connection.
    request_gap_ms: int | None = None
    response_timeout_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialPointOptions(ValueOptions):
    """Which field of the device's frames a point is, and how it becomes a value."""

    # The decoder's name or number (from 0) of the field; empty = the point's id.
    field: str | int = ""
