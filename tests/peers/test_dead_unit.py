"""A unit of an RTU line that is dead: what it costs the others. Two lines side by side, one of them whole."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from drivers.simulation.pty_line import open_line
from drivers.simulation.rtu_bus import RtuBus
from fakes.peer_site import loaded
from fakes.running_gateway import is_lost, running, until
from fakes.simulated_units import simulated_units

pytestmark = pytest.mark.xdist_group("adapter")

UNITS = range(1, 11)
DEAD = 5
# Enough for some of the dead unit's turns.
POLLS = 60
# A unit that is waited for costs more than one poll of each of the others.
TIMES = "poll_interval_s = 0.1\nresponse_timeout_ms = 100\nquiet_ms = 20\n"


def line_text(connection_id: str, port: Path) -> Iterator[str]:
    yield f'[[connection]]\nid = "{connection_id}"\ndriver = "modbus"\n'
    yield f'transport = "serial"\nserial_port = "{port}"\n{TIMES}'
    for unit in UNITS:
        yield f'[[connection.device]]\nid = "{connection_id}-{unit}"\naddress = {unit}\n'
        yield '[connection.device.point.air_temperature]\ntable = "input"\naddress = 1\ntype = "int16"\nscale = 0.1\n'


async def test_nine_units_keep_nine_tenths_of_their_polls_beside_a_dead_one(tmp_path: Path) -> None:
    ports = [tmp_path / "whole", tmp_path / "lame"]
    settings = loaded(tmp_path, "".join(part for port in ports for part in line_text(port.name, port)))
    whole, lame = (
        simulated_units(connection, dead=dead)
        for connection, dead in zip(settings.connections, ([], [DEAD]), strict=True)
    )
    async with AsyncExitStack() as lines:
        for port, units in zip(ports, (whole, lame), strict=True):
            await lines.enter_async_context(open_line(port, RtuBus(units)))
        gateway = await lines.enter_async_context(running(settings))
        # To notice that it is dead takes a few polls more, once.
        await until(lambda: is_lost(gateway, f"lame-{DEAD}"), "the dead unit to be given up")
        before = [Counter(units.asked) for units in (whole, lame)]
        await until(lambda: (whole.asked - before[0])[DEAD] >= POLLS, f"{POLLS} polls")
        healthy, beside = (units.asked - start for units, start in zip((whole, lame), before, strict=True))
    # It is still asked now and then: it may have come back.
    assert beside.pop(DEAD) > 1
    healthy.pop(DEAD)
    assert beside.total() >= 0.9 * healthy.total(), (beside, healthy)
