"""From the bytes of a message to its contents, one for each moment of measuring. No I/O."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from drivers.decoders.envelopes import ENVELOPES, Opened, open_envelope
from drivers.decoders.json_path import MISSING, parse_path
from drivers.decoders.milesight import milesight_records
from drivers.decoders.payload import JsonValue, PayloadMalformed, check_length, json_in, text_in
from drivers.decoders.payload_time import STORED_PAST_MAX_S, TimeField, Window, time_ms, zone_of
from drivers.decoders.sensecap import sensecap_fields
from drivers.mqtt.options import BYTES_PAYLOADS, MqttDeviceOptions
from edge.domain.reading import Redelivery

_NO_UNITS: Mapping[str, str] = MappingProxyType({})


class Message(NamedTuple):
    """One MQTT message. A named tuple, because each is made twice: as it arrives, and with its delivery."""

    topic: str
    payload: bytes
    # Milliseconds since 1970.
    received_at_ms: int
    # Sent by the broker because we subscribed, not by the device just now.
    is_retained: bool = False
    # DUP: the broker has sent it before, without an acknowledgement.
    is_repeated: bool = False
    # What the inbox makes of that: the name of its delivery, and which earlier one it may be.
    delivery: bytes = b""
    redelivery: Redelivery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a message says of one moment."""

    # Where the points' paths lead into.
    body: JsonValue
    # The payload's own time; None if it has none, or one that cannot be.
    measured_at_ms: int | None = None
    # Stored by the device, and sent later.
    is_history: bool = False
    # Canonical unit -> the unit that the device was set to.
    units: Mapping[str, str] = field(default_factory=lambda: _NO_UNITS)
    # The identity of the measurement, where the message or the record has one.
    identity: bytes | None = None


class PayloadReader:
    """Opens the messages of one device, as its envelope and payload want it."""

    def __init__(self, options: MqttDeviceOptions, *, time_zone: str) -> None:
        self._options = options
        envelope = ENVELOPES[options.envelope]
        time = options.time
        self._times: tuple[TimeField, ...] = envelope.times
        if time is not None:
            self._times = (TimeField(path=parse_path(time.path), format=time.format),) if time.path else ()
        self._zone = zone_of((time and time.time_zone) or time_zone)
        self._window = Window() if time is None else Window(past_max_s=time.past_max_s, future_max_s=time.future_max_s)
        stored_s = max(STORED_PAST_MAX_S, self._window.past_max_s)
        self._stored_window = replace(self._window, past_max_s=stored_s)
        own = tuple(parse_path(path) for path in options.identity)
        self._identity = own or envelope.identity
        self._has_frames = options.payload in BYTES_PAYLOADS

    def parts(self, message: Message) -> Iterable[Part]:
        """Return what a message says, in its order; nothing for one that says nothing. Raises PayloadMalformed."""
        options = self._options
        if options.payload == "text":
            return (Part(body=text_in(message.payload)),)
        if self._has_frames and options.envelope == "none":
            check_length(message.payload)
            return self.frame_parts(message.payload, received_at_ms=message.received_at_ms)
        opened = open_envelope(options.envelope, json_in(message.payload), message.topic.rpartition("/")[2])
        return () if opened is None else self._opened_parts(opened, message)

    def frame_parts(
        self, frame: bytes, *, received_at_ms: int, measured_at_ms: int | None = None, identity: bytes | None = None
    ) -> Iterator[Part]:
        """Return the contents of a device's own bytes; the envelope around them gave the last two arguments."""
        model = self._options.model
        if not self._has_frames:
            raise PayloadMalformed(f'the device sends payload "{self._options.payload}", not bytes of a radio')
        if model is None:
            body = sensecap_fields(frame)
            yield Part(body=body, measured_at_ms=measured_at_ms, identity=identity)
            return
        for record in milesight_records(frame, model):
            body = dict(record.fields)
            if record.stored_at_s is None:
                yield Part(body=body, measured_at_ms=measured_at_ms, identity=identity)
                continue
            at_ms = record.stored_at_s * 1000
            is_possible = self._stored_window.holds(at_ms, received_at_ms)
            yield Part(
                body=body,
                measured_at_ms=at_ms if is_possible else None,
                is_history=True,
                # The device sends a stored record again, in another uplink, until it hears that one has arrived.
                identity=record.data if is_possible else identity,
            )

    def _opened_parts(self, opened: Opened, message: Message) -> Iterable[Part]:
        window = self._stored_window if message.is_retained else self._window
        measured_at_ms = self._measured_at_ms(opened.head, message.received_at_ms, window)
        identity = self._identity_in(opened.head)
        if self._has_frames:
            if opened.frame is None:
                return ()
            return self.frame_parts(
                opened.frame,
                received_at_ms=message.received_at_ms,
                measured_at_ms=measured_at_ms,
                identity=identity,
            )
        if opened.body is None:
            if opened.frame:
                raise PayloadMalformed(
                    "the uplink has bytes only: give the network server a payload formatter for this device,"
                    ' or decode here, with payload = "milesight-tlv" or "sensecap"'
                )
            return ()
        part = Part(body=opened.body, measured_at_ms=measured_at_ms, units=opened.units, identity=identity)
        return (part,)

    def _measured_at_ms(self, head: JsonValue, received_at_ms: int, window: Window) -> int | None:
        for item in self._times:
            at_ms = time_ms(item.path.find(head), item.format, self._zone, received_at_ms)
            if at_ms is not None and window.holds(at_ms, received_at_ms):
                return at_ms
        return None

    def _identity_in(self, head: JsonValue) -> bytes | None:
        if not self._identity:
            return None
        values = [path.find(head) for path in self._identity]
        if values[0] is MISSING or values[0] is None:
            return None
        return json.dumps([None if value is MISSING else value for value in values], sort_keys=True).encode()
