"""The collector: owns a connection and its driver, and brings the samples of its devices into the outbox."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.collect.adoption import Adoption, Registrar
from edge.collect.arrivals import Repeats
from edge.collect.connection import ConnectionState, Outcomes
from edge.collect.declarations import Outbox
from edge.collect.device import DeviceState
from edge.collect.fleet import Fleet
from edge.collect.intake import Intake
from edge.collect.polling import Polling
from edge.collect.receiving import Receiving
from edge.collect.stall import CallWatch
from edge.domain.author import Author
from edge.domain.clock import Clock
from edge.domain.driver import Driver, GroupDriver, PolledDriver, PushedDriver
from edge.domain.settings import ConnectionSettings
from edge.storage.entries import Keyed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Works:
    """What a collector is made of, from its first run on."""

    owner: Polling | Receiving
    outcomes: Outcomes
    watch: CallWatch


class Collector:
    """One connection's owner task. Nothing that happens here delays another connection."""

    def __init__(
        self,
        *,
        connection: ConnectionSettings,
        driver: Driver,
        fleet: Fleet,
        outbox: Outbox,
        author: Author,
        clock: Clock,
        chance: Callable[[], float],
        registrar: Registrar | None = None,
        accepted: Sequence[Keyed] = (),
    ) -> None:
        self._settings = connection
        self._driver = driver
        self._fleet = fleet
        self._outbox = outbox
        self._author = author
        self._clock = clock
        self._chance = chance
        # Makes devices of the names that groups adopt.
        self._registrar = registrar
        # What earlier runs accepted and may be sent again, the oldest first.
        self._accepted = accepted
        self._works: _Works | None = None

    async def run(self) -> None:
        """Collect without end; ends by cancellation only, after which it may be run again."""
        if self._works is None:
            self._works = self._set_up()
        works = self._works
        self._fleet.attach(self._settings.id, works.owner.configured)
        works.outcomes.begin()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(works.watch.run(), name=f"watch-{self._settings.id}")
                await works.owner.run()
        finally:
            # The writer still takes what is offered now: what was refused does not go untold.
            works.outcomes.catch_up(self._clock.monotonic_s(), is_last=True)

    async def tell_rest(self) -> None:
        """Return when all is told that happened while it ran: the outbox may have been full when it ended."""
        outcomes = None if self._works is None else self._works.outcomes
        while outcomes is not None and (wait_s := outcomes.catch_up_s) is not None:
            outcomes.catch_up(self._clock.monotonic_s(), is_last=True)
            await asyncio.sleep(wait_s)

    def _set_up(self) -> "_Works":
        connection = self._fleet.connection(self._settings.id)
        devices = self._fleet.devices(self._settings.id)
        outcomes = Outcomes(connection, devices, self._outbox, self._author)
        watch = CallWatch(devices, outcomes, self._clock)
        owner: Polling | Receiving
        # A third party's class that can do both is asked: it then speaks only when it is.
        if isinstance(self._driver, PolledDriver):
            owner = self._polling(self._driver, connection, devices, outcomes, watch)
        else:
            owner = self._receiving(self._driver, connection, devices, outcomes, watch)
            owner.adoption = self._adoption(owner)
        return _Works(owner=owner, outcomes=outcomes, watch=watch)

    def _polling(
        self,
        driver: PolledDriver,
        connection: ConnectionState,
        devices: dict[str, DeviceState],
        outcomes: Outcomes,
        watch: CallWatch,
    ) -> Polling:
        return Polling(
            driver=driver,
            connection=connection,
            devices=devices,
            intake=Intake(self._outbox, self._clock),
            outcomes=outcomes,
            watch=watch,
            clock=self._clock,
            chance=self._chance,
        )

    def _receiving(
        self,
        driver: PushedDriver,
        connection: ConnectionState,
        devices: dict[str, DeviceState],
        outcomes: Outcomes,
        watch: CallWatch,
    ) -> Receiving:
        # Recalled once: they are many.
        accepted, self._accepted = self._accepted, ()
        return Receiving(
            driver=driver,
            connection=connection,
            devices=devices,
            intake=Intake(self._outbox, self._clock, can_wait=True),
            outcomes=outcomes,
            watch=watch,
            repeats=Repeats(accepted),
            deliveries=[keyed.delivery for keyed in accepted if keyed.delivery],
            hurry=self._outbox.hurry,
            clock=self._clock,
            chance=self._chance,
        )

    def _adoption(self, owner: Receiving) -> Adoption | None:
        if not isinstance(self._driver, GroupDriver) or not self._settings.groups or self._registrar is None:
            return None
        adoption = Adoption(
            connection_id=self._settings.id,
            groups=self._settings.groups,
            driver=self._driver,
            registrar=self._registrar,
            find_device=self._fleet.device,
            join=lambda device_id: owner.join(self._fleet.state(device_id)),
        )
        self._fleet.connection(self._settings.id).seen = adoption.seen
        return adoption
