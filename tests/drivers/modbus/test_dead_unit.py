"""P3: a dead unit of ten costs the other nine at most a tenth. The real collector and driver, on virtual time."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pymodbus.transport import CommParams, CommType, ModbusProtocol
from pymodbus.transport.transport import NULLMODEM_HOST

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
from edge.domain.settings import ConnectionSettings
from fakes.collect_run import Work, collect
from fakes.modbus_line import Asked, Line, Piece
from fakes.modbus_site import device, on_line, point

UNITS = range(1, 11)
DEAD = 4
# In the process, not in the system.
PORT = 5020
POLL_INTERVAL_S = 1.0
RUN_S = 1200.0


class NullModemLine(ModbusProtocol):
    """A line in the process: bytes arrive when they are sent, so that time may be virtual."""

    def __init__(self, line: Line) -> None:
        super().__init__(CommParams(comm_type=CommType.TCP, source_address=(NULLMODEM_HOST, PORT)), is_server=True)
        self._line = line

    def callback_new_connection(self) -> ModbusProtocol:
        return NullModemLine(self._line)

    def callback_connected(self) -> None:
        pass

    def callback_disconnected(self, exc: Exception | None) -> None:
        pass

    def callback_data(self, data: bytes, addr: tuple[str, int] | None = None) -> int:  # noqa: ARG002 - its signature
        self._line.receive(data, self.send)
        return len(data)


def line_of_ten(turnaround_s: float, dead: set[int]) -> Line:
    def behave(asked: Asked) -> Sequence[Piece]:
        return [] if asked.unit in dead else [Piece(data=asked.framed(asked.right_pdu()), after_s=turnaround_s)]

    return Line(behave, is_rtu=True)


def site() -> ConnectionSettings:
    options = ModbusConnectionOptions(
        transport="rtu_over_tcp", host=NULLMODEM_HOST, tcp_port=PORT, response_timeout_ms=300, quiet_ms=100
    )
    units = (device(f"d{unit}", point("t"), options=ModbusDeviceOptions(address=unit)) for unit in UNITS)
    return on_line(options, *(replace(each, poll_interval_s=POLL_INTERVAL_S) for each in units))


def polls(turnaround_s: float, dead: set[int]) -> tuple[Counter[int], Line]:
    """How many samples of each unit came in, and what was asked on the line."""
    line = line_of_ten(turnaround_s, dead)
    settings = site()

    async def story(_: Work) -> None:
        server = NullModemLine(line)
        assert await server.listen()
        try:
            await asyncio.sleep(RUN_S)
        finally:
            server.close()

    work = collect((settings, ModbusDriver(settings)), story=story)
    return Counter({unit: len(work.outbox.samples(f"d{unit}")) for unit in UNITS}), line


# 9 units at 25 ms leave the line free most of the time; at 95 ms they fill it, each request with its gap.
@pytest.mark.parametrize("turnaround_s", [0.025, 0.095])
def test_a_dead_unit_costs_the_other_nine_at_most_a_tenth_of_their_polls(turnaround_s: float) -> None:
    without, _ = polls(turnaround_s, set())
    with_dead, line = polls(turnaround_s, {DEAD})
    assert with_dead[DEAD] == 0
    for unit in UNITS:
        if unit != DEAD:
            assert without[unit] > 0.9 * RUN_S / POLL_INTERVAL_S
            assert with_dead[unit] >= 0.9 * without[unit], unit
    # It is asked all the same, so that it is noticed when it comes back.
    asked = sum(1 for each in line.asked if each.unit == DEAD)
    assert RUN_S / 120 <= asked <= 0.1 * RUN_S / 0.4
