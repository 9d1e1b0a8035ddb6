import tomllib
from collections.abc import Callable
from pathlib import Path

from drivers.simulation import render_demo_site
from drivers.simulation.demo import EVENT_STORE_URI_DEFAULT
from edge.domain.settable import Limits
from edge.domain.settings import Settings

LoadSite = Callable[[str], Settings]
ROOT = Path(__file__).parents[3]


def test_the_file_in_config_is_the_rendered_template() -> None:
    assert (ROOT / "config" / "demo.toml").read_text(encoding="utf-8") == render_demo_site()


def test_the_demo_is_a_valid_site_with_every_kind_of_wire(load_site: LoadSite) -> None:
    settings = load_site(render_demo_site())
    assert settings.site.id == "demo"
    assert settings.event_store.uri == EVENT_STORE_URI_DEFAULT
    assert [connection.driver for connection in settings.connections] == [*["modbus"] * 4, *["serial"] * 3, "mqtt"]
    assert len(settings.devices()) == 19
    assert all(device.name and device.location for device in settings.devices())


def test_without_a_broker_the_demo_has_all_but_the_radio(load_site: LoadSite) -> None:
    whole, rest = load_site(render_demo_site()), load_site(render_demo_site(has_radio=False))
    assert [connection.id for connection in rest.connections] == [
        connection.id for connection in whole.connections if connection.driver != "mqtt"
    ]
    assert "MQTT" not in render_demo_site(has_radio=False).partition("\n[site]")[2]


def test_the_demo_lets_every_interval_be_set_from_far(load_site: LoadSite) -> None:
    for device in load_site(render_demo_site()).devices():
        limits = device.remote.get("poll_interval_s")
        assert device.remote["enabled"]
        assert (limits is not None) == device.is_polled
        if isinstance(limits, Limits):
            # The CO2 and pH sensors measure every 2 s.
            assert limits.minimum == max(1.0, device.poll_interval_min_s)
            assert limits.maximum == 3600.0


def test_rendering_fills_in_the_event_store() -> None:
    text = render_demo_site(event_store_uri="esdb://127.0.0.1:1?tls=false")
    assert tomllib.loads(text)["event_store"]["uri"] == "esdb://127.0.0.1:1?tls=false"
    assert "{event_store_uri}" not in text
