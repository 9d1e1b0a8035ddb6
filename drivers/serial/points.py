"""From the fields of a device's frames to its readings."""

from collections.abc import Iterator, Mapping

import structlog

from drivers.decoders.dialogue import Fields
from drivers.decoders.frame import Field
from drivers.decoders.values import ValueCodec
from drivers.serial.options import SerialPointOptions
from edge.domain.reading import Reading, Reason, bad
from edge.domain.settings import DeviceSettings, PointSettings

log = structlog.get_logger()


def field_of(point: PointSettings) -> str:
    """Return the name of the field that a point is."""
    assert isinstance(point.options, SerialPointOptions)
    return point.id if point.options.field == "" else str(point.options.field)


class DevicePoints:
    """A device's points, prepared once."""

    def __init__(self, device: DeviceSettings) -> None:
        self._device_id = device.id
        self._points = {point.id: (field_of(point), ValueCodec(point), point.unit) for point in device.points}
        self._doubted: set[str] = set()

    @property
    def wanted(self) -> frozenset[str]:
        """The fields that are points."""
        return frozenset(name for name, _codec, _unit in self._points.values())

    def readings(self, fields: Fields, reason: Reason | None = None) -> Mapping[str, Reading]:
        """Make a reading of each point; a field that did not come is bad, `comm_error`.

        `reason` speaks against all values, but what the frame itself says against one goes first.
        """
        return dict(self._readings(fields, reason))

    def _readings(self, fields: Fields, reason: Reason | None) -> Iterator[tuple[str, Reading]]:
        for point_id, (name, codec, unit) in self._points.items():
            field = fields.get(name)
            if field is None:
                yield point_id, bad(Reason.COMM_ERROR, unit)
                continue
            self._doubt_unit(point_id, field, codec)
            yield point_id, codec.reading(field.value, unit=field.unit, reason=field.reason or reason)

    def _doubt_unit(self, point_id: str, field: Field, codec: ValueCodec) -> None:
        """Log once that the device sends another quantity: it was set so, or the profile is wrong."""
        if field.unit is None or point_id in self._doubted or codec.converts(field.unit):
            return
        self._doubted.add(point_id)
        log.warning("serial_unit_not_convertible", device_id=self._device_id, point=point_id, unit=field.unit)
