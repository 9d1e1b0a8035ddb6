from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from drivers.simulation.climate import Climate, next_climate, saturation
from drivers.simulation.greenhouse import CATCH_UP_S_MAX, Greenhouse
from drivers.simulation.weather import initial_weather
from edge.domain.quantity import QUANTITIES

HOUR_S = 3600.0


def hours(greenhouse: Greenhouse, count: int) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    for _ in range(count):
        greenhouse.advance(HOUR_S)
        yield dict(greenhouse.indoor()), dict(greenhouse.outdoor())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_looks_like_a_day_in_a_tomato_house(seed: int) -> None:
    greenhouse = Greenhouse.at(0.0, seed=seed)
    inside, outside = zip(*hours(greenhouse, 24), strict=True)
    temperatures = [values["air_temperature"] for values in inside]
    assert 16 < min(temperatures) < 20
    assert 23 < max(temperatures) < 33
    assert all(40 < values["relative_humidity"] <= 95 for values in inside)
    assert all(150 < values["co2_concentration"] < 1500 for values in inside)
    light = [values["photon_flux_density"] for values in inside]
    assert light[2] == 0.0
    assert 600 < max(light) < 1500
    assert all(50 < values["water_content"] < 80 for values in inside)
    assert all(2 < values["ec"] < 6 for values in inside)
    assert all(5.0 < values["ph"] < 7.0 for values in inside)
    assert all(0 < values["water_level"] < 2000 for values in inside)
    assert max(temperatures) > max(values["air_temperature"] for values in outside)


def test_equal_seeds_give_equal_days_and_others_do_not() -> None:
    def day(seed: int) -> list[float]:
        greenhouse = Greenhouse.at(8 * HOUR_S, seed=seed)
        return [inside["air_temperature"] for inside, _ in hours(greenhouse, 5)]

    assert day(4) == day(4)
    assert day(4) != day(5)


def test_every_signal_is_a_quantity_within_its_plausible_range() -> None:
    greenhouse = Greenhouse.at(13 * HOUR_S, seed=1)
    for signals in (greenhouse.indoor(), greenhouse.outdoor()):
        for quantity, value in signals.items():
            assert QUANTITIES[quantity].low <= value <= QUANTITIES[quantity].high, quantity


def test_something_moves_from_second_to_second() -> None:
    greenhouse = Greenhouse.at(12 * HOUR_S, seed=1)
    before = greenhouse.indoor()
    greenhouse.advance(1.0)
    assert greenhouse.indoor() != before


def test_a_long_sleep_is_not_worked_off() -> None:
    greenhouse = Greenhouse.at(12 * HOUR_S, seed=1)
    before_s = greenhouse.house.time_of_day_s
    greenhouse.advance(1e9)
    assert greenhouse.house.time_of_day_s - before_s == pytest.approx(CATCH_UP_S_MAX)


@hypothesis_settings(max_examples=200)
@given(
    st.floats(-10, 45),
    st.floats(0.001, 0.08),
    st.floats(1e-4, 5e-3),
    st.floats(0, 24),
    st.floats(1, 10),
)
def test_from_any_state_the_next_one_is_physical(
    temperature: float, humidity: float, co2: float, hour: float, step_s: float
) -> None:
    climate = Climate(temperature=temperature, humidity=min(humidity, saturation(temperature)), co2=co2)
    weather = initial_weather(hour * HOUR_S)
    for _ in range(50):
        climate = next_climate(climate, weather, step_s)
        assert -20 < climate.temperature < 60
        assert 0 < climate.relative_humidity <= 100
        assert climate.co2 > 0


def test_open_vents_bring_the_humidity_out() -> None:
    """The published file leaves the vents out of the water balance."""
    weather = initial_weather(14 * HOUR_S)
    hot = Climate(temperature=32.0, humidity=0.02)
    mild = Climate(temperature=22.0, humidity=0.0145)
    assert next_climate(hot, weather, 1.0).vent > next_climate(mild, weather, 1.0).vent
    vented = next_climate(hot, weather, 1.0)
    assert vented.vent > 0
    assert vented.humidity < hot.humidity
