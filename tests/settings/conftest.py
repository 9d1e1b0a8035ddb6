from collections.abc import Callable
from pathlib import Path

import pytest

from edge.domain.settings import Settings
from edge.settings.problems import ConfigurationInvalid
from edge.settings.site import load_settings

SITE = """\
[site]
id = "north-1"
time_zone = "Europe/Amsterdam"

[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"

[[connection]]
id = "bench"
driver = "modbus"
host = "127.0.0.1"
tcp_port = 1502
poll_interval_s = 5

  [[connection.device]]
  id = "bench3-climate"
  name = "Bench 3 climate"
  profile = "clima"
  address = 3
  remote = { enabled = true, poll_interval_s = { min = 2, max = 3600 } }
    [connection.device.point.air_temperature]
    offset = -0.2
    remote = { offset = { min = -2, max = 2 } }
"""

PROFILE = """\
[profile]
id = "clima"
version = 2
driver = "modbus"
title = "A climate sensor"
source = "its manual"
[defaults]
address = 1
baud_rate = 9600
[timing]
poll_interval_min_s = 2
request_gap_ms = 50
[read]
registers_max = 32
[point.air_temperature]
table = "input"
address = 1
type = "int16"
scale = 0.1
offset = 32
unit = "[degF]"
range = [-40, 176]
[point.relative_humidity]
table = "input"
address = 2
type = "uint16"
scale = 0.1
unit = "%"
[point.state]
table = "input"
address = 3
type = "uint16"
publish = false
"""

Load = Callable[..., Settings]
Mistakes = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a site file (SITE with `old` replaced by `new`) and its profile, and load it."""

    def loaded(old: str = "", new: str = "", *, site: str = SITE, profile: str = PROFILE) -> Settings:
        assert old in site or old in profile
        (tmp_path / "site.toml").write_text(site.replace(old, new) if old else site)
        (tmp_path / "clima.toml").write_text(profile.replace(old, new) if old else profile)
        return load_settings(tmp_path / "site.toml")

    return loaded


@pytest.fixture
def mistakes(load: Load) -> Mistakes:
    """The mistakes of such a file, as `site.toml:line:column: path: message`."""

    def found(*arguments: str, **files: str) -> list[str]:
        with pytest.raises(ConfigurationInvalid) as caught:
            load(*arguments, **files)
        return [
            str(problem).partition("/site.toml:")[2] or str(problem).partition("/clima.toml:")[2]
            for problem in caught.value.problems
        ]

    return found


@pytest.fixture(scope="session")
def site_text() -> str:
    """A site file without mistakes."""
    return SITE


@pytest.fixture(scope="session")
def profile_text() -> str:
    """The profile that it names."""
    return PROFILE
