"""What a site file and a profile may say about Modbus. Defaults live here; `mistakes` says what types cannot."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from drivers.decoders.modbus_point import ModbusPointOptions

__all__ = ["ModbusConnectionOptions", "ModbusDeviceOptions", "ModbusPointOptions"]

Transport: TypeAlias = Literal["tcp", "serial", "rtu_over_tcp"]

# The protocol's limit: a reply's byte count is one byte, and 125 registers are 250 bytes.
REGISTERS_MAX = 125


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusConnectionOptions:
    """One Modbus/TCP host. Serial lines and RTU over TCP come with a later version."""

    transport: Transport = "tcp"
    # A name or an address; needed.
    host: str = ""
    tcp_port: int = 502
    connect_timeout_ms: int = 3000
    # How long a device may take to answer one request.
    response_timeout_ms: int = 1000
    # Silence between two requests; some devices and most serial gateways need it.
    request_gap_ms: int = 0
    # Silence after a request that was not answered, so that a late answer meets no other question.
    quiet_ms: int = 50

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if self.transport != "tcp":
            yield f'transport "{self.transport}" comes with a later version; this one speaks "tcp"'
        elif not self.host.strip():
            yield "host is missing: the name or address of the Modbus/TCP device or gateway"
        elif not _can_be_looked_up(self.host):
            yield f"host is {self.host!r}; that is neither a name nor an address"
        if not 1 <= self.tcp_port <= 65535:
            yield f"tcp_port is {self.tcp_port}; it must be from 1 to 65535"
        for name in ("connect_timeout_ms", "response_timeout_ms"):
            # A minute: a poll waits this long while all other devices of the connection wait, too.
            if not 1 <= getattr(self, name) <= 60_000:
                yield f"{name} is {getattr(self, name)}; it must be from 1 to 60000"
        for name in ("request_gap_ms", "quiet_ms"):
            if not 0 <= getattr(self, name) <= 60_000:
                yield f"{name} is {getattr(self, name)}; it must be from 0 to 60000"


def _can_be_looked_up(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:  # an empty or too long part: the resolver would not even be asked
        return False
    return not any(character.isspace() for character in host)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusDeviceOptions:
    """One device (unit) behind a connection."""

    # The unit id.
    address: int = 1
    # Registers asked for in one request; 0 = each point by its own request.
    registers_max: int = REGISTERS_MAX
    # Unwanted registers that may lie between two points of one request.
    hole_max: int = 0
    # None = as the connection.
    request_gap_ms: int | None = None
    response_timeout_ms: int | None = None

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
        if self.request_gap_ms is not None and not 0 <= self.request_gap_ms <= 60_000:
            yield f"request_gap_ms is {self.request_gap_ms}; it must be from 0 to 60000"
        if self.response_timeout_ms is not None and not 1 <= self.response_timeout_ms <= 60_000:
            yield f"response_timeout_ms is {self.response_timeout_ms}; it must be from 1 to 60000"
