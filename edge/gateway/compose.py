"""The gateway put together: opened in order, closed in reverse."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from edge.collect.fleet import Fleet
from edge.configure.adopt import Registrar, restore_adopted
from edge.configure.announce import Announcer
from edge.configure.configurator import Configurator
from edge.configure.effective import load_effective
from edge.domain.author import Author
from edge.domain.driver import DriverContext, DriverMisconfigured
from edge.domain.event_store import EventStore
from edge.domain.settings import Settings
from edge.event_store.client import open_event_store
from edge.forward.forwarder import Forwarder
from edge.gateway.author import make_author
from edge.gateway.components import Gateway
from edge.gateway.connections import Connections
from edge.gateway.requests import answering_requests
from edge.operate.clock import SystemClock
from edge.settings.credentials import CredentialMissing
from edge.settings.credentials import credential as find_credential_anywhere
from edge.storage.database import open_database
from edge.storage.outbox import Outbox, open_outbox
from edge.storage.placement import Placement

# By its name. Raises CredentialMissing.
FindCredential = Callable[[str], str]


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
        # Two channels: a client that reconnects after a failed append ends its subscriptions without a word. Opened
        # before the outbox and so closed after it: a client may take seconds to let go of a dead link, and a stop has
        # five.
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
        await stack.enter_async_context(answering_requests(gateway, state_directory))
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
    appends, updates = event_stores
    forwarder = Forwarder(event_store=appends, outbox=outbox, author=author, clock=author.clock, chance=random.random)
    configurator = Configurator(
        is_reason_required=settings.site.require_reason,
        event_store=updates,
        outbox=outbox,
        fleet=fleet,
        author=author,
        chance=random.random,
        on_reached=forwarder.hurry,
        on_lost=forwarder.doubt,
    )
    return Gateway(
        settings=settings,
        author=author,
        outbox=outbox,
        fleet=fleet,
        connections=await _connections(
            settings,
            author=author,
            outbox=outbox,
            fleet=fleet,
            configurator=configurator,
            find_credential=find_credential,
        ),
        forwarder=forwarder,
        configurator=configurator,
    )


async def _connections(
    settings: Settings,
    *,
    author: Author,
    outbox: Outbox,
    fleet: Fleet,
    configurator: Configurator,
    find_credential: FindCredential,
) -> Connections:
    announcer = Announcer(outbox=outbox, author=author, fleet=fleet)

    async def before_first_poll() -> None:
        # A new file knows no configuration until the event store has told it: no sample is to say otherwise. Any other
        # file knows one, and waiting would cost a start some tenths of a second.
        if outbox.previous_run is None:
            await configurator.first_look()

    connections = Connections(
        settings,
        fleet=fleet,
        outbox=outbox,
        author=author,
        announcer=announcer,
        registrar=Registrar(outbox=outbox, author=author, fleet=fleet, announcer=announcer),
        context=_driver_context(settings, fleet, find_credential),
        before_first_poll=before_first_poll,
    )
    await connections.prepare()
    return connections


def _driver_context(settings: Settings, fleet: Fleet, find_credential: FindCredential) -> DriverContext:
    def credential(name: str) -> str:
        try:
            return find_credential(name)
        except CredentialMissing as error:
            raise DriverMisconfigured(str(error)) from error

    return DriverContext(
        gateway_id=settings.gateway_id,
        time_zone=settings.site.time_zone,
        folder=settings.file.parent,
        credential=credential,
        latest=fleet.latest,
    )
