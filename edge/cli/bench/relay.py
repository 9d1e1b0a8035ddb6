"""A relay between two sockets that counts the bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536


class Relay:
    """Passes bytes on to one address, and counts them in both directions."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.uri = ""
        self.passed = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        try:
            inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, inner_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, inner_writer), name="there")
                tasks.create_task(self._pass_on(inner_reader, writer), name="back")
        finally:
            self._writers -= {writer, inner_writer}
            writer.transport.abort()
            inner_writer.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(CHUNK):
                self.passed += len(chunk)
                target.write(chunk)
                await target.drain()
        target.transport.abort()

    def cut(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def relay_to(uri: str) -> AsyncIterator[Relay]:
    """Stand before the event store at `uri`; the relay's own URI leads through it."""
    parts = urlsplit(uri)
    assert parts.hostname is not None, "the event store's first line has its address"
    assert parts.port is not None, "the event store's first line has its port"
    relay = Relay(parts.hostname, parts.port)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.uri = urlunsplit(parts._replace(netloc=f"127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    try:
        yield relay
    finally:
        server.close()
        relay.cut()
        await server.wait_closed()
