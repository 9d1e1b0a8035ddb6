"""What is said at an MQTT broker, second by second. The daemon's session there is never touched."""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from drivers.mqtt.device import Message
from drivers.mqtt.listen import listen
from drivers.mqtt.options import MqttConnectionOptions
from edge.domain.driver import DriverContext

# The broker's own topics ($SYS) are not meant by it.
ALL_TOPICS = "#"
STEP_S = 1.0


def steps_of(seconds: float) -> int:
    """Return how many times `overhear` gives something."""
    return math.ceil(seconds / STEP_S)


async def overhear(
    options: MqttConnectionOptions, context: DriverContext, seconds: float
) -> AsyncGenerator[Sequence[Message], None]:
    """Listen to all topics; gives what came in each second, what the broker had retained included.

    Raises ConnectionLost, DriverMisconfigured.
    """
    messages: list[Message] = []

    async def gather() -> None:
        async with aclosing(listen(options, context, [ALL_TOPICS], seconds=seconds)) as heard:
            async for message in heard:
                messages.append(message)  # noqa: PERF401 - each is looked at before the last has come

    gathering = asyncio.create_task(gather(), name="listen at the broker")
    try:
        for _ in range(steps_of(seconds)):
            await asyncio.wait({gathering}, timeout=STEP_S)
            news, messages[:] = messages[:], []
            yield news
        await gathering
        yield messages
    finally:
        gathering.cancel()
        with suppress(asyncio.CancelledError):
            await gathering
