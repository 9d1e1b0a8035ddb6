import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.identifier import is_identifier
from edge.domain.quantity import _CONVERSIONS, QUANTITIES, Conversion, conversion, own_quantity, quantity_of, units_for


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
        ("[gal_us]/min", "L/min", 10, 37.85411784),
        ("[ft_i]", "mm", 2, 609.6),
        ("[psi]", "bar", 58, 3.998959525),
        ("[psi]", "hPa", 14.6959, 1013.246),
        ("[ft_i]/min", "m/s", 100, 0.508),
        ("[in_i'H2O]", "bar", 401.4630786, 1),
        ("kPa", "bar", 250, 2.5),
        ("MJ/m2", "J/cm2", 20, 2000),
        ("W.h/m2", "J/cm2", 1000, 360),
        ("[Btu_IT]", "kW.h", 3412.14163313, 1),
        ("{rev}/min", "/min", 1450, 1450),
        ("Hz", "/min", 50, 3000),
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


@pytest.mark.parametrize(
    "point_id",
    [
        "voltage_unbalance",
        "wind_speed_quality",
        "ec_interval",
        "power_l1_factor",
        "air_temperature_status",
        "current_thd_l2",
        "water_level_percent",
        "volume_flow",
        "mass_flow_supply",
        "current_direction",
        "mass_fraction",
        "distance_unit",
    ],
)
def test_a_point_whose_id_names_another_measure_has_no_quantity_by_its_id(point_id: str) -> None:
    assert quantity_of(point_id) is None


def test_an_id_that_is_a_quantity_itself_is_that_quantity() -> None:
    assert quantity_of("power_factor") is QUANTITIES["power_factor"]
    assert quantity_of("power_factor_l1") is QUANTITIES["power_factor"]
    assert quantity_of("rain_rate") is QUANTITIES["rain_rate"]


def test_a_quantity_of_ones_own_has_a_name_and_a_unit_and_nothing_else() -> None:
    own = own_quantity("x_stem_diameter", "um")
    assert own is not None
    assert (own.id, own.title, own.unit, own.symbol) == ("x_stem_diameter", "Stem diameter", "um", "um")
    assert conversion("mm", own.unit) is None
    assert own_quantity("x_fruit_load", "{fruit}/m2") is not None


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("x_", "um"),
        ("stem_diameter", "um"),
        ("x_Stem", "um"),
        ("x_stem", None),
        ("x_stem", ""),
        ("x_stem", "µm"),
        ("x_stem", "m m"),
        ("x_a\n", "um"),
        ("x_" + "a" * 63, "um"),
    ],
)
def test_what_is_no_quantity_of_ones_own(name: str, unit: str | None) -> None:
    assert own_quantity(name, unit) is None


def test_no_name_of_ones_own_can_ever_meet_one_of_the_catalogue() -> None:
    assert not [name for name in QUANTITIES if name.startswith("x_")]


def test_a_point_is_its_quantity_or_the_quantity_with_a_suffix() -> None:
    assert quantity_of("air_temperature") is QUANTITIES["air_temperature"]
    assert quantity_of("pipe_temperature_supply_2") is QUANTITIES["pipe_temperature"]
    assert quantity_of("phosphorus") is QUANTITIES["phosphorus"]
    assert quantity_of("phantom") is None
    assert quantity_of("temperature") is None
