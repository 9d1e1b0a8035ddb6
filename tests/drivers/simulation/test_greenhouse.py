from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from drivers.simulation.climate import Climate, next_climate, saturation
from drivers.simulation.greenhouse import CATCH_UP_S_MAX, Greenhouse
from drivers.simulation.weather import initial_weather, sun_height
from edge.domain.quantity import quantity_of

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


@pytest.mark.parametrize(("day_of_year", "hours_of_light"), [(172, 16.5), (355, 7.5), (80, 12.0)])
def test_the_date_decides_how_long_the_day_is(day_of_year: int, hours_of_light: float) -> None:
    midnight_s = (day_of_year - 1) * 86_400.0
    minutes = sum(sun_height(midnight_s + 60 * minute) > 0 for minute in range(24 * 60))
    assert minutes / 60 == pytest.approx(hours_of_light, abs=0.5)


def test_winter_is_colder_and_darker_than_summer() -> None:
    winter, summer = (Greenhouse.at(13 * HOUR_S, seed=1, day_of_year=day).outdoor() for day in (15, 195))
    assert winter["air_temperature"] + 10 < summer["air_temperature"]
    assert winter["irradiance"] < summer["irradiance"] / 2


def test_the_screen_is_drawn_in_a_cold_night_and_open_by_day() -> None:
    night, day = (Greenhouse.at(hour * HOUR_S, seed=1, day_of_year=15) for hour in (3, 12))
    assert night.indoor()["screen_position"] == 100
    assert day.indoor()["screen_position"] == 0


def test_irrigation_follows_the_light() -> None:
    """A pulse for each portion of light: none in the night, many at noon."""
    greenhouse = Greenhouse.at(0.0, seed=1)
    given: list[float] = []
    for _ in range(24):
        before = greenhouse.indoor()["volume"]
        greenhouse.advance(HOUR_S)
        given.append(greenhouse.indoor()["volume"] - before)
    assert sum(given[:6]) == 0
    assert given[13] > 50
    assert sum(given[21:]) == 0


def test_equal_seeds_give_equal_days_and_others_do_not() -> None:
    def day(seed: int) -> list[float]:
        greenhouse = Greenhouse.at(8 * HOUR_S, seed=seed)
        return [inside["air_temperature"] for inside, _ in hours(greenhouse, 5)]

    assert day(4) == day(4)
    assert day(4) != day(5)


def test_every_signal_is_a_quantity_within_its_plausible_range() -> None:
    greenhouse = Greenhouse.at(13 * HOUR_S, seed=1)
    for signals in (greenhouse.indoor(), greenhouse.outdoor()):
        for name, value in signals.items():
            # Where two are of one quantity, they are told apart by a point's id.
            quantity = quantity_of(name.removeprefix("screen_").removeprefix("battery_").removeprefix("supply_"))
            assert quantity is not None, name
            assert quantity.low <= value <= quantity.high, name


def test_something_moves_from_second_to_second() -> None:
    greenhouse = Greenhouse.at(12 * HOUR_S, seed=1)
    before = greenhouse.indoor()
    greenhouse.advance(1.0)
    assert greenhouse.indoor() != before


def test_a_long_sleep_is_not_worked_off() -> None:
    greenhouse = Greenhouse.at(12 * HOUR_S, seed=1)
    before_s = greenhouse.house.time_s
    greenhouse.advance(1e9)
    assert greenhouse.house.time_s - before_s == pytest.approx(CATCH_UP_S_MAX)


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
