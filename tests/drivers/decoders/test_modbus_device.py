import pytest

from drivers.decoders.modbus_device import DeviceCodec, ReadBlock, decode_block
from drivers.decoders.modbus_options import ModbusPointOptions, StatusRule
from edge.domain.reading import Reading, Reason, bad
from fakes.modbus_points import modbus_device

FAULT = bad(Reason.SENSOR_FAULT, None)
UNREAD = bad(Reason.COMM_ERROR, None)
S8 = modbus_device(
    co2=ModbusPointOptions(table="input", address=3, type="uint16"),
    status=ModbusPointOptions(
        table="input", address=0, type="uint16", bad_when_bits=StatusRule(mask=0x7F, points=("co2",))
    ),
)
TANK = modbus_device(
    level=ModbusPointOptions(table="holding", address=4, type="int16", decimals_address=3),
    total=ModbusPointOptions(table="holding", address=6, type="uint32", word_order="CDAB"),
    pump=ModbusPointOptions(table="coil", address=4, type="bool"),
)


def value(number: float) -> Reading:
    return Reading(value=number, unit=None)


def inputs(address: int, *values: int) -> ReadBlock:
    return ReadBlock(table="input", address=address, values=values)


def holdings(address: int, *values: int) -> ReadBlock:
    return ReadBlock(table="holding", address=address, values=values)


def test_a_block_gives_the_points_that_lie_in_it() -> None:
    assert decode_block(TANK, "holding", 2, [9, 1, 153, 0, 0x0002, 0x0001]) == {
        "level": value(15.3),
        "total": value(65538.0),
    }
    assert decode_block(TANK, "coil", 0, [False, False, False, False, True]) == {"pump": Reading(value=True, unit=None)}
    assert decode_block(TANK, "input", 4, [1, 2, 3, 4]) == {}


def test_half_a_value_is_none() -> None:
    assert decode_block(TANK, "holding", 6, [1]) == {}
    assert decode_block(TANK, "holding", 7, [1, 2, 3]) == {}


def test_a_frame_by_itself_is_judged_by_what_is_in_it() -> None:
    assert decode_block(S8, "input", 3, [412]) == {"co2": value(412.0)}
    assert decode_block(S8, "input", 0, [0x20, 0, 0, 412]) == {"co2": FAULT, "status": value(32.0)}
    # One count of the probe is 1 mm; the decimals register was not asked for.
    assert decode_block(TANK, "holding", 4, [153]) == {"level": value(153.0)}


def test_a_poll_gives_every_point_in_the_profiles_order() -> None:
    readings = DeviceCodec(TANK).polled([holdings(3, 1, 153), holdings(6, 0, 1)])
    assert list(readings.items()) == [("level", value(15.3)), ("total", value(65536.0)), ("pump", UNREAD)]


def test_what_a_poll_missed_takes_along_what_needs_it() -> None:
    assert DeviceCodec(S8).polled([inputs(3, 412)]) == {"co2": UNREAD, "status": UNREAD}
    assert DeviceCodec(TANK).polled([holdings(4, 153)], without=["pump", "total"]) == {"level": UNREAD}


def test_a_status_in_another_block_counts() -> None:
    assert DeviceCodec(S8).polled([inputs(3, 412), inputs(0, 1)])["co2"] == FAULT
    assert DeviceCodec(S8).polled([inputs(3, 412), inputs(0, 0)])["co2"] == value(412.0)


def test_a_device_without_a_status_register_is_believed() -> None:
    assert DeviceCodec(S8).polled([inputs(3, 412)], without=["status"]) == {"co2": value(412.0)}


def test_a_status_that_is_not_available_is_not_known() -> None:
    rule = StatusRule(mask=0x7F, points=("co2",))
    device = modbus_device(
        co2=ModbusPointOptions(table="input", address=3, type="uint16"),
        status=ModbusPointOptions(table="input", address=0, type="uint16", invalid_raw=(0xFFFF,), bad_when_bits=rule),
    )
    assert DeviceCodec(device).polled([inputs(0, 0xFFFF, 0, 0, 412)]) == {"co2": UNREAD, "status": FAULT}


def test_a_discrete_input_may_be_a_status() -> None:
    rule = StatusRule(mask=1, points=("co2",), reason="under_maintenance")
    device = modbus_device(
        co2=ModbusPointOptions(table="input", address=3, type="uint16"),
        service=ModbusPointOptions(table="discrete", address=0, type="bool", bad_when_bits=rule),
    )
    blocks = [inputs(3, 412), ReadBlock(table="discrete", address=0, values=[True])]
    assert DeviceCodec(device).polled(blocks)["co2"].reason is Reason.UNDER_MAINTENANCE


def test_registers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="register"):
        decode_block(S8, "input", 3, [70_000])
