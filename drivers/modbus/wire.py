"""One Modbus/TCP host: one request at a time, every wait bounded, every answer checked. Owns all of pymodbus's traps.

What pymodbus 3.16 does by itself and what is done about it (facts/libraries.md 1.2 and 1.3):
- a peer that closes while a request is pending lets the request wait its whole time-out: it is failed at once;
- an answer it cannot decode escapes into asyncio's exception log: it becomes the request's failure;
- after four silent requests it closes a link that is fine (a dead unit behind a gateway): that is switched off;
- an answer is matched by unit and transaction only: function code and count are checked here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from drivers.decoders.modbus_point import BIT_TABLES, Table
from drivers.modbus.options import ModbusConnectionOptions
from drivers.modbus.plan import Block
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse

FUNCTION_CODES: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
# Gateway path unavailable, gateway target failed to respond: said by the gateway for a unit that does not answer.
NO_ANSWER_BEHIND_GATEWAY = frozenset({10, 11})
ILLEGAL_DATA_ADDRESS = 2

# pymodbus logs each silent request as an error; what matters is raised, and logged by the collector once.
_pymodbus_log = logging.getLogger("pymodbus")
if _pymodbus_log.level == logging.NOTSET:
    _pymodbus_log.setLevel(logging.CRITICAL)


class RequestRefused(Exception):  # noqa: N818 - the device's word
    """The device answered with an exception code: it is there, but does not give these points."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Wire:
    """An open connection to one host. Cancelling a request closes it: no late answer can meet another question."""

    def __init__(self, client: AsyncModbusTcpClient, options: ModbusConnectionOptions) -> None:
        self._client = client
        self._options = options
        self._quiet_until = 0.0

    async def read(
        self, unit: int, block: Block, *, response_timeout_ms: int | None, request_gap_ms: int | None
    ) -> Sequence[int | bool]:
        """Ask for one block; returns exactly its registers or bits.

        Raises RequestRefused, DeviceUnreachable, MalformedResponse or ConnectionLost.
        """
        await self._pause()
        if not self._client.connected:
            raise ConnectionLost(f"{self._where()} has closed the connection")
        timeout_ms = self._options.response_timeout_ms if response_timeout_ms is None else response_timeout_ms
        self._client.ctx.comm_params.timeout_connect = timeout_ms / 1000
        quiet_ms = self._options.quiet_ms
        try:
            values = self._checked(await self._answer(unit, block), unit, block)
            quiet_ms = 0
        except RequestRefused:
            quiet_ms = 0
            raise
        finally:
            gap_ms = self._options.request_gap_ms if request_gap_ms is None else request_gap_ms
            self._quiet_until = asyncio.get_running_loop().time() + max(quiet_ms, gap_ms) / 1000
        return values

    async def _pause(self) -> None:
        """Keep the gap after the last request, and the quiet period after one that failed."""
        wait_s = self._quiet_until - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _answer(self, unit: int, block: Block) -> ModbusPDU:
        client = self._client
        reads = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }
        try:
            return await reads[block.table](block.address, count=block.count, device_id=unit)
        except asyncio.CancelledError:
            client.close()
            raise
        except ConnectionException as error:
            raise ConnectionLost(f"{self._where()} closed the connection before it answered unit {unit}") from error
        except ModbusIOException as error:
            if client.ctx.recv_buffer:
                # Half an answer: where the next one begins is unknown, so the stream is of no more use.
                client.close()
                raise ConnectionLost(f"{self._where()} sent half an answer for unit {unit}") from error
            raise DeviceUnreachable(f"unit {unit} at {self._where()} did not answer {_asked(block)}") from error

    def _checked(self, answer: ModbusPDU, unit: int, block: Block) -> Sequence[int | bool]:
        asked = f"unit {unit} at {self._where()} answered {_asked(block)}"
        function_code = FUNCTION_CODES[block.table]
        if isinstance(answer, ExceptionResponse):
            if answer.function_code & 0x7F != function_code:
                raise MalformedResponse(f"{asked} with an exception to function {answer.function_code & 0x7F}")
            if answer.exception_code in NO_ANSWER_BEHIND_GATEWAY:
                raise DeviceUnreachable(f"{asked} with exception {answer.exception_code}: the gateway has no answer")
            raise RequestRefused(answer.exception_code)
        if answer.function_code != function_code:
            raise MalformedResponse(f"{asked} with function {answer.function_code} instead of {function_code}")
        if block.table in BIT_TABLES:
            # Bits come in whole bytes.
            if len(answer.bits) != -(-block.count // 8) * 8:
                raise MalformedResponse(f"{asked} with {len(answer.bits)} bits")
            return answer.bits[: block.count]
        if len(answer.registers) != block.count:
            raise MalformedResponse(f"{asked} with {len(answer.registers)} registers")
        return answer.registers

    def _where(self) -> str:
        return f"{self._options.host}:{self._options.tcp_port}"


class _Framer(FramerSocket):
    """Lets an answer that is none fail the request that waits, and nothing else."""

    def __init__(self, client: AsyncModbusTcpClient) -> None:
        super().__init__(DecodePDU(is_server=False))
        self._client = client
        self._frame = b""

    def decode(self, data: bytes) -> tuple[int, int, int, bytes]:
        """Take the first frame off the stream, and remember what it says."""
        used, unit, transaction, self._frame = super().decode(data)
        return used, unit, transaction, self._frame

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:  # noqa: N802
        """Find the answer in the stream. pymodbus would raise into asyncio, or take half a register for one."""
        try:
            used, answer = super().handleFrame(data, exp_devid, exp_tid)
        except ModbusIOException as error:
            _fail_pending(self._client, MalformedResponse(f"{self._frame.hex(' ')} is no answer: {error}"))
            return len(data), None
        if answer is not None and not is_whole(self._frame):
            _fail_pending(self._client, MalformedResponse(f"{self._frame.hex(' ')} is no answer: wrong byte count"))
            return len(data), None
        return used, answer


def is_whole(answer: bytes) -> bool:
    """Whether an answer to a read has as many bytes as it says, and whole registers."""
    if answer[0] not in FUNCTION_CODES.values():
        return True
    whole_registers = answer[0] in {1, 2} or answer[1] % 2 == 0
    return len(answer) == 2 + answer[1] and whole_registers


def _fail_pending(client: AsyncModbusTcpClient, error: Exception) -> None:
    pending = client.ctx.response_future
    if not pending.done():
        pending.set_exception(error)
        # Marks it as seen: where no request is pending, nobody else will.
        pending.exception()


@asynccontextmanager
async def open_wire(options: ModbusConnectionOptions) -> AsyncIterator[Wire]:
    """Connect, and close at the end. Raises ConnectionLost if the host cannot be reached."""

    def traced(connected: bool) -> None:
        if not connected:
            _fail_pending(client, ConnectionException("closed by the peer"))

    client = AsyncModbusTcpClient(
        options.host,
        port=options.tcp_port,
        timeout=options.connect_timeout_ms / 1000,
        retries=0,
        reconnect_delay=0,  # never by itself: the collector owns back-off
        trace_connect=traced,
    )
    client.ctx.framer = _Framer(client)
    # Far more than a poll sends in a year; the driver decides when silence means a dead link.
    client.set_max_no_responses(2**31)
    if not await client.connect():
        raise ConnectionLost(f"{options.host}:{options.tcp_port} cannot be reached")
    try:
        yield Wire(client, options)
    finally:
        client.close()


def _asked(block: Block) -> str:
    last = block.address + block.count - 1
    return f"{block.table} {block.address}" if block.count == 1 else f"{block.table} {block.address} to {last}"
