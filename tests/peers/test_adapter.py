"""A USB adapter, by socat: pulled, plugged in again, and held by somebody else. The far end is another process."""

import asyncio
import os
import select
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from edge.domain.driver import ConnectionLost
from edge.domain.settings import Settings
from fakes.libmodbus_server import FIRST, NUMBERS, UNIT, libmodbus_server
from fakes.peer_site import loaded, opened
from fakes.running_gateway import WAIT_S, is_open, last_error, running, samples, until
from fakes.socat import Cable, wire

pytestmark = pytest.mark.xdist_group("adapter")

# A minute: whoever waits for this instead of the hang-up fails the test.
FOR_EVER = "response_timeout_ms = 60000\n"


class Peer(Protocol):
    def __call__(self, port: Path) -> AbstractContextManager[object]: ...


@contextmanager
def ezo(port: Path) -> Iterator[None]:
    """A pH circuit that was set up already: it answers each question with a value."""
    program = port.with_name("ezo.sh")
    program.write_text("while IFS= read -r question; do printf '7.010\\r'; done\n")
    # Of a terminal's doings only one is wanted: a question ends with CR, a line for the shell with LF.
    with wire(port.with_name("ezo.log"), f"{port},raw,echo=0,icrnl=1", f"EXEC:sh {program}"):
        yield


@dataclass(frozen=True)
class Instrument:
    """What hangs at the far end, and what a site file says about it."""

    plugged: Peer
    connection: str
    device: str
    value: float

    def settings(self, adapter: Cable, more: str = "") -> Settings:
        connection = f'[[connection]]\nid = "wire"\npoll_interval_s = 0.1\nserial_port = "{adapter.near}"\n'
        return loaded(
            adapter.near.parent,
            f'{connection}{self.connection}{more}[[connection.device]]\nid = "probe"\n{self.device}',
        )


@pytest.fixture(params=["modbus", "serial"])
def instrument(request: pytest.FixtureRequest) -> Instrument:
    if request.param == "serial":
        device = 'decoder = "ezo"\nask = "R\\r"\n[connection.device.point.ph]\nfield = 0\n'
        return Instrument(ezo, 'driver = "serial"\n', device, 7.01)
    program = request.getfixturevalue("libmodbus_program")
    point = f'[connection.device.point.ec]\ntable = "input"\naddress = {FIRST}\ntype = "int16"\n'
    return Instrument(
        lambda port: libmodbus_server(program, port),
        'driver = "modbus"\ntransport = "serial"\n',
        f"address = {UNIT}\n{point}",
        NUMBERS["int16"],
    )


async def test_an_adapter_is_read_pulled_and_read_again_by_the_running_gateway(
    adapter: Cable, instrument: Instrument
) -> None:
    async with running(instrument.settings(adapter)) as gateway:
        with instrument.plugged(adapter.far):
            await until(lambda: samples(gateway, "probe") >= 3, "the first samples")
            adapter.pull()
            await until(lambda: not is_open(gateway), "the loss to be noticed")
        assert str(adapter.near) in last_error(gateway)
        before = samples(gateway, "probe")
        adapter.plug()
        with instrument.plugged(adapter.far):
            await until(lambda: samples(gateway, "probe") >= before + 3, "samples after the adapter came back")
            assert is_open(gateway)
        (device,) = gateway.fleet.status().devices
        (reading,) = device.readings.values()
        assert reading.value == instrument.value


@contextmanager
def listener(port: Path) -> Iterator[Callable[[], bool]]:
    """Somebody who never answers; tells whether something was said."""
    end = os.open(port, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield lambda: bool(select.select([end], [], [], 0)[0])
    finally:
        os.close(end)


async def test_who_waits_for_an_answer_when_the_adapter_is_pulled_is_told_at_once(
    adapter: Cable, instrument: Instrument
) -> None:
    async with opened(instrument.settings(adapter, FOR_EVER)) as driver, asyncio.timeout(WAIT_S):
        poll = asyncio.create_task(driver.poll("probe"))
        with listener(adapter.far) as has_heard:
            # Once the question has come, somebody waits for the answer.
            await until(has_heard, "the question")
        adapter.pull()
        with pytest.raises(ConnectionLost, match=str(adapter.near)):
            await poll
        with pytest.raises(ConnectionLost):
            await driver.poll("probe")


async def test_an_adapter_that_is_not_there_is_named(adapter: Cable, instrument: Instrument) -> None:
    adapter.pull()
    with pytest.raises(ConnectionLost, match=rf"{adapter.near} .*plugged in"):
        async with opened(instrument.settings(adapter)):
            pass


def held(port: Path) -> AbstractContextManager[None]:
    """Another program that has a port to itself."""
    return wire(port.with_name("held.log"), f"{port},raw,echo=0,flock-ex-nb", "PIPE")


async def test_a_port_that_another_program_holds_is_said_to_be_in_use_and_read_when_it_is_free(
    adapter: Cable, instrument: Instrument
) -> None:
    settings = instrument.settings(adapter)
    with held(adapter.near), pytest.raises(ConnectionLost, match=rf"{adapter.near} .*another pro"):
        async with opened(settings):
            pass
    with instrument.plugged(adapter.far):
        async with opened(settings) as driver:
            (reading,) = (await driver.poll("probe")).readings.values()
    assert reading.value == instrument.value


async def test_a_port_that_we_read_is_not_given_to_a_second_daemon(adapter: Cable, instrument: Instrument) -> None:
    settings = instrument.settings(adapter)
    async with opened(settings):
        with pytest.raises(ConnectionLost, match=rf"{adapter.near} .*another pro"):
            async with opened(settings):
                pass
