"""Shows simulated devices over TCP sockets: as Modbus/TCP, or as RTU frames behind a converter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeAlias

from drivers.simulation.faults import LATE_BY_S, Fault
from drivers.simulation.line import Utterance
from drivers.simulation.modbus_units import ModbusUnits
from drivers.simulation.rtu_bus import RtuBus

Framing: TypeAlias = Literal["tcp", "rtu"]
_Serve: TypeAlias = Callable[[asyncio.StreamReader, "_Client"], Awaitable[None]]

# Transaction, protocol (always 0), length of what follows, unit.
MBAP_LENGTH = 7
PDU_LENGTH_MAX = 253
READ_MAX = 4096


class PortTaken(OSError):  # noqa: N818 - as the errors of domain/driver.py
    """The server cannot listen there. Remedy: another port, or end the process that has it."""


class _Client:
    """One client, and the answers that it still gets."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._later: set[asyncio.TimerHandle] = set()

    def say(self, data: bytes, after_s: float = 0.0) -> None:
        """Send, now or later. The kernel bounds what the client does not fetch."""
        if after_s <= 0:
            self._writer.write(data)
            return
        self._later = {timer for timer in self._later if timer.when() > asyncio.get_running_loop().time()}
        self._later.add(asyncio.get_running_loop().call_later(after_s, self._writer.write, data))

    def say_all(self, utterances: Sequence[Utterance]) -> None:
        """Send one after the other."""
        after_s = 0.0
        for utterance in utterances:
            after_s += utterance.after_s
            self.say(utterance.data, after_s)

    def close(self) -> None:
        """Say nothing more."""
        for timer in self._later:
            timer.cancel()
        self._writer.close()


@asynccontextmanager
async def serve_host(
    units: ModbusUnits, *, listen: str, port: int = 0, framing: Framing = "tcp", seed: int = 0
) -> AsyncIterator[int]:
    """Serve one host's devices; gives the port, which the system chooses if it is 0. Raises PortTaken."""

    async def serve_tcp(reader: asyncio.StreamReader, client: _Client) -> None:
        await _serve_tcp(reader, client, units)

    async def serve_rtu(reader: asyncio.StreamReader, client: _Client) -> None:
        await _serve_rtu(reader, client, RtuBus(units, seed=seed))

    clients: set[asyncio.Task[None]] = set()
    serve = serve_tcp if framing == "tcp" else serve_rtu

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        try:
            await _attend(reader, writer, serve)
        finally:
            clients.discard(task)

    try:
        server = await asyncio.start_server(welcome, listen, port)
    except OSError as error:
        raise PortTaken(f"cannot listen on {listen}:{port}: {error.strerror or error}") from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in clients:
            task.cancel()
        if clients:
            await asyncio.wait(clients)
        await server.wait_closed()


async def _attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serve: _Serve) -> None:
    client = _Client(writer)
    try:
        # A client may go at any moment.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, client)
    finally:
        client.close()


async def _serve_tcp(reader: asyncio.StreamReader, client: _Client, units: ModbusUnits) -> None:
    while True:
        header = await reader.readexactly(MBAP_LENGTH)
        length = int.from_bytes(header[4:6], "big") - 1
        if header[2:4] != b"\0\0" or not 1 <= length <= PDU_LENGTH_MAX:
            # This is no Modbus/TCP, and nothing shows where it could begin again.
            return
        reply = units.reply(header[6], await reader.readexactly(length))
        if reply is not None:
            # A late answer keeps the number of its own request.
            answer = header[:4] + (len(reply.pdu) + 1).to_bytes(2, "big") + header[6:] + reply.pdu
            client.say(answer, LATE_BY_S if reply.fault is Fault.LATE else 0.0)


async def _serve_rtu(reader: asyncio.StreamReader, client: _Client, bus: RtuBus) -> None:
    loop = asyncio.get_running_loop()
    while data := await reader.read(READ_MAX):
        client.say_all(bus.heard(data, loop.time()))
