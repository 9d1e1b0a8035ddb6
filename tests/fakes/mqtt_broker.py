"""A broker of a few lines, for answers that mosquitto cannot be made to give."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

V5, V311 = 5, 4
# CONNACK as MQTT 3.1.1 and MQTT 5 write it.
ACCEPTED = {V311: bytes.fromhex("20020000"), V5: bytes.fromhex("2003000000")}
CONNECT, SUBSCRIBE, DISCONNECT = 0x10, 0x80, 0xE0


@dataclass
class ScriptedBroker:
    """Answers CONNECT by version; b"" = closes instead. SUBACK carries one code for each filter."""

    answers: dict[int, bytes] = field(default_factory=lambda: dict(ACCEPTED))
    suback_code: int = 1
    # Sent after SUBACK.
    then: bytes = b""
    versions: list[int] = field(default_factory=list)
    port: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        kind, body = await packet_from(reader)
        if kind & 0xF0 == CONNECT:
            version = body[6]
            self.versions.append(version)
            writer.write(self.answers[version])
            return bool(self.answers[version])
        if kind & 0xF0 == SUBSCRIBE:
            writer.write(self._suback(body) + self.then)
        return kind & 0xF0 != DISCONNECT

    def _suback(self, body: bytes) -> bytes:
        properties = b"\0" if self.versions[-1] == V5 else b""
        position, count = 2 + len(properties), 0
        while position < len(body):
            position += 2 + int.from_bytes(body[position : position + 2]) + 1
            count += 1
        answer = body[:2] + properties + bytes([self.suback_code]) * count
        return bytes([0x90, len(answer)]) + answer


async def packet_from(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        part = (await reader.readexactly(1))[0]
        length |= (part & 0x7F) << shift
        shift += 7
        if part < 0x80:
            return kind, await reader.readexactly(length)


@asynccontextmanager
async def scripted_broker(broker: ScriptedBroker) -> AsyncIterator[ScriptedBroker]:
    server = await asyncio.start_server(broker.accept, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        for writer in broker.writers:
            writer.transport.abort()
        await server.wait_closed()
