"""Receives what the devices behind one MQTT broker publish, and acknowledges what is on disk."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import structlog

from drivers.mqtt.broker import address
from drivers.mqtt.connecting import Versions, broker_of, open_session
from drivers.mqtt.device import DeviceMessages, Message, PayloadMalformed
from drivers.mqtt.inbox import Delivery, Inbox
from drivers.mqtt.newcomers import Newcomers
from drivers.mqtt.options import MqttConnectionOptions, MqttDeviceOptions
from drivers.mqtt.redelivery import Redeliveries
from drivers.mqtt.session import V5, Session
from drivers.mqtt.subscriptions import Subscription
from drivers.mqtt.topics import FilterTree, widest
from edge.domain.driver import (
    ConnectionLost,
    DecodingBroke,
    DeviceUnreachable,
    DriverContext,
    DriverError,
    MalformedResponse,
    SeenName,
)
from edge.domain.reading import Sample
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings

# The messages that one `receive` decodes: a few milliseconds, in which no other task runs.
BATCH_MAX = 64
# What MQTT 3.1.1 brokers send without an acknowledgement unless told otherwise (mosquitto, VerneMQ: 20; EMQX: 32).
WINDOW_OF_OLD = 20
# As much of a payload as a sentence for a person should hold.
PAYLOAD_SHOWN_MAX = 80

log = structlog.get_logger()


class MqttDriver:
    """A PushedDriver, WindowedDriver, RecallingDriver and GroupDriver for one broker.

    Each message is acknowledged when all its samples are accepted, in order of arrival, on the connection that brought
    it. A message without samples of ours waits only for its turn.
    """

    def __init__(self, connection: ConnectionSettings, context: DriverContext) -> None:
        assert isinstance(connection.options, MqttConnectionOptions)
        self._connection_id = connection.id
        self._options = connection.options
        self._context = context
        self._address = address(connection.options)
        self._versions = Versions(connection.options.protocol)
        self._version = self._versions.newest
        self._devices: dict[str, DeviceMessages] = {}
        self._by_topic = FilterTree[DeviceMessages]()
        self._states: set[str] = set()
        self._newcomers = Newcomers(connection, self._says_something)
        self._session: Session | None = None
        self._inbox: Inbox | None = None
        self._client_id = connection.options.client_id or f"greenhouse-edge-{context.gateway_id}-{connection.id}"
        self._redeliveries = Redeliveries(
            session=f"{self._address} {self._client_id}", window=connection.options.inflight_max
        )
        self._subscriptions: frozenset[Subscription] = frozenset()
        # Whether the broker has granted all of them.
        self._is_granted = False
        # Of the present connection: each message with a device that has still to decode it; messages of names that may
        # become devices; and what `receive` returns next.
        self._asks: deque[tuple[Delivery, DeviceMessages]] = deque()
        self._held: list[Delivery] = []
        self._news: deque[Sample | DriverError] = deque()
        for device in connection.devices:
            self._add(device)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect for the length of the context. Raises ConnectionLost, DriverMisconfigured for certificates."""
        inbox = Inbox(inflight_max=self._options.inflight_max, redeliveries=self._redeliveries)
        # Anew each time: certificates and passwords are renewed while we run.
        broker = await broker_of(
            self._options,
            self._context,
            client_id=self._client_id,
            session_expiry_s=self._options.session_expiry_s,
        )
        async with open_session(broker, self._versions, inbox) as session:
            self._session, self._inbox = session, inbox
            self._version = session.version
            self._newcomers.begin()
            self._subscriptions = self._still_subscribed(session)
            try:
                self._subscribe()
                await self._begin(inbox)
                yield
            finally:
                self._is_granted = inbox.is_granted
                self._session = self._inbox = None
                self._asks.clear()
                self._held.clear()
                self._news.clear()

    async def receive(self) -> Sequence[Sample]:
        """Wait for samples; an empty sequence when only new names of a group came, which `appeared` then returns.

        Raises ConnectionLost, DeviceUnreachable, MalformedResponse.
        """
        inbox = self._inbox
        if inbox is None:
            raise ConnectionLost("the connection is not open")
        self._newcomers.close_list()
        held, self._held = self._held, []
        for delivery in held:
            self._route(delivery)
        while True:
            # Messages that wait here must not keep other tasks from the loop.
            await asyncio.sleep(0)
            is_empty = self._look_through(inbox)
            if self._news or self._held:
                return self._next_news()
            if is_empty and inbox.end is not None:
                raise ConnectionLost(f"{self._address}: {inbox.end}")
            if is_empty:
                await inbox.wait()

    def accepted(self, samples: Sequence[Sample]) -> None:
        """Learn that these samples are on disk, and acknowledge the messages that are done."""
        if self._inbox is not None:
            self._inbox.accepted(samples)
            self._acknowledge(self._inbox)

    @property
    def window(self) -> int:
        """How many messages the broker sends before it waits for acknowledgements; may change with each `open`."""
        inflight_max = self._options.inflight_max
        return inflight_max if self._version is V5 else min(inflight_max, WINDOW_OF_OLD)

    def recall(self, deliveries: Iterable[bytes]) -> None:
        """Learn which deliveries of earlier runs are on disk, the oldest first."""
        self._redeliveries.recall(deliveries)

    def seen(self) -> Sequence[SeenName]:
        """List the names of groups that are no devices."""
        return self._newcomers.seen()

    def appeared(self) -> Sequence[tuple[DeviceGroup, str]]:
        """Return the names that may become devices; their messages wait for the next `receive`."""
        return self._newcomers.appeared()

    def adopt(self, device: DeviceSettings) -> None:
        """Take a device on."""
        self._newcomers.taken_on(device)
        self._add(device)
        if self._session is not None:
            self._subscribe()

    async def _begin(self, inbox: Inbox) -> None:
        timeout_s = self._options.connect_timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout_s):
                await inbox.begin()
        except TimeoutError as error:
            raise ConnectionLost(f"{self._address} did not answer to SUBSCRIBE within {timeout_s:g} s") from error

    def _add(self, device: DeviceSettings) -> None:
        assert isinstance(device.options, MqttDeviceOptions)
        messages = DeviceMessages(device, time_zone=self._context.time_zone)
        self._devices[device.id] = messages
        for topic_filter in messages.filters:
            self._by_topic.add(topic_filter, messages)
        self._states |= {device.options.resolved(item.topic) for item in device.options.availability}

    def _still_subscribed(self, session: Session) -> frozenset[Subscription]:
        """Return what a session that the broker has kept needs not be asked for again.

        In MQTT 3.1.1 all that is retained would come with the answer, at each connect; MQTT 5 can say what is wanted.
        """
        if session.version is V5 or not session.is_resumed or not self._is_granted:
            return frozenset()
        return frozenset(subscription for subscription in self._subscriptions if not subscription.is_state)

    def _subscribe(self) -> None:
        """Subscribe to every filter that the session lacks."""
        assert self._session is not None
        assert self._inbox is not None
        filters = [topic_filter for device in self._devices.values() for topic_filter in device.filters]
        wanted = dict.fromkeys([*widest([*filters, *self._newcomers.filters]), *sorted(self._states)])
        subscriptions = [Subscription(item, is_state=item in self._states) for item in wanted]
        self._inbox.asked()
        self._session.subscribe([item for item in subscriptions if item not in self._subscriptions])
        self._subscriptions |= frozenset(subscriptions)

    def _next_news(self) -> Sequence[Sample]:
        """Return the samples up to the next trouble; raise it if it is first."""
        samples: list[Sample] = []
        while self._news:
            item = self._news[0]
            if isinstance(item, Sample):
                samples.append(item)
            elif samples:
                break
            else:
                self._news.popleft()
                raise item
            self._news.popleft()
        return samples

    def _look_through(self, inbox: Inbox) -> bool:
        """Decode what came, up to a limit; return whether that was all."""
        while inbox.refusals:
            self._refused(*inbox.refusals.popleft())
        try:
            for _ in range(BATCH_MAX):
                if self._asks:
                    self._ask(*self._asks.popleft(), inbox)
                elif (delivery := inbox.next()) is not None:
                    self._route(delivery)
                else:
                    return True
        finally:
            self._acknowledge(inbox)
        return False

    def _route(self, delivery: Delivery) -> None:
        """Decide which devices decode a message."""
        devices = dict.fromkeys(self._by_topic.matching(delivery.message.topic))
        is_held = False
        try:
            if delivery.trouble:
                self._unreadable(delivery, devices)
            elif devices:
                delivery.owed += len(devices)
                self._asks.extend((delivery, device) for device in devices)
            elif self._newcomers.look(delivery.message):
                is_held = True
                self._held.append(delivery)
        finally:
            if not is_held:
                delivery.owed -= 1

    def _ask(self, delivery: Delivery, device: DeviceMessages, inbox: Inbox) -> None:
        """Let one device decode a message."""
        message = delivery.message
        try:
            is_there = device.availability(message)
            if is_there is None:
                samples = device.decode(message)
                inbox.owe(delivery, samples)
                self._news.extend(samples)
            elif not is_there:
                says = f"{message.topic} says {_shown(message.payload)}"
                self._news.append(DeviceUnreachable(says, device_id=device.device_id))
        except PayloadMalformed as error:
            says = f"{error} (topic {message.topic}, payload {_shown(message.payload)})"
            self._news.append(MalformedResponse(says, device_id=device.device_id))
        except Exception as error:
            # Only the driver knows the device of the message; only the owner task handles a bug. So it is named here.
            raise DecodingBroke(device.device_id) from error
        finally:
            delivery.owed -= 1

    def _unreadable(self, delivery: Delivery, devices: Iterable[DeviceMessages]) -> None:
        says = f"a message on topic {delivery.message.topic!r}: {delivery.trouble}"
        concerned = [MalformedResponse(says, device_id=device.device_id) for device in devices]
        self._news.extend(concerned or [MalformedResponse(says)])

    def _refused(self, topic_filter: str, reason: str) -> None:
        """Report all devices whose topics the broker refuses."""
        log.warning(
            "mqtt_subscription_refused", connection_id=self._connection_id, topic_filter=topic_filter, reason=reason
        )
        refused = FilterTree[bool]()
        refused.add(topic_filter, True)
        says = f"the broker refuses the topic {topic_filter}: {reason}"
        self._news.extend(
            DeviceUnreachable(says, device_id=device.device_id)
            for device in self._devices.values()
            if any(refused.matching(own) for own in device.filters)
        )

    def _acknowledge(self, inbox: Inbox) -> None:
        packet_ids = inbox.released()
        if self._session is not None and inbox.end is None:
            self._session.acknowledge(packet_ids)
            self._redeliveries.acknowledged(packet_ids)
            if not inbox.is_full:
                self._session.resume()

    def _says_something(self, device: DeviceSettings, message: Message) -> bool:
        """Whether a message gives a reading of this would-be device."""
        try:
            return bool(DeviceMessages(device, time_zone=self._context.time_zone).decode(message))
        except PayloadMalformed:
            return False


def _shown(payload: bytes) -> str:
    """Return a payload as a person can read it."""
    shown = payload[:PAYLOAD_SHOWN_MAX].decode(errors="backslashreplace")
    return f"{shown!r}…" if len(payload) > PAYLOAD_SHOWN_MAX else repr(shown)
