"""A Modbus/TCP peer that misbehaves on the wire, as pymodbus's server cannot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Request:
    transaction: int
    unit: int
    function: int
    address: int
    count: int

    def reply(self, *, pdu: bytes | None = None, transaction: int | None = None, unit: int | None = None) -> bytes:
        """Frame an answer; without `pdu` the right one, in which each register holds its own address."""
        body = self.right_pdu() if pdu is None else pdu
        transaction = self.transaction if transaction is None else transaction
        header = transaction.to_bytes(2, "big") + bytes(2) + (len(body) + 1).to_bytes(2, "big")
        return header + bytes([self.unit if unit is None else unit]) + body

    def right_pdu(self) -> bytes:
        data = b"".join((self.address + index).to_bytes(2, "big") for index in range(self.count))
        return bytes([self.function, len(data)]) + data

    def refusal(self, code: int) -> bytes:
        return self.reply(pdu=bytes([self.function | 0x80, code]))


@dataclass(frozen=True)
class Send:
    data: bytes


@dataclass(frozen=True)
class Hang:
    """Stay silent."""


@dataclass(frozen=True)
class Hold:
    """Keep this answer back and send it before the answer to the next request."""

    data: bytes


@dataclass(frozen=True)
class Close:
    """Close the connection, after these bytes."""

    data: bytes = b""


Behaviour = Callable[[Request], Send | Hang | Hold | Close]


@dataclass
class Peer:
    behave: Behaviour
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: dict[asyncio.Task[object], asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.open[task] = writer
        held = b""
        try:
            while True:
                request = _parse(await reader.readexactly(12))
                self.requests.append(request)
                match self.behave(request):
                    case Send(data):
                        writer.write(held + data)
                        held = b""
                    case Hold(data):
                        held = data
                    case Close(data):
                        writer.write(data)
                        return
                    case Hang():
                        pass
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self.open[task]
            writer.close()


def _parse(frame: bytes) -> Request:
    def word(at: int) -> int:
        return int.from_bytes(frame[at : at + 2], "big")

    return Request(transaction=word(0), unit=frame[6], function=frame[7], address=word(8), count=word(10))


@asynccontextmanager
async def misbehaving_peer(behave: Behaviour) -> AsyncIterator[Peer]:
    peer = Peer(behave)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        tasks = list(peer.open)
        for writer in peer.open.values():
            writer.close()
        await asyncio.gather(*tasks)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave differently from request to request; the last way stays."""
    left: list[Behaviour] = list(behaviours)

    def behave(request: Request) -> Send | Hang | Hold | Close:
        return (left.pop(0) if len(left) > 1 else left[0])(request)

    return behave


def answer(request: Request) -> Send:
    return Send(request.reply())


def hang(_request: Request) -> Hang:
    return Hang()


def registers_pdu(function: int, registers: Sequence[int]) -> bytes:
    return bytes([function, 2 * len(registers)]) + b"".join(value.to_bytes(2, "big") for value in registers)
