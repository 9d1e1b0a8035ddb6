"""`simulate SITE.toml`: a greenhouse that is not there, on real sockets, serial ports and MQTT."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drivers.simulation.faults import Fault, Faults
from edge.cli import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_TEMPORARY

if TYPE_CHECKING:
    from drivers.simulation.site import SimulatedSite
    from edge.domain.commissioning import Endpoint, Simulation
    from edge.domain.settings import ConnectionSettings, Settings


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for."""

    site_file: Path
    listen: str
    output: Path | None
    ports: Path | None
    broker_url: str | None
    seed: int
    speed: float
    hour: float
    day_of_year: int
    faults: Faults


@click.command()
@click.argument("site_file", metavar="SITE.toml", type=click.Path(path_type=Path))
@click.option("--listen", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--write",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT.toml",
    help="Write the site file again, with the simulated addresses. Ports in a file that is there are kept.",
)
@click.option(
    "--ports",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the serial ports appear, each under its connection's id; default: OUT-ports, beside OUT.toml.",
)
@click.option("--broker", "broker_url", metavar="URL", help="Publish there (mqtt://host:port), not at an own broker.")
@click.option("--seed", default=1, show_default=True, help="Equal seeds give equal weather, sensors and faults.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.01, 3600), help="Faster than life.")
@click.option("--hour", default=10.0, show_default=True, type=click.FloatRange(0, 24), help="Time of day at the start.")
@click.option("--day", "day_of_year", default=135, show_default=True, type=click.IntRange(1, 366), help="Of the year.")
@click.option(
    "--faults", "has_faults", is_flag=True, help="Let devices suffer from everything that is known to happen."
)
@click.option(
    "--fault",
    "named_faults",
    multiple=True,
    type=click.Choice([fault.value for fault in Fault]),
    metavar="FAULT",
    help=f"Only from this; may be repeated. One of {', '.join(fault.value for fault in Fault)}.",
)
def simulate(
    site_file: Path,
    *,
    listen: str,
    output: Path | None,
    ports: Path | None,
    broker_url: str | None,
    seed: int,
    speed: float,
    hour: float,
    day_of_year: int,
    has_faults: bool,
    named_faults: tuple[str, ...],
) -> None:
    """Serve a simulated greenhouse as the devices that a site file describes, until SIGTERM or SIGINT.

    Each connection gets an endpoint of its own: Modbus/TCP and RTU over TCP a port, serial lines a pseudo-terminal;
    MQTT devices publish at a broker, mosquitto if it is installed. Exit codes: 0 stopped on request, 75 an address
    cannot be listened on or the broker not reached, 78 site file invalid.
    """
    if output is not None and output.resolve() == site_file.resolve():
        raise click.BadParameter("would overwrite the site file itself", param_hint="--write")
    if broker_url is not None and not broker_url.startswith("mqtt://"):
        raise click.BadParameter("write it like mqtt://host:port; there is no TLS", param_hint="--broker")
    request = Request(
        site_file=site_file,
        listen=listen,
        output=output,
        ports=ports,
        broker_url=broker_url,
        seed=seed,
        speed=speed,
        hour=hour,
        day_of_year=day_of_year,
        faults=tuple(map(Fault, named_faults)) or (tuple(Fault) if has_faults else ()),
    )
    sys.exit(_run(request))


def _run(request: Request) -> int:
    from edge.operate.logs import configure_logs
    from edge.settings.problems import ConfigurationInvalid
    from edge.settings.site import load_settings

    configure_logs()
    try:
        settings = load_settings(request.site_file)
    except ConfigurationInvalid as error:
        click.echo(error, err=True)
        return EXIT_CONFIGURATION
    return asyncio.run(_simulate(request, settings))


async def _simulate(request: Request, settings: "Settings") -> int:
    from drivers import DriverUnknown
    from edge.cli.written_site import ProfileInTheWay
    from edge.domain.driver import DriverError

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        with _ports(request) as ports:
            async with AsyncExitStack() as stack:
                endpoints = await _open(stack, settings, _simulation(request, settings, ports))
                _announce(request, settings, endpoints)
                await stop.wait()
    except ProfileInTheWay as error:
        click.echo(error, err=True)
        return EXIT_CONFIGURATION
    except DriverUnknown as error:
        click.echo(error, err=True)
        return EXIT_FAILED
    except (OSError, DriverError) as error:
        click.echo(error, err=True)
        return EXIT_TEMPORARY
    return 0


async def _open(stack: AsyncExitStack, settings: "Settings", simulation: "Simulation") -> "dict[str, Endpoint]":
    """Let each driver serve its connections for the length of the stack. Raises OSError, DriverError, DriverUnknown."""
    from drivers import driver_kind, foreign_code
    from edge.domain.commissioning import Endpoint
    from edge.domain.driver import DriverError

    endpoints: dict[str, Endpoint] = {}
    by_driver: dict[str, list[ConnectionSettings]] = {}
    for connection in settings.connections:
        by_driver.setdefault(connection.driver, []).append(connection)
    for driver, connections in by_driver.items():
        serve = driver_kind(driver).simulate
        if serve is None:
            nothing = Endpoint(changes={}, sentence=f"not served; its driver is {driver}")
            endpoints |= {connection.id: nothing for connection in connections}
            continue
        with foreign_code(driver, "broke on its hook simulate", passing=(asyncio.CancelledError, OSError, DriverError)):
            served = await stack.enter_async_context(serve(connections, simulation))
            endpoints |= {connection.id: served[connection.id] for connection in connections}
    return endpoints


def _house(request: Request) -> "SimulatedSite":
    from drivers.simulation.greenhouse import Greenhouse
    from drivers.simulation.site import SimulatedSite

    return SimulatedSite(
        Greenhouse.at(request.hour * 3600, seed=request.seed, day_of_year=request.day_of_year),
        now_s=asyncio.get_running_loop().time,
        seed=request.seed,
        speed=request.speed,
        faults=request.faults,
    )


@contextmanager
def _ports(request: Request) -> Iterator[Path]:
    """Give the folder of the serial ports: named, beside the written file, or one for this run only."""
    if request.ports is None and request.output is None:
        with tempfile.TemporaryDirectory(prefix="greenhouse-edge-ports-") as directory:
            yield Path(directory)
        return
    if request.ports is not None:
        ports = request.ports.absolute()
    else:
        assert request.output is not None
        ports = request.output.absolute().with_name(f"{request.output.stem}-ports")
    yield ports
    with suppress(OSError):  # not empty, or never made
        ports.rmdir()


def _simulation(request: Request, settings: "Settings", ports: Path) -> "Simulation":
    from edge.cli.written_site import earlier_ports
    from edge.domain.commissioning import Simulation

    earlier = {} if request.output is None else earlier_ports(request.output, request.listen)
    if request.output is not None:
        # A process that waits for the file may take its appearance for "the devices answer".
        request.output.unlink(missing_ok=True)
    return Simulation(
        house=_house(request),
        listen=request.listen,
        ports=ports,
        earlier=earlier,
        broker_url=request.broker_url,
        seed=request.seed,
        time_zone=settings.site.time_zone,
    )


def _announce(request: Request, settings: "Settings", endpoints: "Mapping[str, Endpoint]") -> None:
    if request.output is not None:
        from edge.cli.written_site import write_site

        write_site(request.output, settings, {name: endpoint.changes for name, endpoint in endpoints.items()})
    for connection in settings.connections:
        click.echo(f"{connection.id}: {endpoints[connection.id].sentence}")
    if request.output is not None:
        click.echo(f"site file with these addresses: {request.output}")
    click.echo("ready")
