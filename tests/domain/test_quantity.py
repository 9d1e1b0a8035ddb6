import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.identifier import is_identifier
from edge.domain.quantity import _CONVERSIONS, QUANTITIES, Conversion, conversion, quantity_of, units_for


def test_the_catalogue_is_sound() -> None:
    units = {quantity.unit for quantity in QUANTITIES.values()}
    for name, quantity in QUANTITIES.items():
        assert quantity.id == name
        assert is_identifier(name)
        assert quantity.low < quantity.high
    assert {canonical for _, canonical in _CONVERSIONS} <= units
    assert not [pair for pair in _CONVERSIONS if pair[0] == pair[1]]


@pytest.mark.parametrize(
    ("unit", "canonical", "value", "expected"),
    [
        ("[degF]", "Cel", 212, 100),
        ("[degF]", "Cel", -40, -40),
        ("K", "Cel", 273.15, 0),
        ("uS/cm", "mS/cm", 1500, 1.5),
        ("S/m", "mS/cm", 0.15, 1.5),
        ("m3/m3", "%", 0.455, 45.5),
        ("bar", "hPa", 1.013, 1013),
        ("km/h", "m/s", 36, 10),
        ("[kn_i]", "m/s", 10, 5.144444),
        ("m3/h", "L/min", 6, 100),
        ("cm", "mm", 12.5, 125),
        ("Cel", "Cel", 21.4, 21.4),
    ],
)
def test_units_convert_as_physics_says(unit: str, canonical: str, value: float, expected: float) -> None:
    way = conversion(unit, canonical)
    assert way is not None
    assert way.apply(value) == pytest.approx(expected)


@given(st.sampled_from(sorted(_CONVERSIONS)), st.floats(-1e6, 1e6))
def test_writing_is_the_inverse_of_reading(pair: tuple[str, str], value: float) -> None:
    way = _CONVERSIONS[pair]
    assert way.invert(way.apply(value)) == pytest.approx(value, rel=1e-9, abs=1e-6)


def test_there_is_no_way_from_metres_to_degrees() -> None:
    assert conversion("m", "Cel") is None
    assert units_for("Cel") == ("Cel", "[degF]", "K")
    assert Conversion().apply(3) == 3


def test_a_point_is_its_quantity_or_the_quantity_with_a_suffix() -> None:
    assert quantity_of("air_temperature") is QUANTITIES["air_temperature"]
    assert quantity_of("pipe_temperature_supply_2") is QUANTITIES["pipe_temperature"]
    assert quantity_of("phosphorus") is QUANTITIES["phosphorus"]
    assert quantity_of("phantom") is None
    assert quantity_of("temperature") is None
