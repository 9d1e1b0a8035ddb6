"""What the central streams tell of a site whose daemon is killed while something is wrong with it."""

import re
import signal
from typing import Any

import pytest

from fakes.alarm_check import alarm_view
from fakes.site_processes import Site

pytestmark = [pytest.mark.system, pytest.mark.timeout(400), pytest.mark.xdist_group("system")]

FAST = "bench3-climate"
GATEWAY_STREAM = "gateway-demo"
LOST, RESTORED = "DeviceConnectionLost", "DeviceConnectionRestored"
RAISED, CLEARED = "AlarmRaised", "AlarmCleared"
ANSWERS = {"DeviceConfigurationApplied", "DeviceConfigurationRejected"}


def told(site: Site, *types: str) -> list[tuple[str, dict[str, Any]]]:
    """Return type and data of the gateway's stream, in order."""
    return [
        (event["type"], event["data"])
        for event in site.events()
        if event["stream"] == GATEWAY_STREAM and (not types or event["type"] in types)
    ]


def conditions(site: Site) -> dict[str, str]:
    status = site.status()
    return {} if status is None else {each["deviceId"]: each["condition"] for each in status["fleet"]["devices"]}


def alarms(site: Site) -> list[tuple[str, str]]:
    status = site.status()
    assert status is not None
    return [(each["alarm"], each["deviceId"]) for each in status["alarms"]]


def with_outside_gone(text: str) -> str:
    """The site file with a wrong port for one connection: nobody is there."""
    head, tail = text.split('id = "outside"', 1)
    return f'{head}id = "outside"{re.sub(r"tcp_port = [0-9]+", "tcp_port = 1", tail, count=1)}'


def kill(site: Site) -> None:
    assert site.end("run", signal.SIGKILL) == -signal.SIGKILL


def configure_fast(site: Site) -> None:
    """Bring an update into force that a stricter site file would not allow."""
    site.start("run")
    site.wait_for_samples(5)
    done = site.verb("configure", str(site.site_file), FAST, "--set", "pollIntervalS=2", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.end("run") == 0


def ask_for_nothing_new(site: Site) -> None:
    """Append an update while no daemon runs: its answer is under way when the daemon is killed."""
    words = (str(site.site_file), "bench1-climate", "--set", "enabled=true", "--timeout", "0")
    assert site.verb("configure", *words, check=False).returncode == 75


def run_until_all_is_told(site: Site) -> None:
    site.start("run")
    site.wait_until(lambda: site.pending() == 0, "the backlog to drain")


def test_a_site_killed_with_a_lost_device_an_open_alarm_and_an_answer_under_way_tells_it_all(site: Site) -> None:
    configure_fast(site)
    whole = site.site_file.read_text()
    strict = re.sub(r"poll_interval_s = \{ *min = 1\b", "poll_interval_s = { min = 3", whole)
    site.site_file.write_text(with_outside_gone(strict))
    site.start("run")
    site.wait_until(lambda: bool(told(site, RAISED) and told(site, LOST)), "an alarm and a loss")
    site.wait_until(lambda: conditions(site).get("mast-air") == "lost", "the loss in the status")
    kill(site)
    lost_before = told(site, LOST)

    ask_for_nothing_new(site)
    for samples in (1, 12):
        site.start("run")
        site.wait_for_samples(samples)
        assert conditions(site)["mast-air"] == "lost"
        assert alarms(site) == [("configuration_not_usable", FAST)]
        kill(site)
    run_until_all_is_told(site)
    kill(site)
    view = alarm_view(told(site))
    assert view.violations == []
    assert told(site, LOST)[: len(lost_before)] == lost_before
    assert [data["deviceId"] for data in view.alarms.values()] == [FAST]

    # All of it is mended while nothing runs.
    site.site_file.write_text(whole)
    site.start("run")
    site.wait_until(lambda: len(told(site, RESTORED)) == len(view.lost), "all devices to be back")
    site.wait_until(lambda: site.pending() == 0, "the backlog to drain")
    assert site.end("run") == 0
    assert_nothing_stands(site)


def assert_nothing_stands(site: Site) -> None:
    end = alarm_view(told(site))
    assert (end.violations, end.alarms, end.lost) == ([], {}, {})
    assert [event_type for event_type, _ in told(site, RAISED, CLEARED)] == [RAISED, CLEARED]
    since = {data["deviceId"]: data["since"] for _, data in told(site, LOST)}
    assert {data["deviceId"]: data["since"] for _, data in told(site, RESTORED)} == since
    assert all(data["lostForS"] > 0 for _, data in told(site, RESTORED))
    answered = [event["data"]["updateEventId"] for event in site.events() if event["type"] in ANSWERS]
    updates = [event["id"] for event in site.events() if event["type"] == "DeviceConfigurationUpdated"]
    assert len(updates) == 2
    assert sorted(answered) == sorted(updates)
