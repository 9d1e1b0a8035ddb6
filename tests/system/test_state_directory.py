"""A state directory that is deleted or replaced under the running daemon: said at once, and nothing more is accepted."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.site_processes import WAIT_S, Site, open_empty_site

pytestmark = pytest.mark.system

SITE = """\
[site]
id = "north-1"
[event_store]
uri = "{uri}"
[[connection]]
id = "made-up"
driver = "simulated"
poll_interval_s = 0.5
  [[connection.device]]
  id = "a"
  [connection.device.point.air_temperature]
"""


@pytest.fixture
def site() -> Iterator[Site]:
    with open_empty_site() as opened:
        opened.site_file.write_text(SITE.format(uri=opened.event_store_uri), encoding="utf-8")
        yield opened


def delete(state: Path, _copy: Path) -> None:
    shutil.rmtree(state)


def move_away(state: Path, _copy: Path) -> None:
    state.rename(state.with_name("moved"))


def replace(state: Path, copy: Path) -> None:
    shutil.rmtree(state)
    copy.rename(state)


@pytest.mark.parametrize("misdeed", [delete, move_away, replace])
def test_the_daemon_says_that_its_directory_is_gone_forwards_what_it_accepted_and_ends(
    site: Site, misdeed: Callable[[Path, Path], None]
) -> None:
    site.start("event-store")
    site.start("run")
    site.wait_for_samples(3)
    site.end("run")
    copy = site.directory / "copy"
    shutil.copytree(site.state, copy)
    daemon = site.start("run")
    site.wait_for_samples(3)
    misdeed(site.state, copy)
    del site.processes["run"]
    assert daemon.wait(WAIT_S) == 75
    log = (site.directory / "run.log").read_text()
    assert "state_directory_lost" in log
    assert '"entries_pending": 0' in log
    assert "Traceback" not in log
    # The last line is one sentence for the person who reads the journal.
    last_line = log.splitlines()[-1]
    assert last_line.startswith(str(site.state))
    assert last_line.endswith("while it was open")
    _assert_that_the_next_start_goes_on(site)


def _assert_that_the_next_start_goes_on(site: Site) -> None:
    forwarded = len(_samples(site))
    site.start("run")
    site.wait_for_samples(3)
    site.wait_until(lambda: len(_samples(site)) >= forwarded + 3, "new samples in the event store")
    samples = _samples(site)
    assert len({sample["id"] for sample in samples}) == len(samples)
    runs: dict[str, list[int]] = {}
    for sample in samples:
        runs.setdefault(sample["metadata"]["run"], []).append(sample["data"]["sequence"])
    # In each run the numbers have no gap: everything that was accepted is there.
    assert list(runs.values()) == [list(range(1, len(numbers) + 1)) for numbers in runs.values()], json.dumps(runs)


def _samples(site: Site) -> list[dict[str, Any]]:
    return [event for event in site.events() if event["type"] == "SensorReadingReceived"]
