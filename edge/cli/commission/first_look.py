"""The connections of a site on its first day: from what a person names to what stands in the file, with a look or without."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from drivers.modbus.options import ModbusConnectionOptions
from drivers.mqtt.options import MqttConnectionOptions
from drivers.serial.options import SerialConnectionOptions
from edge.cli.commission import heard, overheard
from edge.cli.commission.draft import DraftConnection
from edge.cli.commission.drafting import Choose, Ids, PortFound, broker_draft, modbus_draft, port_draft
from edge.cli.commission.progress import progress
from edge.cli.commission.survey import Tick, look_at_port, look_at_topics, look_for_units
from edge.domain.driver import DriverContext, DriverError
from edge.domain.settings import DeviceSettings
from edge.settings.specimen import load_specimens

ConnectionOptions = ModbusConnectionOptions | SerialConnectionOptions | MqttConnectionOptions


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How to look."""

    # False = not at all.
    scan: bool
    units: Sequence[int]
    timeout_ms: int
    seconds: float


class FirstLook:
    """Drafts one connection after the other; ids are given once in the whole site."""

    def __init__(self, wishes: Wishes, context: DriverContext, choose: Choose) -> None:
        self._wishes = wishes
        self._context = context
        self._choose = choose
        self._ids = Ids()
        self._connection_ids = Ids()
        # Connections that could not be looked at, and why.
        self.troubles: dict[str, DriverError] = {}

    async def draft(self, options: ConnectionOptions) -> DraftConnection:
        """Draft a connection. One that cannot be opened is drafted without devices."""
        if isinstance(options, ModbusConnectionOptions):
            return await self._modbus(options)
        if isinstance(options, SerialConnectionOptions):
            return await self._port(options)
        return await self._broker(options)

    async def _modbus(self, options: ModbusConnectionOptions) -> DraftConnection:
        connection_id = self._connection_ids.new("rs485" if options.transport == "serial" else "modbus")
        found = []
        with self._look(connection_id, f"units at {options.where}", len(self._wishes.units)) as tick:
            if tick is not None:
                found = await look_for_units(
                    options,
                    self._wishes.units,
                    timeout_ms=self._wishes.timeout_ms,
                    models=self._models("modbus"),
                    tick=tick,
                )
        return modbus_draft(connection_id, options, found, ids=self._ids, choose=self._choose)

    async def _port(self, options: SerialConnectionOptions) -> DraftConnection:
        connection_id = self._connection_ids.new("serial")
        found = PortFound()
        steps = heard.steps_of(self._wishes.seconds)
        with self._look(connection_id, f"listening at {options.serial_port}", steps) as tick:
            if tick is not None:
                found = await look_at_port(
                    options, self._context, seconds=self._wishes.seconds, models=self._models("serial"), tick=tick
                )
        return port_draft(connection_id, options, found, ids=self._ids, choose=self._choose)

    async def _broker(self, options: MqttConnectionOptions) -> DraftConnection:
        connection_id = self._connection_ids.new("broker")
        messages = []
        steps = overheard.steps_of(self._wishes.seconds)
        with self._look(connection_id, f"listening at {options.url}", steps) as tick:
            if tick is not None:
                messages = await look_at_topics(options, self._context, seconds=self._wishes.seconds, tick=tick)
        return broker_draft(
            connection_id,
            options,
            messages,
            models=self._models("mqtt") if messages else [],
            time_zone=self._context.time_zone,
            ids=self._ids,
        )

    @contextmanager
    def _look(self, connection_id: str, what: str, steps: int) -> Iterator[Tick | None]:
        """Show progress at a terminal. Gives None where nobody wants to look; what goes wrong is kept in `troubles`."""
        if not self._wishes.scan:
            yield None
            return
        with progress(steps, what) as bar:
            try:
                yield lambda: bar.update(1)
            except DriverError as error:
                self.troubles[connection_id] = error

    def _models(self, driver: str) -> Sequence[DeviceSettings]:
        return [specimen.device for specimen in load_specimens(driver, self._context.folder)]
