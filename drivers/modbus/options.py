"""The options of Modbus in site files and profiles. Defaults live here; `mistakes` has the other rules."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from drivers.decoders.modbus_point import ModbusPointOptions
from drivers.modbus.setup import SetupWrite
from edge.domain.serial_line import line_format

__all__ = ["ModbusConnectionOptions", "ModbusDeviceOptions", "ModbusPointOptions", "SetupWrite"]

Transport: TypeAlias = Literal["tcp", "serial", "rtu_over_tcp"]

_TCP_KEYS = ("host", "tcp_port")
_SERIAL_KEYS = ("serial_port", "baud_rate", "format")
_OWN_KEYS: dict[Transport, str] = {
    "tcp": "host and tcp_port",
    "rtu_over_tcp": "host and tcp_port",
    "serial": "serial_port, baud_rate and format",
}

# The protocol's limit: a reply's byte count is one byte, and 125 registers are 250 bytes.
REGISTERS_MAX = 125
# A minute: a poll waits this long while all other devices of the connection wait, too.
WAIT_MS_MAX = 60_000
# A start sequence of the devices we know has one or two.
SETUP_WRITES_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusConnectionOptions:
    """One Modbus/TCP host, one serial line, or one line behind a converter that passes RTU frames over TCP."""

    transport: Transport = "tcp"
    # "tcp" and "rtu_over_tcp": a name or an address; needed.
    host: str = ""
    tcp_port: int = 502
    # "serial": needed; best by its link in /dev/serial/by-id/, which stays when ports are plugged in another order.
    serial_port: str = ""
    baud_rate: int = 9600
    # Data bits, parity, stop bits. (A pseudo-terminal knows only 8N1: it is used there whatever stands here.)
    format: str = "8N1"
    connect_timeout_ms: int = 3000
    # How long a device may take to answer one request. The time that characters take on a serial line comes on top.
    response_timeout_ms: int = 1000
    # Silence between two requests. A serial line keeps 3.5 characters of it in any case.
    request_gap_ms: int = 0
    # Silence after a request that failed. It grows by itself for a device that was seen to answer later than this.
    quiet_ms: int = 100

    @property
    def is_rtu(self) -> bool:
        """Whether frames carry no number: an answer does not show which request it belongs to."""
        return self.transport != "tcp"

    @property
    def where(self) -> str:
        """Name the other end as a technician would."""
        if self.transport == "serial":
            return self.serial_port
        return f"{self.host}:{self.tcp_port}"

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        own_mistakes = self._serial_mistakes() if self.transport == "serial" else self._tcp_mistakes()
        return [*own_mistakes, *self._wait_mistakes()]

    def _serial_mistakes(self) -> Iterator[str]:
        yield from self._foreign_keys(_TCP_KEYS)
        if not self.serial_port.strip():
            yield "serial_port is missing: name the port, best by its link in /dev/serial/by-id/"
        elif not self.serial_port.startswith("/"):
            yield f"serial_port is {self.serial_port!r}; write the whole path, like /dev/serial/by-id/usb-…"
        if not 50 <= self.baud_rate <= 4_000_000:
            yield f"baud_rate is {self.baud_rate}; it must be from 50 to 4000000"
        try:
            form = line_format(self.format)
        except ValueError as error:
            yield str(error)
        else:
            if form.data_bits != 8:
                yield f"format is {self.format!r}; Modbus RTU needs 8 data bits"

    def _tcp_mistakes(self) -> Iterator[str]:
        yield from self._foreign_keys(_SERIAL_KEYS)
        if not self.host.strip():
            yield "host is missing: the name or address of the device or gateway"
        elif not _can_be_looked_up(self.host):
            yield f"host is {self.host!r}; that is neither a name nor an address; a port goes into tcp_port"
        if not 1 <= self.tcp_port <= 65535:
            yield f"tcp_port is {self.tcp_port}; it must be from 1 to 65535"

    def _foreign_keys(self, names: tuple[str, ...]) -> Iterator[str]:
        """Keys that have no effect on this transport: the author of the site file expects one."""
        for item in fields(self):
            if item.name in names and getattr(self, item.name) != item.default:
                yield f'{item.name} is no key of transport "{self.transport}"; it has {_OWN_KEYS[self.transport]}'

    def _wait_mistakes(self) -> Iterator[str]:
        for name in ("connect_timeout_ms", "response_timeout_ms"):
            if not 1 <= getattr(self, name) <= WAIT_MS_MAX:
                yield f"{name} is {getattr(self, name)}; it must be from 1 to {WAIT_MS_MAX}"
        for name in ("request_gap_ms", "quiet_ms"):
            if not 0 <= getattr(self, name) <= WAIT_MS_MAX:
                yield f"{name} is {getattr(self, name)}; it must be from 0 to {WAIT_MS_MAX}"


def _can_be_looked_up(host: str) -> bool:
    """Whether this is only a name or an address: no scheme, no port, no brackets, no path."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if set(host) & set(":/?#@[]"):
            return False
    try:
        host.encode("idna")
    except UnicodeError:  # an empty or too long part: the resolver would not even be asked
        return False
    return not any(character.isspace() for character in host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a device may be asked; None = as the connection's options say."""

    request_gap_ms: int | None = None
    response_timeout_ms: int | None = None


USUAL_PACE = Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusDeviceOptions:
    """One device (unit) behind a connection."""

    # The unit id.
    address: int = 1
    # Registers asked for in one request; 0 = each point by its own request.
    registers_max: int = REGISTERS_MAX
    # Unwanted registers that may lie between two points of one request.
    hole_max: int = 0
    # Written whenever the connection was opened and when the device answers again after a silence, before it is read;
    # what it holds already is not written again.
    setup: tuple[SetupWrite, ...] = ()
    # None = as the connection.
    request_gap_ms: int | None = None
    response_timeout_ms: int | None = None

    @property
    def pace(self) -> Pace:
        """Return how fast the device may be asked."""
        return Pace(request_gap_ms=self.request_gap_ms, response_timeout_ms=self.response_timeout_ms)

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if not 0 <= self.address <= 255:
            yield f"address is {self.address}; a Modbus unit id is from 0 to 255"
        if not 0 <= self.registers_max <= REGISTERS_MAX:
            yield f"registers_max is {self.registers_max}; it must be from 0 (never batch) to {REGISTERS_MAX}"
        if not 0 <= self.hole_max <= REGISTERS_MAX:
            yield f"hole_max is {self.hole_max}; it must be from 0 to {REGISTERS_MAX}"
        if len(self.setup) > SETUP_WRITES_MAX:
            yield f"setup has {len(self.setup)} writes; {SETUP_WRITES_MAX} are the most"
        for number, write in enumerate(self.setup, start=1):
            for mistake in write.mistakes():
                yield f"setup, write {number}: {mistake}"
        if self.request_gap_ms is not None and not 0 <= self.request_gap_ms <= WAIT_MS_MAX:
            yield f"request_gap_ms is {self.request_gap_ms}; it must be from 0 to {WAIT_MS_MAX}"
        if self.response_timeout_ms is not None and not 1 <= self.response_timeout_ms <= WAIT_MS_MAX:
            yield f"response_timeout_ms is {self.response_timeout_ms}; it must be from 1 to {WAIT_MS_MAX}"
