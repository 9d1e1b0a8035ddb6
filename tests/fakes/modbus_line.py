"""Units on a pseudo-terminal, behind RTU over TCP, or behind Modbus/TCP, which answer as a test wants.

Each register holds its own address, so a value tells which request it answers. Units answer in the order in which they
were asked, however late.
"""

import asyncio
import os
import pty
import tty
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from drivers.modbus.options import ModbusConnectionOptions, Transport
from fakes.modbus_peer import registers_pdu

RTU_REQUEST_LENGTH = 8
# A timer may come so much too soon.
CLOCK_S = 1e-6


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as the peer understood it."""

    frame: bytes
    unit: int
    pdu: bytes
    # In front of the unit on Modbus/TCP.
    transaction: bytes = b""

    @property
    def address(self) -> int:
        return int.from_bytes(self.pdu[1:3], "big")

    @property
    def count(self) -> int:
        return int.from_bytes(self.pdu[3:5], "big")

    def right_pdu(self) -> bytes:
        if self.pdu[0] in {5, 6, 15, 16}:
            return self.pdu[:5]
        if self.pdu[0] in {1, 2}:
            # Every other bit is set.
            return bytes([self.pdu[0], -(-self.count // 8)]) + b"\xaa" * -(-self.count // 8)
        return registers_pdu(self.pdu[0], range(self.address, self.address + self.count))

    def framed(self, pdu: bytes, unit: int | None = None) -> bytes:
        body = bytes([self.unit if unit is None else unit]) + pdu
        if self.transaction:
            return self.transaction + b"\0\0" + len(body).to_bytes(2, "big") + body
        return body + crc(body)


def crc(body: bytes) -> bytes:
    value = 0xFFFF
    for byte in body:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some bytes, so long after the request."""

    data: bytes
    after_s: float = 0.0


# What a peer sends for a request.
Behaviour = Callable[[Asked], Sequence[Piece]]


@dataclass
class Line:
    """One peer: what it was asked, and what it makes of it."""

    behave: Behaviour
    is_rtu: bool
    asked: list[Asked] = field(default_factory=list)
    # When each came, in seconds of the loop.
    asked_s: list[float] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    open: list[asyncio.Transport] = field(default_factory=list)
    terminal: "PseudoTerminal | None" = None
    # Sends to whoever asked last.
    say: Callable[[bytes], None] = lambda _data: None
    _arrived: bytearray = field(default_factory=bytearray)
    _queue: deque[tuple[float, bytes, Callable[[bytes], None]]] = field(default_factory=deque)
    _free_s: float = 0.0

    def receive(self, data: bytes, send: Callable[[bytes], None]) -> None:
        """Take requests off the line and answer each in its turn."""
        loop = asyncio.get_running_loop()
        self.say = send
        self._arrived += data
        while (asked := self._next()) is not None:
            self.asked.append(asked)
            self.asked_s.append(loop.time())
            self.was_asked.set()
            for piece in self.behave(asked):
                # In order: nothing overtakes what is still to be sent.
                self._free_s = max(self._free_s, loop.time() + piece.after_s)
                self._queue.append((self._free_s, piece.data, send))
                if piece.after_s:
                    loop.call_at(self._free_s, self._send_due)
        self._send_due()

    def _send_due(self) -> None:
        # A timer that is due may run after what arrived just now: the queue keeps the order.
        now_s = asyncio.get_running_loop().time() + CLOCK_S
        while self._queue and self._queue[0][0] <= now_s:
            _, data, send = self._queue.popleft()
            send(data)

    def _next(self) -> Asked | None:
        arrived = bytes(self._arrived)
        length = self._length(arrived)
        if not length or len(arrived) < length:
            return None
        frame = arrived[:length]
        del self._arrived[:length]
        if self.is_rtu:
            assert crc(frame[:-2]) == frame[-2:], frame.hex(" ")
            return Asked(frame=frame, unit=frame[0], pdu=frame[1:-2])
        return Asked(frame=frame, unit=frame[6], pdu=frame[7:], transaction=frame[:2])

    def _length(self, arrived: bytes) -> int:
        if not self.is_rtu:
            return 6 + int.from_bytes(arrived[4:6], "big") if len(arrived) >= 6 else 0
        if len(arrived) > 6 and arrived[1] in {15, 16}:
            return 9 + arrived[6]
        return RTU_REQUEST_LENGTH if len(arrived) > 1 and arrived[1] < 7 else 0


def right(asked: Asked) -> Sequence[Piece]:
    """Answer as it should be."""
    return [Piece(data=asked.framed(asked.right_pdu()))]


def silent(_asked: Asked) -> Sequence[Piece]:
    return []


def each_in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave differently from request to request; the last way stays."""
    left = list(behaviours)

    def behave(asked: Asked) -> Sequence[Piece]:
        return (left.pop(0) if len(left) > 1 else left[0])(asked)

    return behave


class PseudoTerminal:
    """The far end of a serial line that exists only in the kernel. Leaving it is pulling the plug."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._far, self._near = pty.openpty()
        tty.setraw(self._far)
        tty.setraw(self._near)
        self.path = os.ttyname(self._near)

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._far, self._readable)
        return self

    def __exit__(self, *_error: object) -> None:
        self.unplug()

    def unplug(self) -> None:
        if self._far >= 0:
            asyncio.get_running_loop().remove_reader(self._far)
            os.close(self._near)
            os.close(self._far)
        self._far = -1

    def _readable(self) -> None:
        self._line.receive(os.read(self._far, 1024), self._send)

    def _send(self, data: bytes) -> None:
        if self._far >= 0:
            os.write(self._far, data)


class _Served(asyncio.Protocol):
    def __init__(self, line: Line) -> None:
        self._line = line
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._line.open.append(transport)

    def data_received(self, data: bytes) -> None:
        self._line.receive(data, self._send)

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        # A converter hands what is late to whoever is connected then.
        to = self._line.open[-1] if self._line.is_rtu else self._transport
        if not to.is_closing():
            to.write(data)


@asynccontextmanager
async def _listening(line: Line) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(lambda: _Served(line), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in line.open:
            transport.abort()


@asynccontextmanager
async def line_of(
    transport: Transport, behave: Behaviour, *, response_timeout_ms: int = 50, quiet_ms: int = 20
) -> AsyncIterator[tuple[Line, ModbusConnectionOptions]]:
    """Serve one line, and say how it is reached."""
    line = Line(behave, is_rtu=transport != "tcp")
    if transport == "serial":
        with PseudoTerminal(line) as terminal:
            line.terminal = terminal
            yield (
                line,
                ModbusConnectionOptions(
                    transport="serial",
                    serial_port=terminal.path,
                    baud_rate=115_200,
                    format="8E1",
                    response_timeout_ms=response_timeout_ms,
                    quiet_ms=quiet_ms,
                ),
            )
        return
    async with _listening(line) as port:
        yield (
            line,
            ModbusConnectionOptions(
                transport=transport,
                host="127.0.0.1",
                tcp_port=port,
                response_timeout_ms=response_timeout_ms,
                quiet_ms=quiet_ms,
            ),
        )
