"""What an author of a driver makes settings and a context with."""

from pathlib import Path

import pytest

from edge.domain.by_hand import Given, Undecodable
from edge.domain.driver import DriverMisconfigured, LatestReading
from edge.domain.reading import Reading
from edge.settings.problems import ConfigurationInvalid
from edge.settings.profile_places import packaged_profiles
from edge.testing.site import connection_from, context_with, decoded, mistakes_of, settings_from
from fakes.moody_drivers import SITE, Bus, PolledOnBus, kind_of

KIND = kind_of(Bus(""), PolledOnBus)


def test_a_connection_is_read_without_a_site_and_without_an_installed_driver() -> None:
    connection = connection_from(SITE, kind=KIND)
    assert (connection.id, [device.id for device in connection.devices]) == ("bus", ["warm", "cold"])
    assert settings_from(SITE, kind=KIND).site.id == "test"


def test_a_text_with_a_site_of_its_own_keeps_it() -> None:
    text = f'[event_store]\nuri = "esdb://10.0.0.1:2113?tls=false"\n[site]\nid = "north"\n{SITE}'
    settings = settings_from(text, kind=KIND)
    assert (settings.site.id, settings.event_store.uri) == ("north", "esdb://10.0.0.1:2113?tls=false")


def test_mistakes_and_warnings_have_the_lines_of_the_text() -> None:
    assert mistakes_of(SITE, kind=KIND) == ["5: connection[0].device[0]: is warm"]
    wrong = SITE.replace("[degF]", "degF", 1).replace('id = "cold"', 'id = "warm"')
    assert mistakes_of(wrong, kind=KIND)[0].startswith(
        "8: connection[0].device[0].point.air_temperature.unit: unit 'degF'"
    )
    assert mistakes_of(wrong, kind=KIND)[1].startswith("10: connection[0].device[1].id: device 'warm' is there twice")
    with pytest.raises(ConfigurationInvalid):
        settings_from(wrong, kind=KIND)


def test_another_driver_than_the_one_under_test_is_a_mistake() -> None:
    (mistake,) = mistakes_of(SITE.replace('"moody"', '"modbus"'), kind=KIND)
    assert mistake == "4: connection[0].driver: the driver under test is 'moody', not 'modbus'"
    assert connection_from(SITE.replace('"moody"', '"simulated"').replace("[degF]", "K")).driver == "simulated"


def test_profiles_need_not_be_installed(tmp_path: Path) -> None:
    (tmp_path / "cellar.toml").write_text(
        '[profile]\nid = "cellar"\nversion = 3\ndriver = "moody"\ntitle = "Cellar"\nsource = "me"\n[point.ph]\n'
    )
    text = '[[connection]]\nid = "bus"\ndriver = "moody"\n[[connection.device]]\nid = "a"\nprofile = "cellar"\n'
    (device,) = connection_from(text, kind=KIND, profiles=tmp_path).devices
    assert device.profile is not None
    assert (device.profile.version, [point.id for point in device.points]) == (3, ["ph"])


def test_what_bytes_say_through_a_profile_is_by_point(tmp_path: Path) -> None:
    readings = decoded("xy-md02", Given(frame="010404013102222ace"))
    assert {point: reading.value for point, reading in readings.items()} == {
        "air_temperature": 30.5,
        "relative_humidity": 54.6,
    }
    text = (packaged_profiles() / "xy-md02.toml").read_text(encoding="utf-8")
    (tmp_path / "clone.toml").write_text(text.replace('"xy-md02"', '"clone"'), encoding="utf-8")
    assert decoded("clone", Given(frame="010404013102222ace"), profiles=tmp_path) == readings
    with pytest.raises(Undecodable):
        decoded("clone", Given(frame="010404013102222acf"), profiles=tmp_path)
    (tmp_path / "pretended.toml").write_text(
        '[profile]\nid = "pretended"\nversion = 1\ndriver = "simulated"\ntitle = "P"\nsource = "me"\n[point.ph]\n'
    )
    with pytest.raises(Undecodable, match="'simulated' has no hook decode"):
        decoded("pretended", Given(line="1"), profiles=tmp_path)


def test_a_context_finds_what_the_test_puts_there_later() -> None:
    credentials: dict[str, str] = {}
    latest: dict[tuple[str, str], LatestReading] = {}
    context = context_with(credentials=credentials, latest=latest, folder=Path("here"), time_zone="Europe/Amsterdam")
    assert (context.folder, context.time_zone) == (Path("here"), "Europe/Amsterdam")
    with pytest.raises(DriverMisconfigured, match="there is no credential 'broker'"):
        context.credential("broker")
    assert context.latest("tank", "water_temperature") is None
    credentials["broker"] = "user:word"
    latest["tank", "water_temperature"] = LatestReading(reading=Reading(value=18.5, unit="Cel"), age_s=2.0)
    assert context.credential("broker") == "user:word"
    reading = context.latest("tank", "water_temperature")
    assert reading is not None
    assert reading.age_s == 2.0
