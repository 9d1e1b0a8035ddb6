"""The main job on real parts: processes, sockets, files and signals; nothing of the product is replaced."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from typing import Any

import pytest

from fakes.alarm_check import alarm_violations
from fakes.site_processes import Site

pytestmark = [pytest.mark.system, pytest.mark.timeout(400), pytest.mark.xdist_group("system")]

KILLS = int(os.environ.get("GREENHOUSE_EDGE_KILLS", "20"))
DEVICE = "bench3-climate"


def assert_whole(events: list[dict[str, Any]]) -> int:
    """Every device's numbers are gap-free within each run, `previous` joins the runs, nothing is doubled.

    What is raised or lost is closed once, and opened again only then.
    """
    assert alarm_violations((event["type"], event["data"]) for event in events) == []
    assert not [event_id for event_id, count in Counter(event["id"] for event in events).items() if count > 1]
    runs: defaultdict[str, dict[str, list[int]]] = defaultdict(dict)
    for event in events:
        if event["type"] != "SensorReadingReceived":
            continue
        data, run = event["data"], event["metadata"]["run"]
        seen = runs[data["deviceId"]]
        if run not in seen:
            joined = {"run": list(seen)[-1], "sequence": seen[list(seen)[-1]][-1]} if seen else None
            assert data.get("previous") == joined, f"{data['deviceId']}: {data.get('previous')} instead of {joined}"
            seen[run] = []
        else:
            assert "previous" not in data
        seen[run].append(data["sequence"])
    for device, by_run in runs.items():
        for run, numbers in by_run.items():
            assert numbers == list(range(1, len(numbers) + 1)), f"{device} in run {run}: {numbers}"
    return sum(len(numbers) for by_run in runs.values() for numbers in by_run.values())


def test_twenty_kills_and_a_store_that_was_away_lose_and_double_nothing(site: Site) -> None:
    chance = random.Random(20)
    for kill in range(KILLS):
        site.start("run")
        site.wait_for_samples(chance.randrange(3, 12))
        if kill == KILLS // 3:
            assert site.end("event-store") == 0
        if kill == KILLS // 3 + 3:
            site.start("event-store")
        if kill == KILLS // 2:
            site.processes["event-store"].send_signal(signal.SIGKILL)
            site.processes.pop("event-store").wait()
            site.start("event-store")
        assert site.end("run", signal.SIGKILL) == -signal.SIGKILL
    site.start("run")
    site.wait_for_samples(20)
    site.wait_until(lambda: site.pending() == 0, "the backlog to drain")
    assert site.end("run") == 0
    events = site.events()
    assert assert_whole(events) >= KILLS * 3
    accepted = max(event["metadata"]["position"] for event in events if "position" in event["metadata"])
    positions = {event["metadata"]["position"] for event in events if "run" in event["metadata"]}
    missing = set(range(1, accepted + 1)) - positions
    assert not missing


def test_a_daemon_outlives_a_store_that_is_really_ended_for_a_minute(site: Site) -> None:
    site.start("run")
    site.wait_for_samples(20)
    assert site.end("event-store") == 0
    # About a minute of samples.
    site.wait_for_samples(600)
    assert site.store_state() == "unreachable"
    site.start("event-store")
    site.wait_until(lambda: site.store_state() == "forwarding", "the link to be back")
    site.wait_until(lambda: site.pending() == 0, "the backlog to drain")
    assert site.end("run") == 0
    assert assert_whole(site.events()) >= 600


def test_a_disk_that_takes_nothing_is_told_and_does_not_keep_the_daemon_from_stopping(site: Site) -> None:
    process = site.start("run")
    site.wait_for_samples(10)
    # Writes beyond this fail with EFBIG (Python ignores SIGXFSZ): a full disk, as the daemon sees it.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    site.wait_until(lambda: bool((site.status() or {"outbox": {}})["outbox"].get("isFailing")), "a failed commit")
    shown = site.verb("status", "--state-dir", str(site.state)).stdout
    assert "takes no commits" in shown
    assert "data is safe" not in shown
    assert site.end("run") == 0
    site.start("run")
    site.wait_for_samples(10)
    site.wait_until(lambda: site.pending() == 0, "the backlog to drain")
    assert site.end("run") == 0
    assert_whole(site.events())


def test_a_store_that_stops_answering_is_waited_for(site: Site) -> None:
    site.start("run")
    site.wait_for_samples(10)
    store = site.processes["event-store"]
    store.send_signal(signal.SIGSTOP)
    site.wait_until(lambda: site.store_state() == "unreachable", "the link to be called lost")
    site.wait_for_samples(20)
    store.send_signal(signal.SIGCONT)
    site.wait_until(lambda: site.store_state() == "forwarding", "the link to be back")
    site.wait_until(lambda: site.pending() == 0, "the backlog to drain")
    assert site.end("run") == 0
    assert_whole(site.events())


def test_a_configuration_comes_back_changes_the_polling_and_is_answered(site: Site) -> None:
    site.start("run")
    site.wait_for_samples(10)
    done = site.verb("configure", str(site.site_file), DEVICE, "--set", "pollIntervalS=2", "--json")
    assert done.returncode == 0, done.stdout + done.stderr

    def device() -> dict[str, Any]:
        status = site.status()
        assert status is not None
        found: dict[str, Any] = next(item for item in status["fleet"]["devices"] if item["deviceId"] == DEVICE)
        return found

    assert (device()["pollIntervalS"], device()["configVersion"]) == (2, 1)
    refused = site.verb("configure", str(site.site_file), DEVICE, "--set", "pollIntervalS=0.1", check=False)
    assert refused.returncode == 1
    assert "pollIntervalS" in refused.stdout + refused.stderr
    site.end("run", signal.SIGKILL)
    site.start("run")
    site.wait_for_samples(5)
    assert device()["pollIntervalS"] == 2

    def versions() -> set[int]:
        return {
            event["metadata"]["configVersion"]
            for event in site.events()
            if event["type"] == "SensorReadingReceived" and event["data"]["deviceId"] == DEVICE
        }

    site.wait_until(lambda: versions() == {0, 1}, "samples under both configurations in the store")
    answers = [event["type"] for event in site.events() if event["stream"] == "deviceConfigurationStatus-demo"]
    assert answers == ["DeviceConfigurationApplied", "DeviceConfigurationRejected"]


def test_a_second_daemon_on_the_same_state_is_refused(site: Site) -> None:
    site.start("run")
    site.wait_for_samples(1)
    second = site.verb("run", str(site.site_file), "--state-dir", str(site.state), check=False)
    assert second.returncode == 75
    assert str(site.state) in second.stderr
    assert site.end("run", signal.SIGINT) == 0


def test_a_wrong_site_file_says_every_mistake_and_exits_78(site: Site) -> None:
    wrong = site.directory / "wrong.toml"
    wrong.write_text(site.site_file.read_text().replace("address = 3", 'address = "three"\n  adress = 3'))
    for verb in ("run", "check"):
        done = site.verb(verb, str(wrong), check=False)
        assert done.returncode == 78
        assert len([line for line in done.stderr.splitlines() if line.startswith(f"{wrong}:")]) == 2


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, edge.cli; edge.cli.main(['--help'])"
    listing = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    done = subprocess.run([sys.executable, "-c", listing + code], capture_output=True, text=True, check=True)
    assert "simulate" in done.stdout
    assert not {"grpc", "esdbclient", "pydantic", "pymodbus", "structlog", "asyncio"} & set(done.stderr.split())


def test_the_version_is_told() -> None:
    done = subprocess.run([sys.executable, "-m", "edge", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("greenhouse-edge ")
    assert json.dumps(done.stdout)
