import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli.bench import bench, figures, modbus, mqtt, run, wear
from edge.cli.bench.accepted import FloodDriver
from edge.cli.bench.processes import PeerMissing
from edge.cli.bench.run import quantile, spread_of
from edge.cli.bench.site import BenchSite
from edge.domain.driver import PolledDriver, PushedDriver
from edge.domain.reading import Reading, Sample
from edge.settings.site import load_settings
from fakes.peers import peer

# The list: whoever reads the object relies on it.
NAMES = {
    "accepted_per_s",
    "drain_per_s",
    "modbus_points_per_s",
    "modbus_cpu_s_per_1000",
    "modbus_lateness_p99_s",
    "mqtt_per_s",
    "mqtt_cpu_s_per_1000",
    "latency_p50_s",
    "latency_p99_s",
    "rss_mb",
    "idle_cpu_percent",
    "start_to_ready_s",
    "recovery_s",
    "link_bytes_per_sample",
    "written_bytes_per_sample",
    "stored_bytes_per_sample",
}


@pytest.fixture
def short_wear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wear, "RATES", (10, 100))
    for name in ("SETTLING_COMMITS", "WINDOW_COMMITS", "GROWTH_COMMITS"):
        monkeypatch.setattr(wear, name, 5)


@pytest.mark.usefixtures("short_wear")
def test_one_figure_is_printed_as_one_json_object_and_the_rest_on_standard_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        bench, ["--json", "--only", "written_bytes_per_sample", "--directory", str(tmp_path)], catch_exceptions=False
    )
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    # Both come from one measurement.
    assert printed.keys() == {"written_bytes_per_sample", "stored_bytes_per_sample"}
    assert printed["written_bytes_per_sample"].keys() == {"10", "100"}
    # A sample's event id alone has ten bytes that nothing compresses.
    assert all(value > 10 for value in printed["written_bytes_per_sample"].values())
    assert "over 3" in result.stderr
    assert not list(tmp_path.iterdir()), "what was measured with is removed"


def test_modbus_is_measured_on_a_real_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"REPEATS": 1, "REPEAT_S": 0.5, "WARM_UP_S": 0.2}.items():
        monkeypatch.setattr(modbus, name, value)
    printed = measured("modbus_points_per_s", tmp_path)
    assert printed.keys() == {"modbus_points_per_s", "modbus_cpu_s_per_1000", "modbus_lateness_p99_s"}
    assert all(value > 0 for value in printed.values())


def test_a_poll_that_was_skipped_counts_as_a_whole_interval_late() -> None:
    on_time = [(0.1 * number, 0.1 * number + 0.002) for number in range(100)]
    assert modbus.lateness_p99_s({"a": on_time}, expected=100) == pytest.approx(0.002)
    assert modbus.lateness_p99_s({"a": on_time[::2]}, expected=100) == modbus.INTERVAL_S


def test_mqtt_is_measured_with_a_real_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("mosquitto", "mosquitto_pub"):
        peer(command)
    monkeypatch.setattr(mqtt, "MESSAGES", 400)
    monkeypatch.setattr(mqtt, "REPEATS", 1)
    printed = measured("mqtt_per_s", tmp_path)
    assert printed.keys() == {"mqtt_per_s", "mqtt_cpu_s_per_1000"}
    assert all(value > 0 for value in printed.values())


def test_a_figure_whose_peer_is_missing_is_left_out_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(name: str) -> str:
        raise PeerMissing(f"{name} is not installed")

    monkeypatch.setattr(mqtt, "program", nowhere)
    result = CliRunner().invoke(bench, ["--json", "--only", "mqtt_per_s", "--directory", str(tmp_path)])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {}
    assert "left out, mosquitto is not installed" in result.stderr


def measured(name: str, directory: Path) -> dict[str, float]:
    result = CliRunner().invoke(
        bench, ["--json", "--only", name, "--directory", str(directory)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.stderr
    printed: dict[str, float] = json.loads(result.stdout)
    return printed


def test_all_figures_of_the_list_are_measured() -> None:
    assert {figure.name for group in figures.GROUPS for figure in group.figures} == NAMES
    assert figures.selected(None) == figures.GROUPS


def test_an_unknown_figure_is_refused_with_the_names_there_are() -> None:
    result = CliRunner().invoke(bench, ["--only", "speed"])
    assert result.exit_code == 2
    assert "accepted_per_s" in result.stderr


def test_values_for_several_rates_become_an_object_of_their_medians() -> None:
    spread = spread_of([3.0, 1.0, 2.0])
    assert figures.values({"rss_mb": spread, "stored_bytes_per_sample": {"10": spread}}) == {
        "rss_mb": 2.0,
        "stored_bytes_per_sample": {"10": 2.0},
    }


def test_a_spread_says_how_far_the_repeats_lie_apart() -> None:
    assert str(spread_of([12_345.6, 10_000, 20_000])) == "12,350 (10,000 to 20,000 over 3)"
    assert str(spread_of([0.5])) == "0.5 (measured once)"


def test_a_quantile_has_its_share_below_it() -> None:
    assert quantile(range(100), 0.5) == 50
    assert quantile(range(100), 0.99) == 99
    assert quantile([7.0], 0.99) == 7.0


def test_the_site_is_one_that_the_daemon_takes(tmp_path: Path) -> None:
    settings = load_settings(BenchSite(devices=3, poll_interval_s=0.1).write(tmp_path))
    assert [device.poll_interval_s for device in settings.devices()] == [0.1] * 3


async def test_the_flooding_driver_waits_for_acknowledgements() -> None:
    sample = Sample(device_id="a", readings={"t": Reading(value=1.0, unit="Cel")})
    driver = FloodDriver([sample], burst=2, window=4)
    assert isinstance(driver, PushedDriver)
    assert not isinstance(driver, PolledDriver)
    first = [*await driver.receive(), *await driver.receive()]
    waiting = asyncio.create_task(driver.receive())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    driver.accepted(first[:2])
    assert len(await waiting) == 2


def test_the_kernel_names_the_file_system_of_a_directory() -> None:
    assert run.file_system(Path("/proc/self")) == "proc"
