"""The collector: owns a connection and its driver, and brings the samples of its devices into the outbox."""

from collections.abc import Callable

from edge.collect.control_events import ControlEvents, Outbox
from edge.collect.fleet import Fleet
from edge.collect.intake import Intake
from edge.collect.outcomes import Outcomes
from edge.collect.polling import Polling
from edge.collect.receiving import Receiving
from edge.domain.author import Author
from edge.domain.clock import Clock
from edge.domain.driver import Driver, PolledDriver
from edge.domain.settings import ConnectionSettings


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
    ) -> None:
        self._connection_id = connection.id
        self._driver = driver
        self._fleet = fleet
        self._outbox = outbox
        self._author = author
        self._clock = clock
        self._chance = chance

    async def run(self) -> None:
        """Collect for ever; ends by cancellation only."""
        connection = self._fleet.connection(self._connection_id)
        devices = self._fleet.devices(self._connection_id)
        events = ControlEvents(self._outbox, self._author)
        outcomes = Outcomes(connection, devices, events, self._clock)
        intake = Intake(self._outbox, self._clock)
        owner: Polling | Receiving
        # A third party's class that can do both is asked: it then speaks only when it is.
        if isinstance(self._driver, PolledDriver):
            owner = Polling(
                driver=self._driver,
                connection=connection,
                devices=devices,
                intake=intake,
                outcomes=outcomes,
                clock=self._clock,
                chance=self._chance,
            )
        else:
            owner = Receiving(
                driver=self._driver,
                connection=connection,
                devices=devices,
                intake=intake,
                outcomes=outcomes,
                clock=self._clock,
                chance=self._chance,
            )
        self._fleet.attach(self._connection_id, owner.configured)
        try:
            await owner.run()
        finally:
            # The writer still takes what is offered now: what was refused does not go untold.
            outcomes.catch_up(self._clock.monotonic_s(), is_last=True)
