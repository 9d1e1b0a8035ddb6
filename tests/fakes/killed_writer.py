"""A process that accepts samples as fast as it can and says which; the test kills it. Run as a program.

A line for each accepted sample is written only after its commit: `<event id> <device> <sequence>`.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from edge.domain.clock import ClockState
from edge.domain.event import Draft, EventType, Numbers
from edge.domain.settings import OutboxSettings
from edge.storage.database import open_database
from edge.storage.outbox import Outbox, open_outbox

DEVICES = 3


class HastyClock:
    """The machine's, but on the scheduling clock ten seconds pass in ten milliseconds: cursors are written all the time."""

    def unix_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def uptime_ms(self) -> int:
        return round(time.monotonic() * 1000)

    def monotonic_s(self) -> float:
        return time.monotonic() * 1000

    def state(self) -> ClockState:
        return ClockState.SYNCHRONIZED


def draft(run: UUID, device_id: str, say: Callable[[str], None]) -> Draft:
    event_id = uuid4()
    given: list[Numbers] = []

    def encode(numbers: Numbers) -> tuple[bytes, bytes]:
        given.append(numbers)
        previous = "" if numbers.previous is None else f',"previous":"{numbers.previous[0]} {numbers.previous[1]}"'
        data = f'{{"deviceId":"{device_id}","sequence":{numbers.sequence}{previous}}}'
        return data.encode(), f'{{"run":"{run}","position":{numbers.position}}}'.encode()

    return Draft(
        stream=f"sensorReadings-g.{device_id}",
        event_id=event_id,
        type=EventType.SENSOR_READING_RECEIVED,
        encode=encode,
        device_id=device_id,
        on_accepted=lambda: say(f"{event_id} {device_id} {given[-1].sequence}\n"),
    )


async def feed(outbox: Outbox, run: UUID) -> None:
    def say(line: str) -> None:
        # Unbuffered: what has been said is out, whatever happens to this process.
        os.write(1, line.encode())

    number = 0
    while True:
        outbox.offer(draft(run, f"d{number % DEVICES}", say))
        number += 1
        if number % 20 == 0:
            await asyncio.sleep(0)
            outbox.hurry()
            await asyncio.sleep(0.001)


async def main() -> None:
    run = uuid4()
    async with (
        open_database(Path(sys.argv[1])) as database,
        open_outbox(database, run=run, clock=HastyClock(), settings=OutboxSettings(commit_interval_ms=1)) as outbox,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(outbox.run())
        tasks.create_task(feed(outbox, run))


if __name__ == "__main__":
    asyncio.run(main())
