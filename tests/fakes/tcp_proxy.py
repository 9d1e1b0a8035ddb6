"""A wire in the middle that can go silent without closing, as a dead link does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 65_536


class TcpProxy:
    """Passes bytes on to one port of this machine."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._accepted = 0
        # Connections on which no bytes are passed, by the order in which they came.
        self._lost: set[int] = set()
        self.port = 0

    @property
    def uri(self) -> str:
        return f"esdb://127.0.0.1:{self.port}?tls=false"

    def go_silent(self) -> None:
        """Swallow everything from now on; connections stay open, new ones are accepted."""
        self._passing.clear()

    def speak_again(self) -> None:
        self._passing.set()

    def forget_connections(self) -> None:
        """Drop what comes on the connections there are, as a middlebox does that has forgotten them; new ones pass."""
        self._lost.update(range(self._accepted))

    def lose_next_connection(self) -> None:
        """Take the next connection and never answer on it; the others pass."""
        self._lost.add(self._accepted)

    def cut(self) -> None:
        """Close all connections at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # At once: a cut, or the end of a test, may fall into the connecting below.
        ends = {writer}
        self._writers |= ends
        number, self._accepted = self._accepted, self._accepted + 1
        try:
            with suppress(OSError):
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
                ends.add(inner_writer)
                self._writers.add(inner_writer)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pass_on(reader, inner_writer, number))
                    tasks.create_task(self._pass_on(inner_reader, writer, number))
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, number: int) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(CHUNK):
                # What comes while silent is held back, like a packet that is sent again until it gets through.
                await self._passing.wait()
                if number in self._lost:
                    continue
                target.write(chunk)
                await target.drain()
        target.transport.abort()


@asynccontextmanager
async def tcp_proxy(target_port: int) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(target_port)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.speak_again()
        proxy.cut()
        await server.wait_closed()
