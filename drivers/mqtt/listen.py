"""Listens at a broker for a person who looks for devices. The daemon's session there is never touched."""

import asyncio
import math
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from drivers.mqtt.connecting import Versions, broker_of, open_session
from drivers.mqtt.device import Message
from drivers.mqtt.options import MqttConnectionOptions
from drivers.mqtt.subscriptions import Subscription
from edge.domain.driver import ConnectionLost, DriverContext

# A broker may bring more than anyone takes: what comes beyond is passed over.
WAITING_MAX = 10_000
# The broker's own topics ($SYS) are not meant by it.
ALL_TOPICS = "#"
STEP_S = 1.0


class _Ear:
    """Keeps what was heard until it is asked for."""

    is_full = False

    def __init__(self) -> None:
        self._heard: asyncio.Queue[Message | ConnectionLost] = asyncio.Queue(WAITING_MAX + 1)

    def connected(self, *, is_resumed: bool) -> None:
        pass

    def arrived(self, message: Message, packet_id: int) -> None:  # noqa: ARG002 - quality 0: always 0
        if self._heard.qsize() < WAITING_MAX:
            self._heard.put_nowait(message)

    def copied(self, message: Message, packet_id: int) -> None:
        pass

    def unreadable(self, message: Message, trouble: str, packet_id: int) -> None:  # noqa: ARG002 - its topic says enough
        self.arrived(message, packet_id)

    def subscribed(self) -> None:
        pass

    def refused(self, topic_filter: str, reason: str) -> None:
        self.lost(f"the broker refuses the topic {topic_filter}: {reason}")

    def lost(self, reason: str) -> None:
        if not self._heard.full():
            self._heard.put_nowait(ConnectionLost(reason))

    async def next(self, until_s: float) -> Message | None:
        """Return what was heard next; None when the time is over. Raises ConnectionLost."""
        try:
            async with asyncio.timeout_at(until_s):
                heard = await self._heard.get()
        except TimeoutError:
            return None
        if isinstance(heard, ConnectionLost):
            raise heard
        return heard


async def listen(
    options: MqttConnectionOptions, context: DriverContext, filters: Sequence[str], *, seconds: float
) -> AsyncGenerator[Message, None]:
    """Yield each message that comes under these topic filters within some seconds, what the broker retained first.

    It has a session of its own that leaves nothing behind: a running gateway misses nothing. A caller that stops early
    closes the iterator (`contextlib.aclosing`). Raises ConnectionLost, DriverMisconfigured.
    """
    ear = _Ear()
    client_id = f"ge-listen-{uuid.uuid4().hex[:8]}"
    broker = await broker_of(options, context, client_id=client_id, session_expiry_s=0)
    async with open_session(broker, Versions(options.protocol), ear) as session:
        session.subscribe([Subscription(topic_filter, is_state=True, quality=0) for topic_filter in filters])
        until_s = asyncio.get_running_loop().time() + seconds
        while (message := await ear.next(until_s)) is not None:
            yield message


def steps_of(seconds: float) -> int:
    """Return how many times `overhear` gives something: after each second, and at the end."""
    return math.ceil(seconds / STEP_S) + 1


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
        for _ in range(steps_of(seconds) - 1):
            await asyncio.wait({gathering}, timeout=STEP_S)
            news, messages[:] = messages[:], []
            yield news
        await gathering
        yield messages
    finally:
        gathering.cancel()
        with suppress(asyncio.CancelledError):
            await gathering
