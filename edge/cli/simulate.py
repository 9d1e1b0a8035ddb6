"""`simulate SITE.toml`: a greenhouse that is not there, on real Modbus/TCP sockets."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli import EXIT_CONFIGURATION, EXIT_TEMPORARY

if TYPE_CHECKING:
    from drivers.simulation.site import ServedHost, SimulatedSite
    from edge.domain.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for."""

    site_file: Path
    listen: str
    output: Path | None
    seed: int
    speed: float
    hour: float
    has_faults: bool


@click.command()
@click.argument("site_file", metavar="SITE.toml", type=click.Path(path_type=Path))
@click.option("--listen", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--write",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT.toml",
    help="Write the site file again, with the simulated hosts and ports. Ports in a file that is there are kept.",
)
@click.option("--seed", default=1, show_default=True, help="Equal seeds give equal weather, sensors and faults.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.01, 3600), help="Faster than life.")
@click.option("--hour", default=10.0, show_default=True, type=click.FloatRange(0, 24), help="Time of day at the start.")
@click.option("--faults", "has_faults", is_flag=True, help="Let devices fall silent, be late, busy, stuck or broken.")
def simulate(
    site_file: Path, *, listen: str, output: Path | None, seed: int, speed: float, hour: float, has_faults: bool
) -> None:
    """Serve a simulated greenhouse as the Modbus/TCP devices that a site file describes, until SIGTERM or SIGINT.

    Each connection of the site file becomes a port of its own. Exit codes: 0 stopped on request, 75 an address cannot
    be listened on, 78 site file invalid.
    """
    from edge.operate.logs import configure_logs
    from edge.settings.problems import ConfigurationInvalid
    from edge.settings.site import load_settings

    if output is not None and output.resolve() == site_file.resolve():
        raise click.BadParameter("would overwrite the site file itself", param_hint="--write")
    configure_logs()
    try:
        settings = load_settings(site_file)
    except ConfigurationInvalid as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)
    request = Request(
        site_file=site_file,
        listen=listen,
        output=output,
        seed=seed,
        speed=speed,
        hour=hour,
        has_faults=has_faults,
    )
    sys.exit(asyncio.run(_simulate(request, settings)))


async def _simulate(request: Request, settings: "Settings") -> int:
    from drivers.simulation.greenhouse import Greenhouse
    from drivers.simulation.modbus_server import PortTaken
    from drivers.simulation.site import SimulatedSite

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    site = SimulatedSite(
        Greenhouse.at(request.hour * 3600, seed=request.seed),
        now_s=loop.time,
        seed=request.seed,
        speed=request.speed,
        has_faults=request.has_faults,
    )
    hosts = served_hosts(settings)
    try:
        async with AsyncExitStack() as servers:
            ports = await _serve(servers, site, hosts, request)
            _announce(request, settings, hosts, ports)
            await stop.wait()
    except PortTaken as error:
        click.echo(error, err=True)
        return EXIT_TEMPORARY
    return 0


async def _serve(
    servers: AsyncExitStack, site: "SimulatedSite", hosts: Mapping[int, "ServedHost"], request: Request
) -> dict[int, int]:
    """Open a port for each connection: the one that was written earlier, so that a restart is not noticed."""
    from drivers.simulation.modbus_server import PortTaken, serve_host

    earlier = _ports_written_earlier(request)
    if request.output is not None:
        # Whoever waits for the file may take its appearance for "the devices answer".
        request.output.unlink(missing_ok=True)
    ports: dict[int, int] = {}
    for index, host in hosts.items():
        wanted = earlier.get(host.connection_id, 0)
        try:
            ports[index] = await servers.enter_async_context(serve_host(host, site, listen=request.listen, port=wanted))
        except PortTaken:
            if not wanted:
                raise
            ports[index] = await servers.enter_async_context(serve_host(host, site, listen=request.listen))
    return ports


def served_hosts(settings: "Settings") -> dict[int, "ServedHost"]:
    """Say what is served for each Modbus/TCP connection, by its place in the site file."""
    from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
    from drivers.simulation.sensors import ServedUnit
    from drivers.simulation.site import ServedHost

    hosts: dict[int, ServedHost] = {}
    for index, connection in enumerate(settings.connections):
        options = connection.options
        if not isinstance(options, ModbusConnectionOptions) or options.transport != "tcp":
            continue
        units = [
            ServedUnit(device_id=device.id, address=device.options.address, points=device.points)
            for device in connection.devices
            if isinstance(device.options, ModbusDeviceOptions)
        ]
        hosts[index] = ServedHost(connection_id=connection.id, units=units)
    return hosts


def _announce(
    request: Request, settings: "Settings", hosts: Mapping[int, "ServedHost"], ports: Mapping[int, int]
) -> None:
    if request.output is not None:
        from edge.cli.endpoints import with_endpoints

        text = request.site_file.read_text(encoding="utf-8")
        _replace(request.output, with_endpoints(text, {index: (request.listen, port) for index, port in ports.items()}))
    for index, host in hosts.items():
        units = ", ".join(f"{unit.device_id} (unit {unit.address})" for unit in host.units)
        click.echo(f"{host.connection_id}: modbus tcp {request.listen}:{ports[index]}: {units}")
    for index, connection in enumerate(settings.connections):
        if index not in hosts:
            click.echo(f"{connection.id}: not served; its driver is {connection.driver}")
    if request.output is not None:
        click.echo(f"site file with these addresses: {request.output}")
    click.echo("ready")


def _replace(file: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


def _ports_written_earlier(request: Request) -> dict[str, int]:
    """Return the ports of our last run, by connection; nothing where the file is not there or not ours."""
    import tomllib

    if request.output is None or not request.output.is_file():
        return {}
    try:
        tree = tomllib.loads(request.output.read_text(encoding="utf-8"))
        return {
            connection["id"]: connection["tcp_port"]
            for connection in tree["connection"]
            if connection.get("host") == request.listen and isinstance(connection.get("tcp_port"), int)
        }
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        return {}
