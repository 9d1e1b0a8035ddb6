"""One MQTT connection, from CONNECT to its loss: paho's packets on our link.

What paho 2 does by itself and what is done about it:
- `connect` blocks on DNS, TCP and TLS: it is given a link that is connected already (`_create_socket`);
- its keep-alive calls the broker dead when we pause before we read the answer to a ping: pings are the link's;
- after a refusal it may connect again by itself: `reconnect_on_failure=False`, the collector owns back-off;
- a topic that is no UTF-8 raises where it is read: it is read in one place.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from drivers.mqtt.device import Message
from drivers.mqtt.link import Link
from drivers.mqtt.packets import LongMessage
from drivers.mqtt.subscriptions import QUALITY, Copies, Subscription, identified, identifiers_of, packets

V5 = MQTTProtocolVersion.MQTTv5
V311 = MQTTProtocolVersion.MQTTv311

# How often the session checks whether a ping is due.
TICK_S = 1.0
# MQTT lets a broker call a client dead after so many keep-alives of silence (5.0, section 3.1.2.10); so do we.
KEEP_ALIVES_MAX = 1.5

# A reason code of MQTT 5 (section 2.4).
SESSION_TAKEN_OVER = 0x8E


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a client tells the broker when it connects."""

    client_id: str
    user_and_password: tuple[str, str] | None
    keep_alive_s: int
    # How long the broker keeps our session while we are away; 0 = a fresh one that ends with the connection.
    session_expiry_s: int
    inflight_max: int


class Listener(Protocol):
    """The receiver of what a session brings."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read for now."""

    def connected(self, *, is_resumed: bool) -> None:
        """Learn that the broker accepts us, before anything else comes, and whether it still had our session."""

    def arrived(self, message: Message, packet_id: int) -> None:
        """Take a message; packet id 0: nothing is to be acknowledged."""

    def copied(self, message: Message, packet_id: int) -> None:
        """Learn of another copy of what came under another topic filter; it is only to be acknowledged in its turn."""

    def unreadable(self, message: Message, trouble: str, packet_id: int) -> None:
        """Learn of a message that could not be taken; its payload, and maybe its topic, are left out."""

    def subscribed(self) -> None:
        """Learn that the broker has answered all that it was asked for."""

    def refused(self, topic_filter: str, reason: str) -> None:
        """Learn that the broker gives nothing under a filter."""

    def lost(self, reason: str) -> None:
        """Learn, once, that the session is over."""


class Unanswered(ConnectionError):  # noqa: N818 - what happened
    """The connection ended before the broker had said whether it accepts us."""


class _Client(Client):
    """paho's client on a link that is connected already."""

    def __init__(self, link: Link, terms: Terms, version: MQTTProtocolVersion) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=terms.client_id,
            clean_session=None if version is V5 else terms.session_expiry_s == 0,
            protocol=version,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._link = link

    def _create_socket(self) -> Link:
        return self._link


class Session:
    """MQTT on one connection. Its listener is told everything that happens until the session is closed."""

    def __init__(self, terms: Terms, version: MQTTProtocolVersion, listener: Listener) -> None:
        self.version = version
        # Whether the broker still had our session, with its subscriptions.
        self.is_resumed = False
        self._terms = terms
        self._listener: Listener | None = listener
        self.link = Link(on_packet=self._read_packet, on_long_message=self._long_message, on_lost=self._lost)
        self._client = _Client(self.link, terms, version)
        # The broker's answer to CONNECT: None = accepted.
        self._answer: asyncio.Future[ReasonCode | None] = asyncio.get_running_loop().create_future()
        # Whether the broker knows which topic filter a message came under.
        self._has_identifiers = True
        self._copies = Copies()
        self._asked: dict[int | None, Sequence[Subscription]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._pinged_s = 0.0

    async def introduce(self) -> ReasonCode | None:
        """Send CONNECT on a connected link; return why the broker refuses us, None if it does not.

        Raises Unanswered when the connection ends instead.
        """
        client = self._client
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._arrived
        client.on_subscribe = self._subscribed
        client.on_socket_register_write = self._register_write
        if self._terms.user_and_password is not None:
            client.username_pw_set(*self._terms.user_and_password)
        # paho wants a host and never uses it: the link is there.
        client.connect("broker", keepalive=self._terms.keep_alive_s, **self._properties())
        answer = await self._answer
        if answer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        return answer

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Ask for what comes under these filters. Messages may come before the answers to it."""
        is_new = self.version is V5
        for part in packets(subscriptions):
            asked: Any = [(item.filter, item.options if is_new else item.quality) for item in part]
            properties = identified(part[0].identifier) if is_new and self._has_identifiers else None
            _, packet_id = self._client.subscribe(asked, properties=properties)
            self._asked[packet_id] = part
        self._tell_if_subscribed()

    def acknowledge(self, packet_ids: Iterable[int]) -> None:
        """Tell the broker that it may forget these messages, in this order."""
        for packet_id in packet_ids:
            self._client.ack(packet_id, QUALITY)

    def resume(self) -> None:
        """Read on after the listener was full."""
        self.link.resume()

    async def close(self) -> None:
        """Say good-bye; the broker keeps the session as long as agreed."""
        self._listener = None
        if self._timer is not None:
            self._timer.cancel()
        # paho tells of a good-bye as of a loss.
        self._client.on_disconnect = None
        self._client.disconnect()
        self._write()
        self.link.close()
        await self.link.wait_closed()

    def _properties(self) -> dict[str, Any]:
        if self.version is not V5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._terms.session_expiry_s
        properties.ReceiveMaximum = self._terms.inflight_max
        return {"clean_start": self._terms.session_expiry_s == 0, "properties": properties}

    # What the link calls.

    def _read_packet(self) -> None:
        self._client.loop_read()
        if self._listener is not None and self._listener.is_full:
            self.link.pause()

    def _long_message(self, message: LongMessage) -> None:
        if self._listener is not None:
            trouble = f"its {message.length} bytes are more than a device sends, and were passed over"
            self._listener.unreadable(_arrival(message.topic), trouble, message.packet_id)

    def _lost(self, reason: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(Unanswered(reason or "it closed the connection"))
        if self._timer is not None:
            self._timer.cancel()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.lost(
                reason
                or "the broker closed the connection and gave no reason; it does that when it stops, and when another "
                f"client connects with our client_id {self._terms.client_id!r}"
            )

    def _tick(self) -> None:
        """Ping a broker that may think us dead or be dead itself; give up one that is."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        # The broker may have asked for another one than ours.
        keep_alive_s = self._client.keepalive or self._terms.keep_alive_s
        silent_s = 0.0 if self.link.is_paused else now_s - self.link.last_received_s
        if silent_s >= keep_alive_s * KEEP_ALIVES_MAX:
            self._lost(f"the broker has said nothing for {silent_s:.0f} s")
            self.link.abort()
            return
        quiet_s = max(silent_s, now_s - self.link.last_sent_s)
        if quiet_s >= keep_alive_s / 2 and now_s - self._pinged_s >= keep_alive_s / 2:
            self._pinged_s = now_s
            self.link.ping()
        self._timer = loop.call_later(TICK_S, self._tick)

    # What paho calls.

    def _connected(self, _client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, told: object) -> None:
        if not self._answer.done():
            self._has_identifiers = getattr(told, "SubscriptionIdentifierAvailable", 1) != 0
            self.is_resumed = flags.session_present
            if not reason.is_failure and self._listener is not None:
                self._listener.connected(is_resumed=flags.session_present)
            self._answer.set_result(reason if reason.is_failure else None)

    def _disconnected(
        self, _client: Client, _data: object, flags: DisconnectFlags, reason: ReasonCode, _: object
    ) -> None:
        if not flags.is_disconnect_packet_from_server:
            self._lost(f"what the broker sent breaks the rules of MQTT ({reason})")
        elif reason.value == SESSION_TAKEN_OVER:
            self._lost(
                f"another client with the client_id {self._terms.client_id!r} connected and took our place; "
                "each gateway needs its own"
            )
        else:
            self._lost(f"the broker closed the connection: {reason}")
        self.link.abort()

    def _arrived(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if self._listener is None:
            return
        try:
            arrival = _arrival(message.topic, message)
        except UnicodeDecodeError:
            self._listener.unreadable(_arrival(""), "its topic is no UTF-8", message.mid)
            return
        identifiers = identifiers_of(message.properties)
        if identifiers and self._copies.is_copy(arrival.topic, arrival.payload, identifiers):
            self._listener.copied(arrival, message.mid)
        else:
            self._listener.arrived(arrival, message.mid)

    def _subscribed(
        self, _client: Client, _data: object, packet_id: int, reasons: Sequence[ReasonCode], _: object
    ) -> None:
        asked = self._asked.pop(packet_id, ())
        for subscription, reason in zip(asked, reasons, strict=False):
            if reason.is_failure and self._listener is not None:
                self._listener.refused(subscription.filter, str(reason))
        self._tell_if_subscribed()

    def _tell_if_subscribed(self) -> None:
        if not self._asked and self._listener is not None:
            self._listener.subscribed()

    def _register_write(self, *_: object) -> None:
        asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        """Send what paho has written: many acknowledgements in one piece."""
        self._client.loop_write()
        self.link.flush()


def _arrival(topic: str, message: MQTTMessage | None = None) -> Message:
    received_at_ms = time.time_ns() // 1_000_000
    if message is None:
        return Message(topic=topic, payload=b"", received_at_ms=received_at_ms)
    return Message(
        topic=topic,
        payload=bytes(message.payload),
        is_retained=message.retain,
        is_repeated=message.dup,
        received_at_ms=received_at_ms,
    )
