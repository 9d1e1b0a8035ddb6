"""The serial driver keeps the rules of every driver; two sensors share an SDI-12 bus."""

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
from fakes.serial_peer import Reply, SerialPeer

SITE = """
[[connection]]
id = "bus"
driver = "serial"
serial_port = "{link}"
response_timeout_ms = 100
quiet_ms = 20
[[connection.device]]
id = "warm"
decoder = "sdi12"
address = "b"
command = "R0"
[connection.device.point.water_temperature]
field = 0
invalid_raw = [-9999.0]
[[connection.device]]
id = "cold"
decoder = "sdi12"
address = "c"
command = "R0"
[connection.device.point.water_temperature]
field = 0
"""
VOICE = """
[[connection]]
id = "port"
driver = "serial"
serial_port = "{link}"
response_timeout_ms = 500
quiet_ms = 20
[[connection.device]]
id = "cold"
decoder = "lines"
[connection.device.point.water_temperature]
field = 0
invalid_raw = [-9999.0]
"""
ADDRESSES = {"warm": "b", "cold": "c"}


class TestBus(PolledDriverConformance):
    kind = drivers.driver_kind("serial")

    @pytest.fixture(autouse=True)
    def bus(self, tmp_path: Path) -> None:
        self.link = tmp_path / "bus"
        self.peer = SerialPeer(self.link, self.answer, end=b"!")
        # What sensors say instead of their values; "" = nothing.
        self.instead: dict[str, str] = {}

    @asynccontextmanager
    async def devices(self) -> AsyncIterator[None]:
        await self.mend()
        yield
        await self.cut()

    def connection(self) -> ConnectionSettings:
        return connection_from(SITE.format(link=self.link))

    def truth(self, device_id: str) -> Mapping[str, Value]:
        return {"water_temperature": {"warm": 30.0, "cold": 5.0}[device_id]}

    async def silence(self, device_id: str) -> None:
        self.instead[ADDRESSES[device_id]] = ""

    async def babble(self, device_id: str) -> None:
        self.instead[ADDRESSES[device_id]] = "\xff\x00 30.0 what\r\n"

    async def fail_sensor(self, device_id: str) -> None:
        self.instead[ADDRESSES[device_id]] = f"{ADDRESSES[device_id]}-9999\r\n"

    async def cut(self) -> None:
        self.peer.unplug()

    async def mend(self) -> None:
        self.instead.clear()
        if not self.peer.is_plugged:
            self.peer.plug()

    def answer(self, request: bytes) -> Sequence[Reply]:
        address = request.decode()[0]
        said = {"b": "b+30.0\r\n", "c": "c+5.0\r\n"} | self.instead
        return [Reply(said[address].encode("latin-1"))] if said[address] else []


class TestVoice(PolledDriverConformance):
    """A node that speaks by itself has its port alone."""

    kind = drivers.driver_kind("serial")

    @pytest.fixture(autouse=True)
    def node(self, tmp_path: Path) -> None:
        self.peer = SerialPeer(tmp_path / "node", lambda _request: [])
        self.says = b"5.0\r\n"

    @asynccontextmanager
    async def devices(self) -> AsyncIterator[None]:
        self.peer.plug()
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(self.speak())
            yield
            speaking.cancel()
        self.peer.unplug()

    async def speak(self) -> None:
        while True:
            self.peer.say(self.says)
            await asyncio.sleep(0.05)

    def connection(self) -> ConnectionSettings:
        return connection_from(VOICE.format(link=self.peer.link))

    def truth(self, device_id: str) -> Mapping[str, Value]:
        assert device_id == "cold"
        return {"water_temperature": 5.0}

    async def silence(self, device_id: str) -> None:
        assert device_id == "cold"
        self.says = b""

    async def babble(self, device_id: str) -> None:
        assert device_id == "cold"
        self.says = b"5.0 or so\r\n"

    async def fail_sensor(self, device_id: str) -> None:
        assert device_id == "cold"
        self.says = b"-9999\r\n"

    async def cut(self) -> None:
        self.peer.unplug()

    async def mend(self) -> None:
        self.says = b"5.0\r\n"
        if not self.peer.is_plugged:
            self.peer.plug()
