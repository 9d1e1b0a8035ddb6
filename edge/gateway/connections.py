"""The connections of a running gateway: each is started and stopped while the others go on."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from drivers import driver_kind
from edge.collect.adoption import Registrar
from edge.collect.arrivals import KEYS_MAX
from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.collect.guard import DriverFault, UnmadeDriver, driver_call
from edge.configure.adopt import join_adopted
from edge.configure.announce import Announcer
from edge.domain.author import Author
from edge.domain.driver import Driver, DriverContext, DriverError, DriverMisconfigured, PolledDriver, PushedDriver
from edge.domain.settings import ConnectionSettings, Settings
from edge.gateway.first_events import alarms_without_place
from edge.storage.backlog import newest_keyed
from edge.storage.batch import OutboxTransaction
from edge.storage.database import Reader
from edge.storage.entries import Keyed
from edge.storage.errors import CommitFailed, StateDirectoryLost
from edge.storage.outbox import Outbox

# How often a disk that did not take an exchange is tried.
DISK_RETRY_S = 1.0

log = structlog.get_logger()


@dataclass(kw_only=True)
class _Line:
    """A connection of the gateway. Without a collector it has no device."""

    settings: ConnectionSettings
    collector: Collector | None
    task: asyncio.Task[None] | None = None
    # Were cancelled before, and may still hold the wire.
    ending: Sequence[asyncio.Task[None]] = ()


class Connections:
    """Owns the collectors' tasks, and brings connections and their devices into the fleet and out of it.

    - Each connection has at most one task, and no two tasks ever hold one wire.
    - A connection leaves the fleet after its collector has ended and told everything.
    - The fleet changes with the commit that says so. A task that looks at it within a transaction sees it whole.
    - An exchange that fails leaves all as it was, and running.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        fleet: Fleet,
        outbox: Outbox,
        author: Author,
        announcer: Announcer,
        registrar: Registrar,
        context: DriverContext,
        before_first_poll: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._outbox = outbox
        self._author = author
        self._announcer = announcer
        self._registrar = registrar
        self._context = context
        self._before_first_poll = before_first_poll
        self._lines: dict[str, _Line] = {}
        # One exchange after the other.
        self._turn = asyncio.Lock()
        # The parent of the collectors' tasks, as long as it runs.
        self._tasks: asyncio.TaskGroup | None = None

    async def prepare(self) -> None:
        """Make the drivers and collectors of a start. Raises DriverMisconfigured, naming the connection."""
        for line in await self._made(self._settings.connections, self._outbox.database):
            self._lines[line.settings.id] = line

    async def run(self) -> None:
        """Collect on all connections, without end."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._begin_missing()
            try:
                # Connections come and go; without one there is a gateway all the same.
                await asyncio.get_running_loop().create_future()
            finally:
                self._tasks = None

    async def start(self, connection: ConnectionSettings) -> None:
        """Take on a connection that there is not: its devices are described, and collecting begins. As `exchange`."""
        await self.exchange(started=[connection])

    async def stop(self, connection_id: str) -> None:
        """Give up a connection: collecting ends, and its devices are none any more. As `exchange`."""
        await self.exchange(stopped=[connection_id])

    async def exchange(self, *, stopped: Collection[str] = (), started: Sequence[ConnectionSettings] = ()) -> None:
        """Stop some connections and start others in one commit. One that has changed is stopped and started.

        A device that is behind one of either stays a device, and its run goes on. `started` is as the site file has it:
        what its groups had adopted is added here. Meanwhile the other connections go on.
        A dead disk holds it up. Raises DriverMisconfigured, KeyError for a connection that there is not, or ValueError
        for one, or a device, that there is already. Then, and where it is cancelled, the stopped connections run again.
        """
        async with self._turn:
            stopped = frozenset(stopped)
            lines = [self._lines[connection_id] for connection_id in stopped]
            self._check_free(stopped, started)
            try:
                await self._end(lines)
                await self._swap_patiently(stopped, started)
            finally:
                self._begin_missing()

    def _check_free(self, stopped: Collection[str], started: Sequence[ConnectionSettings]) -> None:
        """Raise ValueError if something that is to start is there already, and does not leave."""
        for connection in started:
            if connection.id in self._lines and connection.id not in stopped:
                raise ValueError(f"connection {connection.id!r} is there already")
            for device in connection.devices:
                if self._fleet.device(device.id) is not None and self._fleet.connection_id(device.id) not in stopped:
                    raise ValueError(f"device {device.id!r} is there already")

    async def _end(self, lines: Sequence[_Line]) -> None:
        tasks = [line.task for line in lines if line.task is not None]
        for task in tasks:
            task.cancel()
        tasks += [task for line in lines for task in line.ending]
        if tasks:
            await asyncio.wait(tasks)
        for line in lines:
            if line.collector is not None:
                await line.collector.tell_rest()

    async def _swap_patiently(self, stopped: Collection[str], started: Sequence[ConnectionSettings]) -> None:
        """Swap, again and again until the disk takes it: after a commit of unknown outcome nothing is said twice."""
        while True:
            try:
                await self._swap(stopped, started)
            except StateDirectoryLost:
                raise
            except CommitFailed as error:
                log.warning("connections_exchange_postponed", error=str(error))
                await asyncio.sleep(DISK_RETRY_S)
            else:
                return

    async def _swap(self, stopped: Collection[str], started: Sequence[ConnectionSettings]) -> None:
        staying = [line.settings for line in self._lines.values() if line.settings.id not in stopped]
        settings = replace(self._settings, connections=(*staying, *started))
        async with self._outbox.transaction() as transaction:
            if started:
                settings = await join_adopted(transaction, settings, {connection.id for connection in started})
            coming = settings.connections[len(staying) :]
            # Another connection's group may have adopted a device meanwhile.
            self._check_free(stopped, coming)
            # All that the stopped ones gave is on disk by now.
            lines = await self._made(coming, transaction)
            await self._write_departure(transaction, stopped, coming)
            for connection in coming:
                transaction.on_commit(partial(self._fleet.enter, connection.id))
                for device in connection.devices:
                    await self._announcer.introduce(transaction, device, connection_id=connection.id)
            transaction.on_commit(partial(self._take_over, stopped, lines))

    async def _write_departure(
        self, transaction: OutboxTransaction, stopped: Collection[str], coming: Sequence[ConnectionSettings]
    ) -> None:
        staying = {device.id for connection in coming for device in connection.devices}
        leaving = {device_id for connection_id in stopped for device_id in self._fleet.devices(connection_id)}
        await self._announcer.retire(transaction, leaving - staying)
        standing = [alarm for alarm in self._outbox.alarms if alarm.identity.connection_id in stopped]
        for cleared in alarms_without_place(self._author, coming, standing):
            await transaction.declare(cleared)
        for connection_id in stopped:
            transaction.on_commit(partial(self._fleet.leave, connection_id))

    def _take_over(self, stopped: Collection[str], lines: Sequence[_Line]) -> None:
        for connection_id in stopped:
            del self._lines[connection_id]
        self._lines.update({line.settings.id: line for line in lines})

    def _begin_missing(self) -> None:
        """Start a collector for each connection without one. When the gateway stops, none is started."""
        if self._tasks is None:
            return
        for connection_id, line in self._lines.items():
            if line.collector is not None and (line.task is None or line.task.cancelling()):
                before = line.ending if line.task is None else (line.task, *line.ending)
                line.ending = [task for task in before if not task.done()]
                begun = self._collect(line.collector, after=line.ending)
                line.task = self._tasks.create_task(begun, name=f"collector {connection_id}")

    async def _collect(self, collector: Collector, *, after: Sequence[asyncio.Task[None]]) -> None:
        if after:
            await asyncio.wait(after)
        await self._before_first_poll()
        await collector.run()

    async def _made(self, connections: Sequence[ConnectionSettings], reader: Reader) -> list[_Line]:
        """Make what collects on connections; nothing is opened yet."""
        drivers = {item.id: make_driver(item, self._context) for item in connections if item.is_used}
        # A polled device sends nothing again.
        has_senders = any(not isinstance(driver, PolledDriver) for driver in drivers.values())
        accepted = await newest_keyed(reader, count_max=KEYS_MAX) if has_senders else []
        return [
            _Line(
                settings=item,
                collector=self._collector(item, drivers[item.id], accepted) if item.is_used else None,
            )
            for item in connections
        ]

    def _collector(self, connection: ConnectionSettings, driver: Driver, accepted: Sequence[Keyed]) -> Collector:
        return Collector(
            connection=connection,
            driver=driver,
            fleet=self._fleet,
            outbox=self._outbox,
            author=self._author,
            clock=self._author.clock,
            chance=random.random,
            registrar=self._registrar,
            accepted=accepted,
        )


def make_driver(connection: ConnectionSettings, context: DriverContext) -> Driver:
    """Make a connection's driver. Raises DriverMisconfigured, naming the connection.

    A driver that breaks meanwhile costs its own connection only: there may be no person to edit the site file.
    """
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
