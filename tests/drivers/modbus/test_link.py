"""Opening and losing the transport under a wire."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from serial import Serial

from drivers.modbus.link import LineOpening
from drivers.modbus.options import ModbusConnectionOptions, Pace
from drivers.modbus.plan import Block
from drivers.modbus.wire import open_wire
from edge.domain.driver import ConnectionLost
from fakes.held_openings import HeldOpenings
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


@pytest.mark.parametrize("ticks", range(6))
async def test_opening_can_be_cancelled_at_any_moment(ticks: int, caplog: pytest.LogCaptureFixture) -> None:
    # As a driver keeps it from one connection to the next.
    port = LineOpening()

    async def open_for_ever() -> None:
        async with open_wire(options, opening=port):
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
        async with open_wire(options, opening=port) as wire:
            assert list(await wire.read(UNIT, HERE)) == [8, 9]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldOpenings]:
    with HeldOpenings.patched(monkeypatch) as made:
        yield made


async def test_a_port_that_takes_its_time_to_open_keeps_nobody_else_waiting(held: HeldOpenings) -> None:
    async with line_of("serial", right) as (_, slow), line_of("rtu_over_tcp", right) as (_, neighbour):
        held.hold(slow.serial_port)
        async with open_wire(neighbour) as wire:
            opening = asyncio.create_task(read_once(slow))
            await held.begun()
            assert list(await wire.read(UNIT, HERE)) == [8, 9]
            assert not opening.done()
            held.release()
            assert await opening == [8, 9]


async def test_a_port_that_opens_too_late_is_closed_again(held: HeldOpenings) -> None:
    async with line_of("serial", right) as (_, options):
        held.hold(options.serial_port)
        with pytest.raises(ConnectionLost, match=r"could not be opened within 50 ms"):
            await read_once(replace(options, connect_timeout_ms=50))
        held.release()
        await held.closed(options.serial_port)


async def test_a_port_that_hangs_is_not_opened_a_second_time_beside_it(held: HeldOpenings) -> None:
    async with line_of("serial", right) as (_, options):
        held.hold(options.serial_port)
        port = LineOpening()
        for _ in range(5):
            with pytest.raises(ConnectionLost, match="could not be opened"):
                async with open_wire(replace(options, connect_timeout_ms=20), opening=port):
                    pass
        reading = asyncio.create_task(read_once(options, port))
        await asyncio.sleep(0)
        held.release()
        assert await reading == [8, 9]
        assert held.openings == 1
        await held.closed(options.serial_port)


async def test_giving_up_an_opening_that_hangs_takes_no_time(held: HeldOpenings) -> None:
    async with line_of("serial", right) as (_, options):
        held.hold(options.serial_port)
        reading = asyncio.create_task(read_once(options))
        await held.begun()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert held.is_held
        held.release()
        await held.closed(options.serial_port)


async def test_what_was_not_sent_is_dropped_before_a_port_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the kernel waits for an adapter that takes no bytes, half a minute long and on the event loop.
    done: list[tuple[str | None, str]] = []

    def noted(name: str) -> None:
        method = getattr(Serial, name)

        def note(port: Serial) -> None:
            done.append((port.port, name))
            method(port)

        monkeypatch.setattr(Serial, name, note)

    noted("reset_output_buffer")
    noted("close")
    async with line_of("serial", right) as (_, options):
        await read_once(options)
    # A port of another test may be closed just now, by the garbage collector.
    ours = [name for port, name in done if port == options.serial_port]
    assert ours[:2] == ["reset_output_buffer", "close"]


async def read_once(options: ModbusConnectionOptions, port: LineOpening | None = None) -> list[int | bool]:
    async with open_wire(options, opening=port) as wire:
        return list(await wire.read(UNIT, HERE))


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
