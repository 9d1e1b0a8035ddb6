"""A broker's session and our end of it, as the rules of MQTT leave them: all that may be lost is lost when a test says so.

The broker keeps what is not acknowledged and sends it again with DUP, in the first order, under the first ids. What it does
with an id that is free again is its own affair (`ids`). No bytes, no time: `tests/drivers/mqtt` has those.
"""

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from drivers.mqtt.device import Message
from drivers.mqtt.inbox import Delivery, Inbox
from drivers.mqtt.redelivery import Redeliveries
from edge.collect.arrivals import Repeats
from edge.domain.reading import Reading, Sample
from edge.storage.entries import Keyed

# Chooses an id for a new message: given the ids that are taken, and those that were freed, the oldest first.
Ids = Callable[[Collection[int], Sequence[int]], int]


def counting(*, last: int = 65_535, first: int = 1) -> Ids:
    """As mosquitto does: one more each time, from the last one back to 1; one that is taken is passed over."""
    newest = first - 1

    def choose(taken: Collection[int], _freed: Sequence[int]) -> int:
        nonlocal newest
        newest = newest % last + 1
        while newest in taken:
            newest = newest % last + 1
        return newest

    return choose


def lowest_free(taken: Collection[int], _freed: Sequence[int]) -> int:
    return next(number for number in range(1, 65_536) if number not in taken)


def freed_last(taken: Collection[int], freed: Sequence[int]) -> int:
    return next((number for number in reversed(freed) if number not in taken), len(taken) + 1)


def drawn(chance: random.Random) -> Ids:
    def choose(taken: Collection[int], _freed: Sequence[int]) -> int:
        return next(number for number in iter(lambda: chance.randint(1, 65_535), 0) if number not in taken)

    return choose


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message; no two have the same number, and many say the same."""

    number: int
    says: str
    # An availability word gives no sample.
    is_sample: bool = True


@dataclass
class Broker:
    ids: Ids
    window: int
    queue: deque[Sent] = field(default_factory=deque)
    # Packet id -> the message; in the order in which they were sent first.
    in_flight: dict[int, Sent] = field(default_factory=dict)
    freed: list[int] = field(default_factory=list)

    def reconnected(self) -> list[tuple[int, bool, Sent]]:
        return [(packet_id, True, message) for packet_id, message in self.in_flight.items()]

    def restored(self) -> list[tuple[int, bool, Sent]]:
        """What it sends after its own restart, if it did not keep that it had sent it."""
        return [(packet_id, False, message) for packet_id, message in self.in_flight.items()]

    def next(self) -> list[tuple[int, bool, Sent]]:
        """What it sends now: as much as the window allows."""
        sent = []
        while self.queue and len(self.in_flight) < self.window:
            packet_id = self.ids(self.in_flight, self.freed)
            message = self.in_flight[packet_id] = self.queue.popleft()
            sent.append((packet_id, False, message))
        return sent

    def acknowledged(self, packet_id: int) -> None:
        if self.in_flight.pop(packet_id, None) is not None:
            self.freed = [*self.freed[-20:], packet_id]


@dataclass
class Gateway:
    """Our end, in as many runs as it is killed."""

    broker: Broker
    # On their way to us; and unacknowledged here, (packet id, what was taken from it, its event).
    on_the_line: deque[tuple[int, bool, Sent]] = field(default_factory=deque)
    # Arrived, and not looked at.
    waiting: deque[Sent] = field(default_factory=deque)
    uncommitted: list[tuple[int, Keyed | None, tuple[Sent, UUID | None] | None]] = field(default_factory=list)
    to_acknowledge: deque[int] = field(default_factory=deque)
    # What is on disk: keys with deliveries, and each event with its message and the event that it may repeat.
    file: list[Keyed] = field(default_factory=list)
    events: list[tuple[Sent, UUID | None]] = field(default_factory=list)
    # Messages that were passed over as repetitions.
    repeated: list[Sent] = field(default_factory=list)
    is_deaf: bool = False
    _events_made: int = 0

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.redeliveries = Redeliveries(session="s", window=self.broker.window)
        self.redeliveries.recall(keyed.delivery for keyed in self.file)
        self.repeats = Repeats(self.file)
        self._connect()

    def _connect(self) -> None:
        self.is_deaf = False
        self.on_the_line = deque(self.broker.reconnected())
        self.to_acknowledge.clear()
        self.waiting.clear()
        self.inbox = Inbox(inflight_max=65_535, redeliveries=self.redeliveries)
        self.inbox.connected(is_resumed=True)

    def flow(self) -> None:
        """Let the broker send what it may."""
        self.on_the_line += self.broker.next()

    def read(self, count: int) -> None:
        for _ in range(min(count, len(self.on_the_line))):
            packet_id, is_marked, message = self.on_the_line.popleft()
            payload = message.says.encode()
            self.inbox.arrived(
                Message(topic="door", payload=payload, is_repeated=is_marked, received_at_ms=0), packet_id
            )
            self.waiting.append(message)
        self._look()

    def wait(self) -> None:
        """Let so much time pass that nothing more is expected to come again."""
        self.redeliveries.decide(is_certain=False)
        self._look()

    def _look(self) -> None:
        while (delivery := self.inbox.next()) is not None:
            self._take(delivery, self.waiting.popleft())

    def _take(self, delivery: Delivery, message: Sent) -> None:
        if not message.is_sample:
            self.uncommitted.append((delivery.packet_id, None, None))
            return
        sample = Sample(
            device_id="door",
            readings={"state": Reading(value=message.says, unit=None)},
            source_key=message.says.encode().ljust(16),
            delivery=delivery.message.delivery,
            redelivery=delivery.message.redelivery,
        )
        original = self.repeats.original(sample)
        if self.repeats.repeats(sample):
            self.repeats.remember(sample, original)
            self.repeated.append(message)
            self.uncommitted.append((delivery.packet_id, None, None))
            return
        self._events_made += 1
        event_id = UUID(int=self._events_made)
        self.repeats.remember(sample, event_id)
        keyed = Keyed(sample.source_key, sample.delivery, event_id)
        self.uncommitted.append((delivery.packet_id, keyed, (message, original)))

    def commit(self) -> None:
        for packet_id, keyed, event in self.uncommitted:
            if keyed is not None and event is not None:
                self.file.append(keyed)
                self.events.append(event)
            self.to_acknowledge.append(packet_id)
        self.uncommitted.clear()

    def acknowledge(self, count: int) -> None:
        for _ in range(min(count, len(self.to_acknowledge))):
            packet_id = self.to_acknowledge.popleft()
            self.redeliveries.acknowledged([packet_id])
            if not self.is_deaf:
                self.broker.acknowledged(packet_id)

    def cut(self) -> None:
        """Lose the connection with all that is on it; what was taken here is committed, and never acknowledged."""
        self.commit()
        self._connect()

    def kill(self) -> None:
        self.uncommitted.clear()
        self._begin()

    def catch_up(self) -> None:
        """Take in all that the broker has, with nothing going wrong."""
        while self.broker.queue or self.broker.in_flight:
            self.flow()
            self.read(len(self.on_the_line))
            self.wait()
            self.commit()
            self.acknowledge(len(self.to_acknowledge))
            if self.is_deaf:
                self.cut()
