"""What a broker is asked for, and which of the messages that it then sends are copies of one. No I/O.

A broker may send a message once for each topic filter that it matches (MQTT 5.0, section 3.3.4; mosquitto does). Two
filters of a site may match it. And a session that outlives a change of the site file still holds the old filters, which
are then unknown here. So each filter has a number, the same in every run; the broker adds it to each message.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any
from zlib import crc32

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.mqtt.topics import ALL_LEVELS, ONE_LEVEL

# At least once.
QUALITY = 1
# A SUBSCRIBE of 100 topics of 100 characters is 10 KB: below every broker's limit for a packet.
FILTERS_PER_PACKET = 100

# The number of all filters without wildcards: no two of them match the same topic.
PLAIN = 1
# MQTT's four bytes of seven bits.
IDENTIFIER_MAX = 0xFFF_FFFF
# Copies come one right after the other; so many topics between them are more than ever are.
TOPICS_REMEMBERED_MAX = 1000


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter, and whether what the broker retained under it is wanted each time we connect (a state)."""

    filter: str
    is_state: bool = False
    # 0 = nothing is acknowledged, nothing is sent again.
    quality: int = QUALITY

    @property
    def options(self) -> SubscribeOptions:
        """What MQTT 5 is told."""
        # A state is wanted at each connect. What else the broker retained is news only once.
        return SubscribeOptions(qos=self.quality, retainHandling=0 if self.is_state else 1)

    @property
    def identifier(self) -> int:
        """The number that MQTT 5 adds to what comes under the filter."""
        if ONE_LEVEL not in self.filter and ALL_LEVELS not in self.filter:
            return PLAIN
        return PLAIN + 1 + crc32(self.filter.encode()) % (IDENTIFIER_MAX - PLAIN)


def packets(subscriptions: Iterable[Subscription]) -> Iterator[Sequence[Subscription]]:
    """Divide subscriptions among SUBSCRIBE packets, each of which can have one identifier."""
    by_identifier: dict[int, list[Subscription]] = {}
    for subscription in subscriptions:
        by_identifier.setdefault(subscription.identifier, []).append(subscription)
    for same in by_identifier.values():
        rest = iter(same)
        while part := list(islice(rest, FILTERS_PER_PACKET)):
            yield part


def identified(identifier: int) -> Properties:
    """Return the properties of a SUBSCRIBE packet."""
    properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
    properties.SubscriptionIdentifier = identifier
    return properties


def identifiers_of(properties: Any) -> tuple[int, ...]:
    """Return the numbers that came with a message; none before MQTT 5."""
    return tuple(getattr(properties, "SubscriptionIdentifier", ()))


class Copies:
    """Tells the copies of one message from equal messages, on one connection.

    Each message comes as often as filters match it, under other numbers. So of equal payloads in a row there were as
    many messages as came under the number that came most often.
    """

    def __init__(self) -> None:
        # Topic -> the newest payload, and how often in a row it came under which numbers.
        self._newest: OrderedDict[str, tuple[bytes, dict[tuple[int, ...], int]]] = OrderedDict()

    def is_copy(self, topic: str, payload: bytes, identifiers: tuple[int, ...]) -> bool:
        """Take in a message that arrived; whether it came before under another filter."""
        digest = blake2b(payload, digest_size=16).digest()
        newest, counts = self._newest.pop(topic, (digest, {}))
        if newest != digest:
            counts = {}
        messages = max(counts.values(), default=0)
        counts[identifiers] = counts.get(identifiers, 0) + 1
        self._newest[topic] = (digest, counts)
        if len(self._newest) > TOPICS_REMEMBERED_MAX:
            self._newest.popitem(last=False)
        return counts[identifiers] <= messages
