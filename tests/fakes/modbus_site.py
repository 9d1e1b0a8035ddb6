"""Settings of Modbus connections, made without a site file."""

from drivers.decoders.modbus_point import ModbusPointOptions, PointType, StatusRule, Table
from drivers.decoders.registers import WordOrder
from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
from edge.domain.quantity import IDENTITY, Conversion
from edge.domain.settings import ConnectionSettings, DeviceSettings, PointSettings


def point(
    point_id: str,
    address: int = 0,
    *,
    table: Table = "holding",
    type: PointType = "uint16",  # noqa: A002 - the profile's key
    word_order: WordOrder = "ABCD",
    scale: float = 1.0,
    raw_offset: float = 0.0,
    invalid_raw: tuple[int, ...] = (),
    unsupported_raw: tuple[int, ...] = (),
    bad_when_bits: StatusRule | tuple[StatusRule, ...] = (),
    decimals_address: int | None = None,
    own_request: bool = False,
    unit: str | None = "Cel",
    quantity: str | None = None,
    conversion: Conversion = IDENTITY,
) -> PointSettings:
    options = ModbusPointOptions(
        table=table,
        address=address,
        type=type,
        word_order=word_order,
        scale=scale,
        raw_offset=raw_offset,
        invalid_raw=invalid_raw,
        unsupported_raw=unsupported_raw,
        bad_when_bits=bad_when_bits,
        decimals_address=decimals_address,
        own_request=own_request,
    )
    assert not options.mistakes()
    return PointSettings(
        id=point_id, quantity=quantity, type=options.value_type, unit=unit, conversion=conversion, options=options
    )


def device(device_id: str, *points: PointSettings, options: ModbusDeviceOptions | None = None) -> DeviceSettings:
    return DeviceSettings(
        id=device_id,
        points=points,
        poll_interval_s=1.0,
        max_silence_s=60.0,
        options=options or ModbusDeviceOptions(),
    )


def on_line(options: ModbusConnectionOptions, *devices: DeviceSettings) -> ConnectionSettings:
    return ConnectionSettings(id="wire", driver="modbus", options=options, devices=devices)


def connection(
    port: int, *devices: DeviceSettings, response_timeout_ms: int = 100, request_gap_ms: int = 0, quiet_ms: int = 0
) -> ConnectionSettings:
    options = ModbusConnectionOptions(
        host="127.0.0.1",
        tcp_port=port,
        response_timeout_ms=response_timeout_ms,
        request_gap_ms=request_gap_ms,
        quiet_ms=quiet_ms,
    )
    return on_line(options, *devices)
