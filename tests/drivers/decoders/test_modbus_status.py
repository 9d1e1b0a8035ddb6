import pytest

from drivers.decoders.modbus_options import ModbusPointOptions, StatusRule
from drivers.decoders.modbus_status import judged, status_mistakes
from edge.domain.reading import Quality, Reading, Reason, bad
from fakes.modbus_points import modbus_device

CO2 = Reading(value=412.0, unit="[ppm]")
STATUS = Reading(value=0.0, unit=None)
RULES = {
    "status": (
        StatusRule(mask=0x80, points=("co2",), reason="out_of_range"),
        StatusRule(mask=0x7F, points=("co2",), reason="sensor_fault"),
    ),
    "start": (StatusRule(mask=0x100, points=("co2", "temperature"), reason="warming_up"),),
}


@pytest.mark.parametrize("bits", [0, 0x100, 0xFF00])
def test_bits_of_no_rule_say_nothing(bits: int) -> None:
    assert judged({"co2": CO2}, {"status": bits}, RULES) == {"co2": CO2}


def test_a_fault_leaves_no_value() -> None:
    assert judged({"co2": CO2}, {"status": 0x04}, RULES) == {"co2": bad(Reason.SENSOR_FAULT, "[ppm]")}


def test_a_doubt_keeps_the_value() -> None:
    doubted = Reading(value=412.0, unit="[ppm]", quality=Quality.UNCERTAIN, reason=Reason.OUT_OF_RANGE)
    assert judged({"co2": CO2}, {"status": 0x80}, RULES) == {"co2": doubted}


def test_bad_beats_uncertain_and_the_first_bad_gives_the_reason() -> None:
    assert judged({"co2": CO2}, {"status": 0x81}, RULES)["co2"].reason is Reason.SENSOR_FAULT
    assert judged({"co2": CO2}, {"status": 0x80, "start": 0x100}, RULES)["co2"].reason is Reason.WARMING_UP
    assert judged({"co2": CO2}, {"start": 0x100, "status": 0x01}, RULES)["co2"].reason is Reason.SENSOR_FAULT


def test_a_bad_reading_keeps_its_reason() -> None:
    reading = bad(Reason.COMM_ERROR, "[ppm]")
    assert judged({"co2": reading}, {"status": 0x01}, RULES) == {"co2": reading}


def test_a_status_that_was_not_heard_takes_its_points_along() -> None:
    assert judged({"co2": CO2, "status": STATUS}, {"status": None}, RULES) == {
        "co2": bad(Reason.COMM_ERROR, "[ppm]"),
        "status": STATUS,
    }


def test_a_status_that_the_device_does_not_have_says_nothing() -> None:
    assert judged({"co2": CO2}, {}, RULES) == {"co2": CO2}


def test_a_rule_about_a_point_that_is_not_there_is_a_mistake() -> None:
    status = StatusRule(mask=1, points=("co2", "coo2", "status"))
    device = modbus_device(
        co2=ModbusPointOptions(table="input", address=3, type="uint16"),
        status=ModbusPointOptions(table="input", address=0, type="uint16", bad_when_bits=status),
    )
    assert list(status_mistakes(device)) == [
        "bad_when_bits of point status names 'coo2', which the device does not have",
        "bad_when_bits of point status names the point itself",
    ]
