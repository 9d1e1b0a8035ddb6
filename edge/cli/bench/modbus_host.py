"""A Modbus/TCP host that costs next to nothing: every unit answers every read of holding registers at once.

`python -m edge.cli.bench.modbus_host` prints its port and serves until it is ended.
"""

import asyncio
import struct
import sys

# Transaction, protocol, length, unit, function, address, count (Modbus messaging on TCP/IP, 3.1.3).
_REQUEST = struct.Struct(">HHHBBHH")
_ANSWER_HEAD = struct.Struct(">HHHBBB")


class Host(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        assert self._transport is not None
        self._received += data
        while len(self._received) >= _REQUEST.size:
            transaction, _, _, unit, function, address, count = _REQUEST.unpack_from(self._received)
            self._received = self._received[_REQUEST.size :]
            # Register n holds n, in tenths of something plausible.
            registers = struct.pack(f">{count}H", *(100 + address + index for index in range(count)))
            size = len(registers)
            self._transport.write(_ANSWER_HEAD.pack(transaction, 0, 3 + size, unit, function, size) + registers)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Host, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
