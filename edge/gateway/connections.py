"""The connections of a running gateway: a collector each, in a task of its own."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from drivers import driver_kind
from edge.collect.adoption import Registrar
from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.collect.guard import DriverFault, UnmadeDriver, driver_call
from edge.collect.repeats import KEYS_MAX
from edge.domain.author import Author
from edge.domain.driver import Driver, DriverContext, DriverError, DriverMisconfigured, PolledDriver, PushedDriver
from edge.domain.settings import ConnectionSettings
from edge.storage.backlog import newest_keyed
from edge.storage.outbox import Outbox


class Connections:
    """Owns the collectors' tasks."""

    def __init__(
        self, collectors: Mapping[str, Collector], *, before_first_poll: Callable[[], Awaitable[None]]
    ) -> None:
        self._collectors = collectors
        self._before_first_poll = before_first_poll

    async def run(self) -> None:
        """Collect on all connections, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for connection_id, collector in self._collectors.items():
                tasks.create_task(self._collect(collector), name=f"collector {connection_id}")
            await asyncio.get_running_loop().create_future()

    async def _collect(self, collector: Collector) -> None:
        await self._before_first_poll()
        await collector.run()


def make_drivers(connections: Sequence[ConnectionSettings], context: DriverContext) -> dict[str, Driver]:
    """Make the driver of each connection that is used. Raises DriverMisconfigured, naming the connection.

    A driver that breaks meanwhile costs its own connection only: nobody may be there to remove it from the site file.
    """
    return {connection.id: _make_driver(connection, context) for connection in connections if connection.is_used}


def _make_driver(connection: ConnectionSettings, context: DriverContext) -> Driver:
    try:
        with driver_call():
            made: object = driver_kind(connection.driver).create(connection, context)
            if isinstance(made, PolledDriver | PushedDriver):
                return made
            raise TypeError(f"{type(made).__name__} has not the methods of a driver")
    except DriverMisconfigured as error:
        raise DriverMisconfigured(f"connection {connection.id!r}: {error}") from error
    except (DriverError, DriverFault) as error:
        return UnmadeDriver(error)


async def make_collectors(
    connections: Sequence[ConnectionSettings],
    drivers: Mapping[str, Driver],
    *,
    fleet: Fleet,
    outbox: Outbox,
    author: Author,
    registrar: Registrar,
) -> dict[str, Collector]:
    """Make the collector of each connection that has a driver."""
    # Who is asked has nothing to send again.
    has_senders = any(not isinstance(driver, PolledDriver) for driver in drivers.values())
    accepted = await newest_keyed(outbox.database, count_max=KEYS_MAX) if has_senders else []
    return {
        connection.id: Collector(
            connection=connection,
            driver=drivers[connection.id],
            fleet=fleet,
            outbox=outbox,
            author=author,
            clock=author.clock,
            chance=random.random,
            registrar=registrar,
            accepted=accepted,
        )
        for connection in connections
        if connection.id in drivers
    }
