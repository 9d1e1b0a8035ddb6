"""Opens a server, a port or a publisher for each connection of a site file, and says where each is."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import time
from urllib.parse import urlsplit

from drivers.simulation.broker import Broker, open_broker
from drivers.simulation.instruments import instruments
from drivers.simulation.modbus_server import PortTaken, serve_host
from drivers.simulation.modbus_units import ModbusUnits
from drivers.simulation.mqtt_messages import is_served
from drivers.simulation.mqtt_publisher import MqttVoice, publishing
from drivers.simulation.pty_line import open_line
from drivers.simulation.register_map import ServedUnit
from drivers.simulation.rtu_bus import RtuBus
from drivers.simulation.site import SimulatedSite
from edge.cli.endpoints import Change
from edge.cli.served import NotServed, Served, ServedBus, ServedHost, ServedPort, ServedTopics, left_out
from edge.domain.settings import Settings

# Where nobody listens: a site file with simulated addresses must not lead anybody to the real broker.
NOWHERE = "mqtt://127.0.0.1:9"
# What guards the way to the real broker means nothing at ours.
_DROPPED_AT_BROKERS = ("credential", "ca_file", "client_certificate", "client_key")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a connection is simulated, and what a site file has to say for it."""

    changes: Mapping[str, Change]
    # For people.
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where endpoints may be."""

    listen: str
    # The folder of the ports.
    ports: Path
    # Earlier TCP ports by connection: a restart is not noticed.
    earlier: Mapping[str, int]
    # The broker that the caller has; None: one of our own.
    broker_url: str | None
    seed: int


async def open_endpoints(
    stack: AsyncExitStack, settings: Settings, served: Mapping[int, Served], site: SimulatedSite, places: Places
) -> dict[int, Endpoint]:
    """Open everything for the length of the stack. Raises PortTaken, LinkTaken, BrokerFailed or OSError."""
    opener = _Opener(stack, site, places)
    endpoints: dict[int, Endpoint] = {}
    for index, item in served.items():
        connection_id = settings.connections[index].id
        if isinstance(item, ServedHost):
            endpoints[index] = await opener.host(connection_id, item)
        elif isinstance(item, ServedBus):
            endpoints[index] = await opener.bus(connection_id, item)
        elif isinstance(item, ServedPort):
            endpoints[index] = await opener.port(connection_id, item)
    radio = {index: item for index, item in served.items() if isinstance(item, ServedTopics)}
    if radio:
        ids = [settings.connections[index].id for index in radio]
        endpoints |= await opener.topics(radio, ids[0], settings.site.time_zone)
    for index, item in served.items():
        if isinstance(item, NotServed):
            endpoints[index] = Endpoint(changes={}, sentence=f"not served; {item.reason}")
    return endpoints


class _Opener:
    def __init__(self, stack: AsyncExitStack, site: SimulatedSite, places: Places) -> None:
        self._stack = stack
        self._site = site
        self._places = places

    async def host(self, connection_id: str, item: ServedHost) -> Endpoint:
        """Open a TCP port: the one of last time, or else any."""
        listen = self._places.listen
        wanted = self._places.earlier.get(connection_id, 0)
        try:
            port = await self._listen(item, wanted)
        except PortTaken:
            if not wanted:
                raise
            port = await self._listen(item, 0)
        kind = "modbus tcp" if item.framing == "tcp" else "modbus rtu over tcp"
        sentence = f"{kind} {listen}:{port}: {_units(item.units)}"
        return Endpoint(changes={"host": listen, "tcp_port": port}, sentence=sentence)

    async def _listen(self, item: ServedHost, port: int) -> int:
        units = ModbusUnits(item.units, self._site)
        server = serve_host(units, listen=self._places.listen, port=port, framing=item.framing, seed=self._places.seed)
        return await self._stack.enter_async_context(server)

    async def bus(self, connection_id: str, item: ServedBus) -> Endpoint:
        """Make a serial port with Modbus devices."""
        bus = RtuBus(ModbusUnits(item.units, self._site), seed=self._places.seed)
        line = await self._stack.enter_async_context(open_line(self._places.ports / connection_id, bus))
        return Endpoint(
            changes={"serial_port": str(line.link)}, sentence=f"modbus rtu {line.link}: {_units(item.units)}"
        )

    async def port(self, connection_id: str, item: ServedPort) -> Endpoint:
        """Make a serial port with instruments."""
        party = instruments(item.devices, self._site, seed=self._places.seed)
        line = await self._stack.enter_async_context(open_line(self._places.ports / connection_id, party))
        names = ", ".join(device.device.device_id for device in item.devices)
        return Endpoint(changes={"serial_port": str(line.link)}, sentence=f"serial {line.link}: {names}{_silent(item)}")

    async def topics(
        self, radio: Mapping[int, ServedTopics], connection_id: str, time_zone: str
    ) -> dict[int, Endpoint]:
        """Let all devices of all brokers publish at one."""
        broker = await self._broker(connection_id)
        if broker is None:
            reason = "not served: no broker is installed (mosquitto, or this package's extra `demo`); MQTT is left out"
            nowhere = Endpoint(changes={"url": NOWHERE, **dict.fromkeys(_DROPPED_AT_BROKERS)}, sentence=reason)
            return dict.fromkeys(radio, nowhere)
        voices = [
            MqttVoice(device, self._site, time_zone=time_zone)
            for item in radio.values()
            for device in item.devices
            if is_served(device)
        ]
        await self._stack.enter_async_context(publishing(voices, broker, now_ms=lambda: round(time() * 1000)))
        changes: dict[str, Change] = {"url": broker.url, **dict.fromkeys(_DROPPED_AT_BROKERS)}
        if broker.is_old:
            # Asked for MQTT 5, it says nothing for a long time.
            changes["protocol"] = "3.1.1"
        return {
            index: Endpoint(changes=changes, sentence=f"{broker.url} ({broker.name}): {_names(item)}{_silent(item)}")
            for index, item in radio.items()
        }

    async def _broker(self, connection_id: str) -> Broker | None:
        url = self._places.broker_url
        if url is None:
            port = self._places.earlier.get(connection_id, 0)
            return await self._stack.enter_async_context(open_broker(listen=self._places.listen, port=port))
        parts = urlsplit(url)
        return Broker(host=parts.hostname or "", port=parts.port or 1883, name="the broker that was given")


def _units(units: tuple[ServedUnit, ...]) -> str:
    return ", ".join(f"{unit.device.device_id} (unit {unit.address})" for unit in units)


def _names(item: ServedTopics) -> str:
    return ", ".join(device.device.device_id for device in item.devices)


def _silent(item: Served) -> str:
    names = ", ".join(left_out(item))
    return f"; left out, for its frames cannot be made here: {names}" if names else ""
