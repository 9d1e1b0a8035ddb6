"""The Modbus driver keeps the rules of every driver, on a line and over TCP."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import drivers
from edge.domain.reading import Value
from edge.domain.settings import ConnectionSettings
from edge.testing.polled import PolledDriverConformance
from edge.testing.site import connection_from
from fakes.modbus_line import Asked, Line, Piece, PseudoTerminal, right
from fakes.modbus_peer import Hang, Peer, Request, Send

# Each register holds its own address.
SITE = """
[[connection]]
id = "wire"
driver = "modbus"
{wire}
response_timeout_ms = 100
quiet_ms = 20
[[connection.device]]
id = "warm"
address = 1
[connection.device.point.air_temperature]
table = "holding"
address = 300
type = "uint16"
scale = 0.1
invalid_raw = [0x8000]
[[connection.device]]
id = "cold"
address = 2
[connection.device.point.air_temperature]
table = "holding"
address = 50
type = "uint16"
scale = 0.1
"""
UNITS = {"warm": 1, "cold": 2}
FAILED = bytes([3, 2, 0x80, 0])
RUBBISH = bytes([0, 1, 255, 255, 255, 254, 3])


class Modbus(PolledDriverConformance):
    kind = drivers.driver_kind("modbus")

    @pytest.fixture(autouse=True)
    def nothing_is_wrong(self) -> None:
        self.silent: set[int] = set()
        self.babbling: set[int] = set()
        self.failed: set[int] = set()

    def truth(self, device_id: str) -> Mapping[str, Value]:
        return {"air_temperature": {"warm": 30.0, "cold": 5.0}[device_id]}

    async def silence(self, device_id: str) -> None:
        self.silent.add(UNITS[device_id])

    async def babble(self, device_id: str) -> None:
        self.babbling.add(UNITS[device_id])

    async def fail_sensor(self, device_id: str) -> None:
        self.failed.add(UNITS[device_id])

    async def mend(self) -> None:
        for troubled in (self.silent, self.babbling, self.failed):
            troubled.clear()


class TestTcp(Modbus):
    port = 1

    @asynccontextmanager
    async def devices(self) -> AsyncIterator[None]:
        self.peer = Peer(self.answer)
        await self.serve(0)
        self.port = self.server.sockets[0].getsockname()[1]
        yield
        await self.cut()

    def connection(self) -> ConnectionSettings:
        return connection_from(SITE.format(wire=f'host = "127.0.0.1"\ntcp_port = {self.port}'))

    async def serve(self, port: int) -> None:
        self.server = await asyncio.start_server(self.peer.serve, "127.0.0.1", port)

    async def cut(self) -> None:
        self.server.close()
        tasks = list(self.peer.open)
        for writer in self.peer.open.values():
            writer.close()
        await asyncio.gather(*tasks)

    async def mend(self) -> None:
        await super().mend()
        if not self.server.is_serving():
            await self.serve(self.port)

    def answer(self, request: Request) -> Send | Hang:
        if request.unit in self.silent:
            return Hang()
        if request.unit in self.babbling:
            return Send(RUBBISH)
        return Send(request.reply(pdu=FAILED if request.unit in self.failed else None))


class TestLine(Modbus):
    @pytest.fixture(autouse=True)
    def port(self, tmp_path: Path) -> None:
        self.link = tmp_path / "line"

    @asynccontextmanager
    async def devices(self) -> AsyncIterator[None]:
        self.plug()
        yield
        self.terminal.unplug()

    def connection(self) -> ConnectionSettings:
        return connection_from(SITE.format(wire=f'transport = "serial"\nserial_port = "{self.link}"'))

    def plug(self) -> None:
        """Appear under the old name, as an adapter does in another socket."""
        self.terminal = PseudoTerminal(Line(self.answer, is_rtu=True))
        self.terminal.__enter__()
        self.link.symlink_to(self.terminal.path)

    async def cut(self) -> None:
        self.link.unlink()
        self.terminal.unplug()

    async def mend(self) -> None:
        await super().mend()
        if not self.link.is_symlink():
            self.plug()

    def answer(self, asked: Asked) -> Sequence[Piece]:
        if asked.unit in self.silent:
            return []
        if asked.unit in self.babbling:
            return [Piece(data=RUBBISH)]
        return [Piece(data=asked.framed(FAILED))] if asked.unit in self.failed else right(asked)
