"""The gateway put together: opened in order, run as named tasks under one parent, closed in reverse.

The outbox's writer is the parent of everything else: it starts first and ends last, so that the stop itself is on disk.
"""

import asyncio
import os
import platform
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from drivers import driver_kind
from edge import __version__
from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.collect.guard import DriverFault, UnmadeDriver, driver_call
from edge.collect.on_request import read_now
from edge.collect.repeats import KEYS_MAX
from edge.configure.adopt import Registrar, restore_adopted
from edge.configure.announce import Announcer
from edge.configure.configurator import Configurator
from edge.configure.effective import load_effective
from edge.control.places import DaemonNote, make_runtime_directory, socket_name, write_note
from edge.control.server import ANSWER_TIMEOUT_S, Operations, RequestMistaken, serve_control
from edge.domain.alarm import AlarmIdentity, AlarmKind, lost_device
from edge.domain.author import Author
from edge.domain.clock import Clock, rfc3339
from edge.domain.driver import Driver, DriverContext, DriverError, DriverMisconfigured, PolledDriver, PushedDriver
from edge.domain.event import Draft, EventType, Json
from edge.domain.event_store import EventStore
from edge.domain.identifier import uuid7
from edge.domain.settings import ConnectionSettings, Settings
from edge.event_store.client import open_event_store
from edge.forward.forwarder import Forwarder
from edge.operate.clock import SystemClock
from edge.operate.status import GatewayStatus, alarm_statuses, json_pieces
from edge.settings.credentials import CredentialMissing
from edge.settings.credentials import credential as find_credential_anywhere
from edge.storage.database import open_database
from edge.storage.outbox import Outbox, open_outbox
from edge.storage.placement import Placement
from edge.storage.recovery import newest_keyed

log = structlog.get_logger()

# A disk that takes nothing is not waited for: the whole stop has five seconds.
STOP_RECORD_TIMEOUT_S = 2.0

# A line of the log names no more devices than a person reads.
NAMES_LOGGED_MAX = 20

# What a device is given when nobody says how long: its line may have others to ask first.
READ_TIMEOUT_S = 15.0

# By its name. Raises CredentialMissing.
FindCredential = Callable[[str], str]

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class _StopRequested(Exception):  # noqa: N818 - a request, not an error
    """Somebody asked the gateway to stop."""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Everything that runs, open and put together."""

    settings: Settings
    author: Author
    outbox: Outbox
    fleet: Fleet
    collectors: dict[str, Collector]
    forwarder: Forwarder
    configurator: Configurator

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; the last thing on disk is then GatewayStopped, if the disk takes it."""
        log.info("gateway_started", gateway_id=self.author.gateway_id, version=__version__, run=str(self.author.run))
        self._log_what_stands()
        async with asyncio.TaskGroup() as parent:
            writer = parent.create_task(self.outbox.run(), name="writer")
            # First in the queue, so first on disk; a disk that takes nothing must not keep anybody from stopping.
            first = (self._started(), self._site_file_loaded(), *self._damage_found(), *self._without_connection())
            for draft in first:
                self.outbox.offer(draft)
            try:
                await self._run_components(stop)
            except* _StopRequested:
                log.info("gateway_stop_requested")
            await self._record_stop()
            writer.cancel()
        log.info("gateway_stopped")

    def _log_what_stands(self) -> None:
        """Say what earlier runs left open: each was logged when it happened, which may be long ago."""
        alarms = alarm_statuses(self.outbox.alarms)
        if alarms:
            log.warning("alarms_open", count=len(alarms), oldest=alarms[0].message, since=alarms[0].raised_at)
        lost = [device.id for device in self.settings.devices() if lost_device(device.id) in self.outbox.alarms]
        if lost:
            log.warning("devices_still_lost", count=len(lost), device_ids=lost[:NAMES_LOGGED_MAX])

    async def _run_components(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for connection_id, collector in self.collectors.items():
                tasks.create_task(self._collect(collector), name=f"collector {connection_id}")
            tasks.create_task(self.forwarder.run(), name="forwarder")
            tasks.create_task(self.configurator.run(), name="configurator")
            await stop.wait()
            raise _StopRequested

    async def _collect(self, collector: Collector) -> None:
        # A new file knows no configuration until the event store has told it: no sample is to say otherwise. Any other
        # file knows one, and waiting would cost a start some tenths of a second.
        if self.outbox.previous_run is None:
            await self.configurator.first_look()
        await collector.run()

    async def _record_stop(self) -> None:
        try:
            async with asyncio.timeout(STOP_RECORD_TIMEOUT_S):
                # A commit interval may be longer than the whole stop.
                stopped = self.author.control(EventType.GATEWAY_STOPPED, {"reason": "requested"})
                await self.outbox.record(stopped, at_once=True)
        except TimeoutError:
            log.warning("gateway_stop_not_recorded", within_s=STOP_RECORD_TIMEOUT_S)

    async def status(self, _arguments: Mapping[str, Json] | None = None) -> GatewayStatus:
        """Tell how the gateway is; all of it is in memory (1,000 devices: 5 ms)."""
        return GatewayStatus(
            gateway_id=self.author.gateway_id,
            site_id=self.author.site_id,
            site_file=str(self.settings.file),
            version=__version__,
            pid=os.getpid(),
            run=str(self.author.run),
            clock=self.author.clock.state(),
            now=rfc3339(self.author.clock.unix_ms()),
            alarms=alarm_statuses(self.outbox.alarms),
            event_store=self.forwarder.status(),
            configuration=self.configurator.status(),
            outbox=self.outbox.statistics(),
            fleet=self.fleet.status(),
        )

    async def read(self, arguments: Mapping[str, Json]) -> Mapping[str, object]:
        """Read devices now, for the verb that cannot: we hold the ports. Raises RequestMistaken."""
        wanted, timeout_s = arguments.get("devices"), arguments.get("timeoutS", READ_TIMEOUT_S)
        # NaN fails the comparison, too: in the heap of the loop's timers it would disorder all of them.
        if (
            not isinstance(wanted, list)
            or not isinstance(timeout_s, int | float)
            or not 0 < timeout_s <= ANSWER_TIMEOUT_S
        ):
            raise RequestMistaken(
                f"devices must be a list of device ids, timeoutS a number of seconds up to {ANSWER_TIMEOUT_S:g}"
            )
        return {"devices": await read_now(self.fleet, [str(item) for item in wanted], timeout_s=timeout_s)}

    def _started(self) -> Draft:
        previous_run = self.outbox.previous_run
        facts = {
            "version": __version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            **({} if previous_run is None else {"previousRun": str(previous_run)}),
        }
        return self.author.control(EventType.GATEWAY_STARTED, facts)

    def _damage_found(self) -> list[Draft]:
        found = {
            AlarmIdentity(alarm=AlarmKind.OUTBOX_DAMAGED, stream=damage.stream): damage.message
            for damage in self.outbox.damage
        }
        standing = [alarm.identity for alarm in self.outbox.alarms if alarm.identity.alarm == AlarmKind.OUTBOX_DAMAGED]
        return [
            *(self.author.alarm_raised(identity, message) for identity, message in found.items()),
            *(self.author.alarm_cleared(identity) for identity in standing if identity not in found),
        ]

    def _site_file_loaded(self) -> Draft:
        devices: list[Json] = [
            {"deviceId": device.id, "connectionId": connection.id, "driver": connection.driver}
            for connection in self.settings.connections
            for device in connection.devices
        ]
        body = {"file": self.settings.file.name, "digest": self.settings.digest, "devices": devices}
        return self.author.control(EventType.SITE_FILE_LOADED, body)

    def _without_connection(self) -> list[Draft]:
        """Clear the alarms of what is not behind a connection any more: nothing comes through it that would."""
        places = {
            (connection.id, device_id)
            for connection in self.settings.connections
            if connection.is_used
            for device_id in (None, *(device.id for device in connection.devices))
        }
        return [
            self.author.alarm_cleared(alarm.identity)
            for alarm in self.outbox.alarms
            if alarm.identity.connection_id is not None
            and (alarm.identity.connection_id, alarm.identity.device_id) not in places
        ]


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    *,
    state_directory: Path,
    credential: str | None = None,
    find_credential: FindCredential = find_credential_anywhere,
) -> AsyncIterator[Gateway]:
    """Open the outbox, the event store's two clients and the control socket, and put the gateway together.

    Raises what `open_database` raises (the state directory is in use, damaged, or a newer release's), and
    DriverMisconfigured where a driver cannot even be made.
    """
    clock = SystemClock()
    author = make_author(settings, clock)
    async with AsyncExitStack() as stack:
        # Two channels: a client that reconnects after a failed append ends its subscriptions without a word. Opened before
        # the outbox and so closed after it: a client may take seconds to let go of a dead link, and a stop has five.
        appends, updates = [
            await stack.enter_async_context(open_event_store(settings.event_store, credential=credential))
            for _ in range(2)
        ]
        database = await stack.enter_async_context(open_database(state_directory, settings=settings.outbox))
        outbox = await stack.enter_async_context(
            open_outbox(database, run=author.run, clock=clock, settings=settings.outbox, placement=Placement(author))
        )
        settings = await restore_adopted(outbox, settings)
        gateway = await _put_together(settings, author, outbox, (appends, updates), find_credential)
        await stack.enter_async_context(_control_socket(gateway, state_directory))
        yield gateway


async def _put_together(
    settings: Settings,
    author: Author,
    outbox: Outbox,
    event_stores: tuple[EventStore, EventStore],
    find_credential: FindCredential,
) -> Gateway:
    # What of it is not usable any more, the configurator says.
    effective, _ = await load_effective(outbox.database, settings.devices())
    fleet = Fleet(settings.connections, effective, author=author, alarms=outbox.alarms)
    drivers = make_drivers(settings, fleet, find_credential)
    appends, updates = event_stores
    forwarder = Forwarder(event_store=appends, outbox=outbox, author=author, clock=author.clock, chance=random.random)
    return Gateway(
        settings=settings,
        author=author,
        outbox=outbox,
        fleet=fleet,
        collectors=await _collectors(settings, drivers, fleet, outbox, author),
        forwarder=forwarder,
        configurator=Configurator(
            event_store=updates,
            outbox=outbox,
            fleet=fleet,
            author=author,
            chance=random.random,
            on_reached=forwarder.hurry,
            on_lost=forwarder.doubt,
        ),
    )


def _randomness() -> Iterator[bytes]:
    """Give ten random bytes for each id. Asking the kernel for those of 256 ids at once costs as much as for one."""
    while True:
        pool = os.urandom(10 * 256)
        yield from (pool[start : start + 10] for start in range(0, len(pool), 10))


def make_author(settings: Settings, clock: Clock) -> Author:
    """Begin a run: a random id that no other start of any copy of this file will have."""
    randomness = _randomness()

    def new_id() -> UUID:
        return uuid7(clock.unix_ms(), next(randomness))

    return Author(
        site_id=settings.site.id,
        gateway_id=settings.gateway_id,
        run=new_id(),
        boot_id=UUID(BOOT_ID_FILE.read_text(encoding="ascii").strip()),
        producer=f"greenhouse-edge/{__version__}",
        site_file_digest=settings.digest,
        streams=settings.streams,
        clock=clock,
        new_id=new_id,
    )


def make_drivers(settings: Settings, fleet: Fleet, find_credential: FindCredential) -> dict[str, Driver]:
    """Make the driver of each connection. Raises DriverMisconfigured, naming the connection.

    A driver that breaks meanwhile costs its own connection only: nobody may be there to remove it from the site file.
    """

    def credential(name: str) -> str:
        try:
            return find_credential(name)
        except CredentialMissing as error:
            raise DriverMisconfigured(str(error)) from error

    context = DriverContext(
        gateway_id=settings.gateway_id,
        time_zone=settings.site.time_zone,
        folder=settings.file.parent,
        credential=credential,
        latest=fleet.latest,
    )
    used = [connection for connection in settings.connections if connection.is_used]
    return {connection.id: _make_driver(connection, context) for connection in used}


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


async def _collectors(
    settings: Settings, drivers: Mapping[str, Driver], fleet: Fleet, outbox: Outbox, author: Author
) -> dict[str, Collector]:
    announcer = Announcer(outbox=outbox, author=author, fleet=fleet)
    registrar = Registrar(outbox=outbox, author=author, fleet=fleet, announcer=announcer)
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
        for connection in settings.connections
        if connection.is_used
    }


@asynccontextmanager
async def _control_socket(gateway: Gateway, state_directory: Path) -> AsyncIterator[None]:
    socket = make_runtime_directory() / f"{socket_name(state_directory)}.sock"
    note = DaemonNote(
        gateway_id=gateway.author.gateway_id,
        site_file=str(gateway.settings.file.resolve()),
        state_directory=str(state_directory.resolve()),
        pid=os.getpid(),
        socket=str(socket),
    )
    operations: Operations = {"status": gateway.status, "read": gateway.read}
    async with serve_control(socket, operations, json_pieces=json_pieces):
        path = write_note(note)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
