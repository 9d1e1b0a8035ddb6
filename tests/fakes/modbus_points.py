"""Codecs of single Modbus points, made without a site file."""

from drivers.decoders.modbus_point import ModbusPointOptions, PointCodec
from edge.domain.quantity import IDENTITY, Conversion
from edge.domain.settings import DeviceSettings, PointSettings


def modbus_point(
    options: ModbusPointOptions,
    *,
    point_id: str = "value",
    unit: str | None = None,
    conversion: Conversion = IDENTITY,
) -> PointSettings:
    assert options.mistakes() == []
    return PointSettings(
        id=point_id, quantity=None, type=options.value_type, unit=unit, conversion=conversion, options=options
    )


def codec(options: ModbusPointOptions, *, unit: str | None = None, conversion: Conversion = IDENTITY) -> PointCodec:
    return PointCodec(modbus_point(options, unit=unit, conversion=conversion))


def modbus_device(**options: ModbusPointOptions) -> DeviceSettings:
    """A device of these points."""
    points = tuple(modbus_point(each, point_id=point_id) for point_id, each in options.items())
    return DeviceSettings(id="probe", points=points, poll_interval_s=1.0, max_silence_s=60.0, options=None)
