"""SensorReadingReceived as it is drafted. The gateway's hottest path: what does not change is text made in advance.

The texts are put together by hand, in the key order of DESIGN section 6; a test holds them equal to the JSON encoder's.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from uuid import UUID

from edge.domain.author import Author, Reference, encode_json
from edge.domain.clock import ClockState, rfc3339
from edge.domain.configuration import EffectiveConfiguration
from edge.domain.event import Draft, EventType, Numbers
from edge.domain.reading import Origin, Quality, Reading
from edge.domain.settings import DeviceSettings

_DEVICE_TIME = '","timeSource":"device'
_SYNCHRONIZED = f'","clock":"{ClockState.SYNCHRONIZED.value}","origin":"'


class SampleTemplate:
    """What all samples of one device under one configuration have in common."""

    def __init__(self, author: Author, device: DeviceSettings, configuration: EffectiveConfiguration) -> None:
        self._device_id = device.id
        self._clock = author.clock
        self._new_id = author.new_id
        self._stream = author.stream(author.streams.sensor_readings, device.id)
        # The configuration that the sample was decoded with, not the one in force when the writer comes to it.
        self._metadata = author.metadata(Reference.to(configuration))
        identity = {"siteId": author.site_id, "gatewayId": author.gateway_id, "deviceId": device.id}
        self._head = encode_json(identity)[:-1] + ',"measuredAt":"'
        published = [point for point in device.points if point.publish]
        self._values = {point.id: f'{encode_json(point.id)}:{{"value":' for point in published}
        self._good = {point.id: _quality_text(point.unit, Quality.GOOD, None) for point in published}

    def draft(
        self,
        readings: Mapping[str, Reading],
        *,
        measured_at_ms: int,
        origin: Origin,
        is_device_time: bool = False,
        repeat_of: UUID | None = None,
        source_key: bytes = b"",
        delivery: bytes = b"",
        on_accepted: Callable[[], None] | None = None,
    ) -> Draft | None:
        """Draft the event of a sample; None if it has nothing that is published.

        Raises ValueError or OverflowError for a time that no calendar knows or a text that UTF-8 cannot hold.
        """
        parts = []
        for point_id, reading in readings.items():
            value_text = self._values.get(point_id)
            if value_text is not None:
                parts.append(value_text + _value_text(reading.value) + self._tail(point_id, reading))
        if not parts:
            return None
        said = str(origin) if repeat_of is None else f'{origin}","repeatOf":"{repeat_of}'
        source = _DEVICE_TIME if is_device_time else ""
        before = f"{self._head}{_time_text(measured_at_ms)}{source}{self._clock_text()}{said}"
        return Draft(
            stream=self._stream,
            event_id=self._new_id(),
            type=EventType.SENSOR_READING_RECEIVED,
            # Bytes now: what cannot be encoded must be refused here, not stop the writer later.
            encode=partial(_encode, before.encode(), ",".join(parts).encode(), self._metadata),
            device_id=self._device_id,
            source_key=source_key,
            delivery=delivery,
            on_accepted=on_accepted,
        )

    def _tail(self, point_id: str, reading: Reading) -> str:
        if reading.quality is Quality.GOOD:
            return self._good[point_id]
        return _quality_text(reading.unit, reading.quality, reading.reason)

    def _clock_text(self) -> str:
        state = self._clock.state()
        if state is ClockState.SYNCHRONIZED:
            return _SYNCHRONIZED
        return f'","clock":"{state}","uptimeMs":{self._clock.uptime_ms()},"origin":"'


def _quality_text(unit: str | None, quality: str, reason: str | None) -> str:
    fields = {"unit": unit, "quality": quality, **({} if reason is None else {"reason": reason})}
    return "," + encode_json(fields)[1:]


def _value_text(value: object) -> str:
    if type(value) is float or type(value) is int:
        return repr(value)
    if value is None:
        return "null"
    assert isinstance(value, bool | int | float | str)
    return encode_json(value)


def _time_text(unix_ms: int) -> str:
    return f"{_second_text(unix_ms // 1000)}{unix_ms % 1000:03d}Z"


# Samples of one second share all but the milliseconds; a few devices may send their own, older times.
@lru_cache(maxsize=64)
def _second_text(unix_s: int) -> str:
    return rfc3339(unix_s * 1000)[:-4]


def _encode(before: bytes, readings: bytes, metadata: str, numbers: Numbers) -> tuple[bytes, bytes]:
    """Add what only the writer knows; called as often as it likes."""
    assert numbers.sequence is not None, "the writer numbers telemetry"
    data = b'%b","sequence":%d%b,"readings":{%b}}' % (before, numbers.sequence, _previous(numbers.previous), readings)
    return data, f"{metadata}{numbers.position}}}".encode()


def _previous(previous: tuple[UUID, int] | None) -> bytes:
    if previous is None:
        return b""
    run, sequence = previous
    return f',"previous":{{"run":"{run}","sequence":{sequence}}}'.encode()
