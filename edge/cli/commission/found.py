"""Who is there on a connection, by its kind: what `scan` shows a row of, and how long it will take."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

import click

from drivers.modbus.options import ModbusConnectionOptions
from drivers.mqtt.options import MqttConnectionOptions
from drivers.serial.options import SerialConnectionOptions
from edge.domain.driver import DriverContext
from edge.domain.settings import ConnectionSettings


@dataclass(frozen=True, kw_only=True)
class Found:
    """One that was asked or heard."""

    # A unit id, an address, a topic, or the number of a line.
    name: str
    # What it said.
    answer: str
    # What the site file has there; empty = nothing.
    device_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search on one connection, not yet begun."""

    # What is found ("units"), and what is done for it ("247 asked").
    rows_are: str
    effort: str
    # How many steps the progress bar has.
    steps: int
    # Gives what a step found as it is done with.
    run: Callable[[DriverContext], AsyncGenerator[Sequence[Found], None]]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the command line asked for."""

    units: str
    timeout_ms: int
    seconds: float


def search_of(connection: ConnectionSettings, wishes: Wishes) -> Search:
    """Return the search for a connection. Raises click.UsageError where there is nothing to look for."""
    options = connection.options
    if isinstance(options, ModbusConnectionOptions):
        from edge.cli.commission.units import search_units

        return search_units(connection, wishes.units, timeout_ms=wishes.timeout_ms)
    if isinstance(options, SerialConnectionOptions):
        from edge.cli.commission.heard import search_serial

        return search_serial(connection, timeout_ms=wishes.timeout_ms, seconds=wishes.seconds)
    if isinstance(options, MqttConnectionOptions):
        from edge.cli.commission.topics import search_topics

        return search_topics(connection, seconds=wishes.seconds)
    raise click.UsageError(f"{connection.id} has the driver {connection.driver!r}: there is nothing to look for")
