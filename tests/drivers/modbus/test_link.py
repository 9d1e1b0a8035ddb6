"""Opening and losing the transport under a wire."""

import asyncio

import pytest
from serial import Serial

from drivers.modbus.options import ModbusConnectionOptions, Pace
from drivers.modbus.plan import Block
from drivers.modbus.wire import open_wire
from edge.domain.driver import ConnectionLost
from fakes.modbus_line import line_of, right, silent

UNIT = 3
# Each register holds its own address.
HERE = Block(table="holding", address=8, count=2)


async def test_a_port_that_is_pulled_out_fails_the_pending_request_at_once() -> None:
    async with line_of("serial", silent) as (line, options), open_wire(options) as wire:
        reading = asyncio.create_task(wire.read(UNIT, HERE, Pace(response_timeout_ms=60_000)))
        await line.was_asked.wait()
        assert line.terminal is not None
        line.terminal.unplug()
        with pytest.raises(ConnectionLost, match="closed the connection"):
            await reading
        with pytest.raises(ConnectionLost):
            await wire.read(UNIT, HERE)


async def test_a_port_that_is_not_there_is_told_in_plain_words() -> None:
    options = ModbusConnectionOptions(transport="serial", serial_port="/dev/serial/by-id/usb-nothing")
    with pytest.raises(ConnectionLost, match="usb-nothing cannot be opened: there is no such port; is it plugged in"):
        async with open_wire(options):
            pass


async def test_a_port_that_another_program_holds_is_told_in_plain_words() -> None:
    async with line_of("serial", right) as (_, options):
        with Serial(options.serial_port, exclusive=True), pytest.raises(ConnectionLost, match="another program has it"):
            async with open_wire(options):
                pass
        async with open_wire(options) as wire:
            assert list(await wire.read(UNIT, HERE)) == [8, 9]


async def test_a_converter_that_is_not_there_is_told_in_plain_words() -> None:
    async with line_of("rtu_over_tcp", right) as (_, options):
        pass
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:\d+ cannot be opened: Connection refused"):
        async with open_wire(options):
            pass


@pytest.mark.parametrize("ticks", range(4))
async def test_opening_can_be_cancelled_at_any_moment(ticks: int, caplog: pytest.LogCaptureFixture) -> None:
    async def open_for_ever() -> None:
        async with open_wire(options):
            await asyncio.Event().wait()

    async with line_of("serial", right) as (_, options):
        opening = asyncio.create_task(open_for_ever())
        for _ in range(ticks):
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        # What pymodbus had scheduled meanwhile runs into nothing that is closed.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert caplog.records == []
        async with open_wire(options) as wire:
            assert list(await wire.read(UNIT, HERE)) == [8, 9]


async def test_a_pseudo_terminal_is_opened_with_the_only_format_it_has() -> None:
    async with line_of("serial", right) as (_, options):
        assert options.format == "8E1"
        async with open_wire(options) as wire:
            assert list(await wire.read(UNIT, HERE)) == [8, 9]


async def test_a_file_that_is_no_port_is_a_lost_connection() -> None:
    not_a_port = ModbusConnectionOptions(transport="serial", serial_port="/dev/null")
    with pytest.raises(ConnectionLost, match="/dev/null cannot be opened"):
        async with open_wire(not_a_port):
            pass
