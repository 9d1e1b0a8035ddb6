"""What runs in a gateway: its components, each a named task under one parent."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from edge import __version__
from edge.collect.fleet import Fleet
from edge.configure.configurator import Configurator
from edge.domain.alarm import lost_device
from edge.domain.author import Author
from edge.domain.facts import GatewayStopped
from edge.domain.settings import Settings
from edge.forward.forwarder import Forwarder
from edge.gateway.connections import Connections
from edge.gateway.first_events import first_events
from edge.operate.status import alarm_statuses
from edge.storage.outbox import Outbox

# A disk that takes nothing is not waited for: the whole stop has five seconds.
STOP_RECORD_TIMEOUT_S = 2.0

# A line of the log names no more devices than a person reads.
NAMES_LOGGED_MAX = 20

log = structlog.get_logger()


class _StopRequested(Exception):  # noqa: N818 - a request, not an error
    """The gateway was asked to stop."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """Something that runs as long as the gateway does; it ends by cancellation only."""

    name: str
    run: Callable[[], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Everything that runs, open and put together.

    The outbox's writer is the parent of everything else: it starts first and ends last, so that the stop itself is on
    disk.
    """

    settings: Settings
    author: Author
    outbox: Outbox
    fleet: Fleet
    connections: Connections
    forwarder: Forwarder
    configurator: Configurator

    def components(self) -> list[Component]:
        """List what runs beside the writer."""
        return [
            Component(name="connections", run=self.connections.run),
            Component(name="forwarder", run=self.forwarder.run),
            Component(name="configurator", run=self.configurator.run),
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; the last thing on disk is then GatewayStopped, if the disk takes it."""
        log.info("gateway_started", gateway_id=self.author.gateway_id, version=__version__, run=str(self.author.run))
        self._log_what_stands()
        async with asyncio.TaskGroup() as parent:
            writer = parent.create_task(self.outbox.run(), name="writer")
            # First in the queue, so first on disk; a disk that takes nothing must not delay the stop.
            for draft in first_events(self.settings, self.author, self.outbox):
                self.outbox.offer(draft)
            try:
                await self._run_components(stop)
            except* _StopRequested:
                log.info("gateway_stop_requested")
            await self._record_stop()
            writer.cancel()
        log.info("gateway_stopped")

    def _log_what_stands(self) -> None:
        """Log the alarms and lost devices of earlier runs: their own log lines may be old."""
        alarms = alarm_statuses(self.outbox.alarms)
        if alarms:
            log.warning("alarms_open", count=len(alarms), oldest=alarms[0].message, since=alarms[0].raised_at)
        lost = [device.id for device in self.settings.devices() if lost_device(device.id) in self.outbox.alarms]
        if lost:
            log.warning("devices_still_lost", count=len(lost), device_ids=lost[:NAMES_LOGGED_MAX])

    async def _run_components(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for component in self.components():
                tasks.create_task(_endless(component), name=component.name)
            await stop.wait()
            raise _StopRequested

    async def _record_stop(self) -> None:
        try:
            async with asyncio.timeout(STOP_RECORD_TIMEOUT_S):
                # A commit interval may be longer than the whole stop.
                stopped = self.author.control(GatewayStopped(reason="requested"))
                await self.outbox.record(stopped, at_once=True)
        except TimeoutError:
            log.warning("gateway_stop_not_recorded", within_s=STOP_RECORD_TIMEOUT_S)


async def _endless(component: Component) -> None:
    await component.run()
    raise AssertionError(f"{component.name} ended by itself")
