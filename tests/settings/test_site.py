from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions, ModbusPointOptions
from edge.domain.settable import Limits
from edge.domain.settings import OutboxSettings, Range, Settings
from edge.settings.problems import ConfigurationInvalid
from edge.settings.site import load_settings

Load = Callable[..., Settings]
Mistakes = Callable[..., list[str]]


def test_a_site_file_and_its_profile_become_settings(load: Load) -> None:
    settings = load()
    assert (settings.site.id, settings.gateway_id) == ("north-1", "north-1")
    assert settings.outbox == OutboxSettings()
    assert settings.digest.startswith("sha256:")
    (connection,) = settings.connections
    assert connection.options == ModbusConnectionOptions(host="127.0.0.1", tcp_port=1502)
    (device,) = connection.devices
    assert device.profile is not None
    assert (device.profile.id, device.profile.version) == ("clima", 2)
    assert device.options == ModbusDeviceOptions(address=3, registers_max=32, request_gap_ms=50)
    assert (device.poll_interval_s, device.poll_interval_min_s, device.max_silence_s) == (5, 2, 30)
    assert device.remote == {"enabled": True, "poll_interval_s": Limits(minimum=2, maximum=3600)}


def test_points_come_out_in_canonical_units(load: Load) -> None:
    device = load().devices()[0]
    temperature, humidity, state = device.points
    assert (temperature.id, temperature.quantity, temperature.unit) == ("air_temperature", "air_temperature", "Cel")
    assert temperature.conversion.apply(212) == pytest.approx(100)
    assert temperature.range is not None
    assert (temperature.range.low, temperature.range.high) == pytest.approx((-40, 80))
    assert temperature.options == ModbusPointOptions(table="input", address=1, type="int16", scale=0.1, raw_offset=32)
    assert (temperature.offset, temperature.gain) == (-0.2, 1.0)
    assert temperature.remote == {"offset": Limits(minimum=-2, maximum=2)}
    assert (humidity.offset, humidity.remote) == (0, {})
    assert (state.publish, state.quantity) == (False, None)


def test_a_quantity_of_ones_own_keeps_its_unit_and_is_judged_by_the_profiles_range_only(load: Load) -> None:
    own = "    quantity = 'x_stem_diameter'\n    unit = 'um'"
    point = load("    offset = -0.2", own).devices()[0].points[0]
    assert (point.quantity, point.unit, point.conversion.apply(250.0)) == ("x_stem_diameter", "um", 250.0)
    assert point.range == Range(low=-40, high=176)
    unbounded = load("range = [-40, 176]", "quantity = 'x_stem_diameter'").devices()[0].points[0]
    assert (unbounded.unit, unbounded.range) == ("[degF]", None)


@pytest.mark.parametrize(
    ("keys", "kind", "texts"),
    [
        ("", "gauge", ()),
        ("quantity = 'energy'\n    unit = 'kW.h'", "counter", ()),
        ("quantity = 'energy'\n    unit = 'kW.h'\n    kind = 'gauge'", "gauge", ()),
        ("quantity = 'x_mode'\n    unit = '1'\n    kind = 'state'", "state", ()),
        ("scale = 1.0\n    raw_offset = 0\n    map = { '1' = 'on', '2' = 'off', '3' = 'on' }", "state", ("on", "off")),
    ],
)
def test_how_a_value_goes_on_is_said_by_its_quantity_its_type_or_the_file(
    load: Load, keys: str, kind: str, texts: tuple[str, ...]
) -> None:
    point = load("    offset = -0.2", f"    {keys}").devices()[0].points[0]
    assert (point.kind, point.texts) == (kind, texts)


def test_a_device_has_the_number_and_the_words_that_the_site_file_gives(load: Load) -> None:
    keys = "  serial_number = 'A-17'\n  labels = { crop = 'tomato', bay = '7' }\n  address = 3"
    device = load("  address = 3", keys).devices()[0]
    assert (device.serial_number, device.labels) == ("A-17", {"crop": "tomato", "bay": "7"})


def test_any_key_of_a_profile_can_be_overridden_for_one_device(load: Load) -> None:
    device = load("    offset = -0.2", "    scale = 0.01\n    raw_offset = 0\n    unit = 'K'").devices()[0]
    options = device.points[0].options
    assert isinstance(options, ModbusPointOptions)
    assert (options.scale, options.raw_offset, options.address) == (0.01, 0, 1)
    assert device.points[0].conversion.apply(273.15) == 0


def test_a_device_may_describe_its_points_without_a_profile(load: Load) -> None:
    inline = (
        '  [connection.device.point.ec]\n  table = "holding"\n  address = 0\n  type = "float32"\n  unit = "uS/cm"\n'
    )
    site = f"""[site]\nid = "a"\n[event_store]\nuri = "esdb://x?tls=false"\n[[connection]]\nid = "c"\ndriver = "modbus"\nhost = "h"
  [[connection.device]]\n  id = "d"\n{inline}"""
    (point,) = load(site=site).devices()[0].points
    assert (point.unit, point.conversion.factor) == ("mS/cm", 0.001)


def test_silence_is_longer_where_every_point_may_keep_still(load: Load) -> None:
    both = "    deadband = 1\n  [connection.device.point.relative_humidity]\n    deadband = 2\n    max_silence_s = 100"
    assert load("    offset = -0.2", both).devices()[0].max_silence_s == 100 + 2 * 5
    assert load("    offset = -0.2", "    deadband = 1").devices()[0].max_silence_s == 30


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('id = "north-1"', 'id = "North.1"', "2:1: site.id: 'North.1' is no id"),
        (
            "tcp_port = 1502",
            "tcp_prot = 1502",
            "12:1: connection[0].tcp_prot: unknown key 'tcp_prot'; did you mean 'tcp_port'?",
        ),
        ("tcp_port = 1502", 'tcp_port = "1502"', "12:1: connection[0].tcp_port: must be a whole number"),
        ("tcp_port = 1502", "tcp_port = 0", "12:1: connection[0].tcp_port: tcp_port is 0; it must be from 1 to 65535"),
        (
            'driver = "modbus"\nhost',
            'driver = "mudbus"\nhost',
            "10:1: connection[0].driver: there is no driver 'mudbus'",
        ),
        (
            'profile = "clima"',
            'profile = "klima"',
            "18:3: connection[0].device[0].profile: there is no profile 'klima'",
        ),
        (
            "min = 2, max = 3600",
            "min = 2, max = 1",
            "20:30: connection[0].device[0].remote.poll_interval_s: min (2) must not",
        ),
        ("min = 2, max = 3600", "min = 2", "20:30: connection[0].device[0].remote.poll_interval_s: max is required"),
        ("offset = -0.2", "offset = nan", "22:5: connection[0].device[0].point.air_temperature.offset: must be a"),
        (
            "offset = -0.2",
            "gian = 1",
            "22:5: connection[0].device[0].point.air_temperature.gian: unknown key 'gian'; did",
        ),
        (
            "  address = 3",
            "  poll_interval_s = 1",
            "19:3: connection[0].device[0].poll_interval_s: poll_interval_s is 1; the device",
        ),
        ('uri = "esdb://127.0.0.1:2113?tls=false"', "", "5:1: event_store: uri is required"),
        ("esdb://127", "esdb://admin:changeit@127", "6:1: event_store.uri: uri must not hold user and password"),
        ("Europe/Amsterdam", "Mars/Base", "3:1: site.time_zone: time_zone is 'Mars/Base'"),
        (
            "[event_store]",
            "[outbox]\nmax_size_mb = 1\n[event_store]",
            "6:1: outbox.max_size_mb: max_size_mb is 1; it must",
        ),
        ("[event_store]", "[event_stroe]", "5:1: event_stroe: unknown key 'event_stroe'; did you mean 'event_store'?"),
        ('unit = "%"', 'unit = "Cel"', "clima.toml: 'Cel' is none of relative_humidity"),
        ("scale = 0.1\noffset", "scale = 0\noffset", "clima.toml: scale is 0"),
        ("version = 2\n", "", "clima.toml: version is required"),
        ('type = "int16"', 'type = "int17"', "clima.toml: point.air_temperature.type: must be"),
        ("publish = false", "publish = true", "clima.toml: 'state' names no quantity"),
        ("publish = false", "gain = 2", "clima.toml: gain belongs to one device"),
    ],
)
def test_a_mistake_is_told_with_its_place(mistakes: Mistakes, old: str, new: str, expected: str) -> None:
    found = mistakes(old, new)
    place, _, sentence = expected.rpartition("clima.toml: ")
    assert any(
        line.startswith(expected) if not place and "clima" not in expected else sentence in line for line in found
    ), found


def test_all_mistakes_come_in_one_run_in_the_order_of_the_file(mistakes: Mistakes) -> None:
    found = mistakes("poll_interval_s", "poll_intervall_s")
    assert [line.partition(": ")[0] for line in found] == ["13:1", "20:30"]


def test_an_id_is_given_once(mistakes: Mistakes) -> None:
    second = '\n  [[connection.device]]\n  id = "bench3-climate"\n  profile = "clima"\n[[connection]]\nid = "bench"\ndriver = "modbus"\nhost = "h"\n'
    found = mistakes("    offset = -0.2\n", "    offset = -0.2\n" + second)
    assert any("device 'bench3-climate' is there twice; the first is in line 16" in line for line in found)
    assert any("connection 'bench' is there twice; the first is in line 9" in line for line in found)


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("sensorReadings-{gatway}.{device}", "may hold {device}, {gateway}, {site} and no other braces"),
        ("sensorReadings-{gateway", "is no template"),
        ("{site}-x", "must start with a category"),
        ("$x", "must not be empty and not start with $"),
        ("gateway-{gateway}", "must not share a stream"),
        ("a-{site!r}", "no other braces"),
    ],
)
def test_stream_names_are_checked(mistakes: Mistakes, template: str, sentence: str) -> None:
    found = mistakes("[event_store]", f'[streams]\nsensor_readings = "{template}"\n[event_store]')
    assert len(found) == 1
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[site]\nid = \n", ":2:6: is not TOML: Invalid value"),
        (b"[site]\nid = 'a'\nid = 'b'\n", ":3:9: is not TOML: Cannot overwrite a value"),
        (b'[site]\nid = "a', ":2:1: is not TOML: Unterminated string at the end of the file"),
        (b"[site]\nname = '\xff'\n", ":2:1: is not UTF-8"),
        (b"a = " + b"[" * 100_000, ":1:1: is nested too deeply"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_its_line(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "site.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationInvalid) as caught:
        load_settings(file)
    assert str(caught.value).startswith(f"{file}{expected}")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="cannot be read: No such file"):
        load_settings(tmp_path / "none.toml")


@given(st.data())
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_text_gives_settings_or_named_mistakes(load: Load, site_text: str, data: st.DataObject) -> None:
    lines = site_text.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(
            st.sampled_from(["", "x = 1", "[site]", "id = 3", "[[connection]]", "[connection]", lines[at] * 2])
        )
    try:
        load(site="\n".join(lines))
    except ConfigurationInvalid as error:
        assert error.problems  # noqa: PT017 - either outcome is right; this one must say something
