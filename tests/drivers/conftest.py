from collections.abc import Callable
from pathlib import Path

import pytest

from edge.domain.settings import DeviceSettings, Settings
from edge.settings.site import load_settings

HEAD = """\
[site]
id = "test"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "wire"
driver = "modbus"
host = "127.0.0.1"
"""

LoadSite = Callable[[str], Settings]
LoadProfile = Callable[[str], DeviceSettings]


@pytest.fixture
def load_site(tmp_path: Path) -> LoadSite:
    """Read the text of a site file as the daemon would."""

    def loaded(text: str) -> Settings:
        file = tmp_path / "site.toml"
        file.write_text(text, encoding="utf-8")
        return load_settings(file)

    return loaded


@pytest.fixture
def profile_device(load_site: LoadSite) -> LoadProfile:
    """Give the one device of a site that uses this packaged profile as it is."""

    def loaded(profile: str) -> DeviceSettings:
        settings = load_site(
            f'{HEAD}[[connection.device]]\nid = "probe"\nprofile = "{profile}"\npoll_interval_s = 60\n'
        )
        return settings.devices()[0]

    return loaded
