"""The messages of one connection that are not acknowledged yet. Pure: the driver sends the acknowledgements.

Each connection has a new inbox, because a packet id means nothing on another one. A sample that is accepted after the
connection's end acknowledges nothing, and its message comes again.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.mqtt.device import Message
from drivers.mqtt.redelivery import Redeliveries, Verdict
from edge.domain.reading import Redelivery, Sample

# As many messages of some hundred bytes as may wait are far below this; some dozen pictures are not.
WAITING_BYTES_MAX = 4 * 1024 * 1024
# A broker sends again all that it has to when we connect, without a pause.
DOUBT_S = 2.0


@dataclass(slots=True, eq=False)
class Delivery:
    """One message, and the steps left before its acknowledgement."""

    message: Message
    # 0: the broker expects no acknowledgement.
    packet_id: int
    verdict: Verdict | None = None
    # Why it cannot be decoded; empty = it can.
    trouble: str = ""
    # Steps left before the acknowledgement: 1 for routing, 1 per device that has to decode it, 1 per sample not on
    # disk.
    owed: int = 1


class Inbox:
    """The messages of one connection, in order of arrival."""

    def __init__(self, *, inflight_max: int, redeliveries: Redeliveries | None = None) -> None:
        self._inflight_max = inflight_max
        self._redeliveries = Redeliveries(window=inflight_max) if redeliveries is None else redeliveries
        # In order of arrival, which is the order of acknowledgement.
        self._deliveries: deque[Delivery] = deque()
        self._waiting: deque[Delivery] = deque()
        # Their payloads' bytes.
        self._size = 0
        # By `id()` of the sample. It stays unique because the sample is kept here.
        self._samples: dict[int, tuple[Sample, Delivery]] = {}
        # (topic filter, reason)
        self.refusals: deque[tuple[str, str]] = deque()
        self.is_subscribed = False
        self._is_refused = False
        # Something came with DUP since the end of a doubt was set; and that end, of the event loop's clock.
        self._comes_again = False
        self._doubt_ends_s = 0.0
        # Why the connection is over; None = it is not.
        self.end: str | None = None
        self._has_news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def is_full(self) -> bool:
        """Whether as many messages, or bytes of them, are unacknowledged as may be."""
        return len(self._deliveries) >= self._inflight_max or self._size >= WAITING_BYTES_MAX

    @property
    def is_granted(self) -> bool:
        """Whether the broker gives us everything that we asked for."""
        return self.is_subscribed and not self._is_refused

    # What the session tells.

    def connected(self, *, is_resumed: bool) -> None:
        """Note that the broker has accepted us, and whether it still had our session."""
        self._redeliveries.connected(is_resumed=is_resumed)

    def arrived(self, message: Message, packet_id: int) -> None:
        """Take a message in."""
        name, verdict = self._redeliveries.arrived(packet_id, is_marked=message.is_repeated)
        self._take_in(Delivery(message._replace(delivery=name), packet_id, verdict))

    def copied(self, message: Message, packet_id: int) -> None:
        """Take in another copy of a message: no device decodes it."""
        self._redeliveries.copied(packet_id, is_marked=message.is_repeated)
        self._deliveries.append(Delivery(message, packet_id, owed=0))
        self._size += len(message.payload)
        self._has_news.set()

    def unreadable(self, message: Message, trouble: str, packet_id: int) -> None:
        """Take in that there was a message."""
        self._redeliveries.arrived(packet_id, is_marked=message.is_repeated)
        self._take_in(Delivery(message, packet_id, trouble=trouble))

    def subscribed(self) -> None:
        """Note that the broker has answered all subscriptions."""
        self.is_subscribed = True
        self._has_news.set()

    def refused(self, topic_filter: str, reason: str) -> None:
        """Note that nothing will come under a filter."""
        self.refusals.append((topic_filter, reason))
        self._is_refused = True
        self._has_news.set()

    def lost(self, reason: str) -> None:
        """Note that nothing more will come."""
        self.end = reason
        self._has_news.set()

    def _take_in(self, delivery: Delivery) -> None:
        self._comes_again = self._comes_again or delivery.message.is_repeated
        self._deliveries.append(delivery)
        self._size += len(delivery.message.payload)
        self._waiting.append(delivery)
        self._has_news.set()

    # What the driver does.

    def asked(self) -> None:
        """Note that a subscription was sent and is not answered yet."""
        self.is_subscribed = False

    async def begin(self) -> None:
        """Wait until all subscriptions are answered, or the inbox is full: the answer may be behind its messages."""
        while not self.is_subscribed and not self.is_full and self.end is None:
            await self.wait()

    async def wait(self) -> None:
        """Wait for anything new, or for the end of a doubt. Only repeated messages prolong a doubt."""
        self._has_news.clear()
        if self._comes_again:
            self._comes_again = False
            self._doubt_ends_s = asyncio.get_running_loop().time() + DOUBT_S
        try:
            async with asyncio.timeout_at(self._doubt_ends_s if self._redeliveries.is_in_doubt else None):
                await self._has_news.wait()
        except TimeoutError:
            self._redeliveries.decide(is_certain=False)

    def next(self) -> Delivery | None:
        """Return the next message to decode; None if there is none, or if a later one must tell what it is."""
        if not self._waiting:
            return None
        delivery, verdict = self._waiting[0], self._waiting[0].verdict
        if verdict is not None:
            if verdict.is_certain is None:
                return None
            redelivery = Redelivery(of=verdict.of, is_certain=verdict.is_certain)
            delivery.message = delivery.message._replace(redelivery=redelivery)
            self._redeliveries.looked_at(delivery.packet_id)
        return self._waiting.popleft()

    def owe(self, delivery: Delivery, samples: Sequence[Sample]) -> None:
        """Note that a message is not done before these samples are accepted."""
        delivery.owed += len(samples)
        for sample in samples:
            self._samples[id(sample)] = (sample, delivery)

    def accepted(self, samples: Sequence[Sample]) -> None:
        """Note that these are on disk. Those of an earlier connection are not known here, and change nothing."""
        for sample in samples:
            if (known := self._samples.pop(id(sample), None)) is not None:
                known[1].owed -= 1

    def released(self) -> list[int]:
        """Return, once, the packet ids that may be acknowledged now, in order."""
        packet_ids: list[int] = []
        while self._deliveries and self._deliveries[0].owed == 0:
            delivery = self._deliveries.popleft()
            self._size -= len(delivery.message.payload)
            if delivery.packet_id:
                packet_ids.append(delivery.packet_id)
        return packet_ids
