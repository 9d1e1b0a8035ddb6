"""Asks the Modbus devices of one connection for their points."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import structlog

from drivers.decoders.modbus_device import ReadBlock
from drivers.modbus.device import PAUSE_S_WAITED, ModbusDevice
from drivers.modbus.link import LineOpening
from drivers.modbus.options import ModbusConnectionOptions
from drivers.modbus.owed import OwedAnswers
from drivers.modbus.plan import Block
from drivers.modbus.question import Question
from drivers.modbus.setup import SetupWrite
from drivers.modbus.wire import BUSY, ILLEGAL_DATA_ADDRESS, RequestRefused, Wire, open_wire
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse
from edge.domain.reading import Sample
from edge.domain.settings import ConnectionSettings

# After so many requests in a row without an answer from any device, the link is closed and opened again.
UNANSWERED_MAX = 3

# Each malformed answer costs its whole time-out. After so many in one poll it is the turn of the other devices.
MALFORMED_MAX = 3

T = TypeVar("T")

log = structlog.get_logger()


class ModbusDriver:
    """A PolledDriver for one Modbus/TCP host or one line, and the units behind it."""

    def __init__(self, connection: ConnectionSettings) -> None:
        assert isinstance(connection.options, ModbusConnectionOptions)
        self._options = connection.options
        self._devices = {device.id: ModbusDevice(device) for device in connection.devices}
        self._owed = OwedAnswers()
        self._opening = LineOpening()
        self._wire: Wire | None = None
        self._unanswered = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect for the length of the context. Raises ConnectionLost."""
        async with open_wire(self._options, self._owed, self._opening) as wire:
            self._wire = wire
            self._unanswered = 0
            for device in self._devices.values():
                device.begin_setup()
            try:
                yield
            finally:
                self._wire = None

    async def poll(self, device_id: str) -> Sample:
        """Read all points of one device; before that, write what its setup asks for.

        The first request without an answer ends the poll: a dead unit costs the others one response time-out.
        """
        device = self._devices[device_id]
        read: list[ReadBlock] = []
        troubles: list[Exception] = []
        try:
            if not await self._set_up(device):
                return Sample(device_id=device_id, readings=device.warming_up())
            for block in device.blocks:
                try:
                    await self._read(device, block, read)
                except (RequestRefused, MalformedResponse) as error:
                    troubles.append(error)
                if sum(isinstance(trouble, MalformedResponse) for trouble in troubles) == MALFORMED_MAX:
                    break
        except DeviceUnreachable as error:
            troubles.append(error)
            if not read:
                # It may have lost its power, and with it what the setup had written.
                device.begin_setup()
        readings = device.readings(read) if read else {}
        if readings:
            return Sample(device_id=device_id, readings=readings)
        raise self._verdict(device_id, troubles)

    async def _set_up(self, device: ModbusDevice) -> bool:
        """Write what is left of the setup. False while a pause of it lasts; meanwhile the line is free for others."""
        now_s = asyncio.get_running_loop().time
        while not device.is_set_up(now_s()):
            wait_s = device.wait_s(now_s())
            if wait_s > PAUSE_S_WAITED:
                return False
            await asyncio.sleep(wait_s)
            write = device.next_write
            if write is None:
                continue
            if await self._is_held(device, write):
                device.needs_no_write()
                continue
            await self._write(device, write.question(device.options.address))
            device.written(now_s())
        return True

    async def _is_held(self, device: ModbusDevice, write: SetupWrite) -> bool:
        """Whether the device holds already what is to be written. Nothing is written to a silent device.

        The next poll reads a block of its points: that shows whether it is silent altogether or only about its setup.
        """
        place = device.held_at(write)
        if place is None:
            return False
        is_there = device.hides_setup and await self._is_there(device)
        device.hides_setup = False
        try:
            return write.is_held(await self._values(device, place))
        except (RequestRefused, MalformedResponse):
            return False
        except DeviceUnreachable:
            device.hides_setup = True
            if is_there:
                return False
            raise

    async def _is_there(self, device: ModbusDevice) -> bool:
        """Read anything from the device. Raises DeviceUnreachable if it does not answer."""
        for block in device.blocks[:1]:
            with suppress(RequestRefused, MalformedResponse):
                await self._ask(device, block)
        return True

    async def _write(self, device: ModbusDevice, question: Question) -> None:
        try:
            await self._counted(self._open_wire().write(question, device.options.pace))
        except RequestRefused as refusal:
            if refusal.code in BUSY:
                raise MalformedResponse(f"{device.id} puts its setup off, with {refusal}") from refusal
            # Readings may be right without the setup (a drive that is run by hand). If not, they show it.
            log.warning("modbus_setup_refused", device_id=device.id, request=question.text, error=str(refusal))

    async def _read(self, device: ModbusDevice, block: Block, read: list[ReadBlock]) -> None:
        """Read one block; where the device refuses it for its addresses, read its points one by one from now on."""
        try:
            read.append(await self._ask(device, block))
        except RequestRefused as refusal:
            parts = device.split(block) if refusal.code == ILLEGAL_DATA_ADDRESS else ()
            if not parts:
                raise
        else:
            return
        refused = 0
        for part in parts:
            try:
                read.append(await self._ask(device, part))
            except RequestRefused:
                refused += 1
        if refused == len(parts):
            device.rejoin(block, parts)
            raise RequestRefused(ILLEGAL_DATA_ADDRESS)

    async def _ask(self, device: ModbusDevice, block: Block) -> ReadBlock:
        try:
            values = await self._values(device, block)
        except (DeviceUnreachable, MalformedResponse):
            device.ask_last(block)
            raise
        device.look_for_unsupported(block, values)
        return ReadBlock(table=block.table, address=block.address, values=values)

    async def _values(self, device: ModbusDevice, block: Block) -> Sequence[int | bool]:
        return await self._counted(self._open_wire().read(device.options.address, block, device.options.pace))

    async def _counted(self, request: Awaitable[T]) -> T:
        """Count the requests in a row that were not answered."""
        try:
            answer = await request
        except DeviceUnreachable:
            self._unanswered += 1
            raise
        except (RequestRefused, MalformedResponse):
            self._unanswered = 0
            raise
        self._unanswered = 0
        return answer

    def _open_wire(self) -> Wire:
        if self._wire is None:
            raise ConnectionLost("the connection is not open")
        return self._wire

    def _verdict(self, device_id: str, troubles: Sequence[Exception]) -> Exception:
        """Say what a poll without any value means."""
        if not troubles:
            return MalformedResponse(f"{device_id} says of each of its points that it does not have it")
        worst = troubles[-1]
        if isinstance(worst, RequestRefused):
            return MalformedResponse(f"{device_id} refused every request, with {worst}")
        if isinstance(worst, DeviceUnreachable) and self._unanswered >= max(UNANSWERED_MAX, len(self._devices)):
            return ConnectionLost(f"no device has answered the last {self._unanswered} requests: {worst}")
        return worst
