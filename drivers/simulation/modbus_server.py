"""Shows simulated devices over real Modbus/TCP, one port for each host of the site file."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.pdu import ExceptionResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.decoders.modbus_point import BIT_TABLES, ModbusPointOptions, Table
from drivers.simulation.faults import LATE_BY_S, Fault
from drivers.simulation.sensors import ServedUnit
from drivers.simulation.site import ServedHost, SimulatedSite

# In the order in which pymodbus wants a device's four tables.
TABLES: tuple[Table, ...] = ("coil", "discrete", "holding", "input")
TABLE_OF_FUNCTION: Mapping[int, Table] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
# pymodbus wants something in each table; nobody asks there.
UNUSED_ADDRESS = 0xFFF0


class PortTaken(OSError):  # noqa: N818 - as the errors of domain/driver.py
    """The server cannot listen there. Remedy: another port, or end who has it."""


@asynccontextmanager
async def serve_host(host: ServedHost, site: SimulatedSite, *, listen: str, port: int = 0) -> AsyncIterator[int]:
    """Serve one host's devices; gives the port, which the system chooses if it is 0. Raises PortTaken."""
    units: dict[int, list[ServedUnit]] = {}
    for unit in host.units:
        units.setdefault(unit.address, []).append(unit)
    devices = [_device(address, sharing, site) for address, sharing in units.items()]
    server = _Server(devices, address=(listen, port))
    try:
        await server.serve_forever(background=True)
    except RuntimeError as error:
        raise PortTaken(f"cannot listen on {listen}:{port}") from error
    try:
        # pymodbus types the listener as a bare transport.
        assert isinstance(server.transport, asyncio.Server)
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


class _Connection(ServerRequestHandler):
    """One client. pymodbus's own forgets which request a late answer belongs to, and answers for absent units."""

    async def handle_request(self) -> None:
        """Answer the request that just came in; say nothing for a unit that is silent or not there."""
        request, sender = self.last_pdu, self.last_addr
        if request is None or request.dev_id not in self.server.context.device_ids():
            return
        try:
            answer = await request.datastore_update(self.server.context, request.dev_id)
        except NoSuchIdException:  # what a silent unit raises
            return
        except (AttributeError, ValueError):  # a function that the register store does not know
            answer = ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_FUNCTION)
        answer.transaction_id = request.transaction_id
        answer.dev_id = request.dev_id
        if self.transport is not None:
            self.server_send(answer, sender)  # type: ignore[no-untyped-call]


class _Server(ModbusTcpServer):
    def callback_new_connection(self) -> _Connection:
        return _Connection(self, self.trace_packet, self.trace_pdu, self.trace_connect)  # type: ignore[no-untyped-call]


def _device(address: int, units: Sequence[ServedUnit], site: SimulatedSite) -> SimDevice:
    """Build what answers to one unit id; a site file may split it into several devices."""
    coils, discrete, holding, inputs = (_table(units, table) for table in TABLES)
    return SimDevice(address, simdata=(coils, discrete, holding, inputs), action=partial(_refresh, units, site))


def _table(units: Sequence[ServedUnit], table: Table) -> list[SimData]:
    """Declare the addresses that exist; all others are refused. Nothing can be written yet."""
    kind = DataType.BITS if table in BIT_TABLES else DataType.REGISTERS
    empty = False if table in BIT_TABLES else 0
    used: set[int] = set()
    for point in (point for unit in units for point in unit.points):
        assert isinstance(point.options, ModbusPointOptions)
        if point.options.table == table:
            used.update(range(point.options.address, point.options.address + point.options.length))
    addresses = sorted(used) or [UNUSED_ADDRESS]
    return [SimData(address, values=[empty], datatype=kind, readonly=True) for address in addresses]


async def _refresh(
    units: Sequence[ServedUnit],
    site: SimulatedSite,
    function: int,
    start: int,
    _address: int,
    _count: int,
    registers: list[int],
    _written: list[int] | list[bool] | None,
) -> ExcCodes | None:
    """Bring the registers up to date before they are read."""
    match site.fault(units[0]):
        case Fault.SILENT:
            raise NoSuchIdException
        case Fault.BUSY:
            return ExcCodes.DEVICE_BUSY
        case Fault.LATE:
            await asyncio.sleep(LATE_BY_S)
    if function not in TABLE_OF_FUNCTION:
        return ExcCodes.ILLEGAL_FUNCTION
    table = TABLE_OF_FUNCTION[function]
    for unit in units:
        _fill(registers, start, table, site.image(unit)[table])
    return None


def _fill(registers: list[int], start: int, table: Table, values: Mapping[int, int]) -> None:
    """Put values into pymodbus's registers, which hold sixteen bits each in the tables of bits."""
    for address, value in values.items():
        if table in BIT_TABLES:
            word, bit = divmod(address, 16)
            registers[word - start] = registers[word - start] & ~(1 << bit) | value << bit
        else:
            registers[address - start] = value
