"""`event-store` and `events tail` as processes."""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.domain.event import NewEvent
from edge.domain.event_store import NO_STREAM
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import open_event_store
from fakes.event_store_cluster import running_cluster
from fakes.event_store_subjects import new_event

pytestmark = pytest.mark.system


async def _start(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "edge", *arguments, stdout=PIPE, stderr=PIPE)


async def _ended(process: Process) -> tuple[int | None, str, str]:
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def _event_store(state_directory: Path, listen: str = "127.0.0.1:0") -> AsyncIterator[tuple[Process, str]]:
    process = await _start("event-store", "--listen", listen, "--state-dir", str(state_directory))
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _append(uri: str, stream: str, events: list[NewEvent], *, after: int = NO_STREAM) -> None:
    async with open_event_store(EventStoreSettings(uri=uri)) as store:
        await store.append(stream, events, expected_revision=after)


async def test_store_that_is_killed_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    events = [new_event() for _ in range(20)]
    async with _event_store(tmp_path) as (process, uri), open_event_store(EventStoreSettings(uri=uri)) as store:
        for revision, event in enumerate(events):
            await store.append("one", [event], expected_revision=revision - 1)
        process.kill()
    async with _event_store(tmp_path) as (_, uri), open_event_store(EventStoreSettings(uri=uri)) as store:
        stands = await store.read_forward("one", from_revision=0, limit=100)
    assert [event.event_id for event in stands] == [event.event_id for event in events]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_store_stops_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    async with (
        _event_store(tmp_path) as (process, uri),
        open_event_store(EventStoreSettings(uri=uri)) as store,
        store.subscribe("one", after_revision=NO_STREAM) as items,
    ):
        # Whoever still follows a stream must not hold the stop up.
        await anext(items)
        process.send_signal(number)
        code, _, err = await _ended(process)
    assert (code, err) == (0, f"streams are kept in {tmp_path}\n")


async def test_held_port_and_held_directory_are_temporary_failures(tmp_path: Path) -> None:
    async with _event_store(tmp_path / "first") as (_, uri):
        port = re.sub(r"\D", "", uri.rpartition(":")[2])
        second = await _start("event-store", "--listen", f"127.0.0.1:{port}")
        code, _, err = await _ended(second)
        assert (code, "cannot be bound" in err) == (75, True)
        third = await _start("event-store", "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "first"))
        code, _, err = await _ended(third)
        assert (code, "another event store" in err) == (75, True)


async def test_address_that_is_none_is_a_usage_error() -> None:
    code, _, err = await _ended(await _start("event-store", "--listen", "2113"))
    assert (code, "HOST:PORT" in err) == (2, True)


async def test_tail_prints_one_object_per_event(tmp_path: Path) -> None:
    events = [
        new_event(),
        NewEvent(event_id=new_event().event_id, type="Odd", data=b"\xff", metadata=b""),
    ]
    async with _event_store(tmp_path) as (_, uri):
        await _append(uri, "one", events)
        await _append(uri, "two", [new_event()])
        code, out, err = await _ended(await _start("events", "tail", "--uri", uri))
        assert (code, err) == (0, "")
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines[0] == {
            "id": str(events[0].event_id),
            "stream": "one",
            "revision": 0,
            "type": "Noted",
            "data": {"value": 1},
            "metadata": {"position": 1},
        }
        assert (lines[1]["data"], lines[1]["dataBase64"], lines[1]["metadata"]) == (None, "/w==", None)
        assert [line["stream"] for line in lines] == ["one", "one", "two"]
        code, out, _ = await _ended(await _start("events", "tail", "--uri", uri, "--stream", "two", "--stream", "one"))
        assert [json.loads(line)["stream"] for line in out.splitlines()] == ["two", "one", "one"]


SITE = """
[site]
id = "north-1"
[event_store]
uri = "{uri}"
[[connection]]
id = "sim"
driver = "simulated"
  [[connection.device]]
  id = "bench3-climate"
    [connection.device.point.air_temperature]
    unit = "Cel"
"""


async def test_tail_of_a_site_prints_its_own_streams_only(tmp_path: Path) -> None:
    async with _event_store(tmp_path) as (_, uri):
        (tmp_path / "site.toml").write_text(SITE.format(uri=uri))
        for stream in ("gateway-north-1", "gateway-south-1", "sensorReadings-north-1.bench3-climate"):
            await _append(uri, stream, [new_event()])
        code, out, err = await _ended(await _start("events", "tail", str(tmp_path / "site.toml")))
    assert (code, err) == (0, "")
    assert [json.loads(line)["stream"] for line in out.splitlines()] == [
        "sensorReadings-north-1.bench3-climate",
        "gateway-north-1",
    ]


async def test_following_goes_on_at_the_next_leader_of_a_cluster_and_prints_nothing_but_events() -> None:
    async with running_cluster() as cluster:
        await _append(cluster.uri, "one", [new_event()])
        tail = await _start("events", "tail", "--uri", cluster.uri, "--stream", "one", "--follow")
        assert tail.stdout is not None
        lines = [await tail.stdout.readline()]
        await cluster.kill(cluster.nodes[0])
        await _append(cluster.uri, "one", [new_event()], after=0)
        lines += [await tail.stdout.readline()]
        tail.send_signal(signal.SIGTERM)
        _, out, _ = await _ended(tail)
    assert [json.loads(line)["revision"] for line in lines] == [0, 1]
    assert not out


async def test_following_survives_the_end_and_start_of_the_store(tmp_path: Path) -> None:
    async with _event_store(tmp_path) as (process, uri):
        await _append(uri, "one", [new_event()])
        tail = await _start("events", "tail", "--uri", uri, "--stream", "one", "--follow")
        assert tail.stdout is not None
        assert json.loads(await tail.stdout.readline())["revision"] == 0
        process.kill()
        await process.wait()
    listen = uri.removeprefix("esdb://").partition("?")[0]
    async with _event_store(tmp_path, listen) as (_, uri):
        await _append(uri, "one", [new_event()], after=0)
        assert json.loads(await tail.stdout.readline())["revision"] == 1
    tail.send_signal(signal.SIGINT)
    code, _, err = await _ended(tail)
    assert code == 0
    assert err.startswith("the store was lost")


async def test_pipe_that_is_closed_early_is_no_failure(tmp_path: Path) -> None:
    async with _event_store(tmp_path) as (_, uri):
        for first in range(0, 3000, 500):
            await _append(uri, "one", [new_event() for _ in range(500)], after=first - 1)
        command = f"{sys.executable} -m edge events tail --uri '{uri}'; echo ended with $? >&2"
        shell = await asyncio.create_subprocess_shell(f"({command}) | head -n 1", stdout=PIPE, stderr=PIPE)
        _, out, err = await _ended(shell)
    assert len(out.splitlines()) == 1
    assert err == "ended with 0\n"


async def test_store_that_cannot_be_reached_is_a_temporary_failure() -> None:
    code, out, err = await _ended(await _start("events", "tail", "--uri", "esdb://127.0.0.1:1?tls=false"))
    assert (code, out) == (75, "")
    assert "cannot be read" in err


async def test_uri_that_cannot_be_used_is_a_configuration_error() -> None:
    code, _, err = await _ended(await _start("events", "tail", "--uri", "http://central"))
    assert (code, "Traceback" in err) == (78, False)
