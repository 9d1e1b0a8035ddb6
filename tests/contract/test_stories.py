"""The published stories: told anew by the gateway, held to the schemas, and taken in by CONTRACT.md's read model.

To record them after a change of what is written: GREENHOUSE_EDGE_RECORD_STORIES=1 pytest tests/contract -k tells_a_story
"""

import asyncio
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest

from edge.contract.published import FOLDER
from edge.contract.registry import schemas
from edge.domain.author import Reference
from edge.domain.clock import ClockState
from edge.domain.driver import DeviceUnreachable
from edge.domain.event import EventType, NewEvent
from edge.domain.facts import ReadingsDropped
from edge.gateway.components import Gateway
from fakes.contract_page import Recorded, open_view, read_model, view_of
from fakes.scripted_driver import in_turn
from fakes.told_stories import POLL_S, Line, Telling, bench, counting, told
from fakes.virtual_time import START_UNIX_MS

BENCH = "sensorReadings-north-1.bench1"
UPDATES = "deviceConfiguration-north-1"
Story = Callable[[Telling], Awaitable[None]]


def silent() -> Exception:
    return DeviceUnreachable("no answer within 0.3 s")


async def run_change(site: Telling) -> None:
    await site.live(3)
    await site.live(3)


async def killed_run(site: Telling) -> None:
    await site.live(3, is_killed=True)
    await site.live(3)


async def dropped_range(site: Telling) -> None:
    """What an outbox that was full tells. This release fills no outbox, so its three samples are taken out by hand."""

    async def declare(gateway: Gateway) -> None:
        dropped = ReadingsDropped(
            device_id="bench1",
            reason="outbox_full",
            run=gateway.author.run,
            sequences=(2, 4),
            count=3,
            first_measured_at="2026-11-23T10:00:10.010Z",
            last_measured_at="2026-11-23T10:00:30.010Z",
        )
        await gateway.outbox.record(gateway.author.control(dropped, reference=Reference(config_version=0)))
        await asyncio.sleep(POLL_S)

    await site.live(6, declare)
    site.store.lines = [line for line in site.store.lines if line["data"].get("sequence") not in {2, 3, 4}]
    for revision, line in enumerate(line for line in site.store.lines if line["stream"] == BENCH):
        line["revision"] = revision


async def quarantined(site: Telling) -> None:
    site.store.refuses = lambda event: b'"value":20.3' in event.data
    await site.live(6)


async def lost_over_a_restart(site: Telling) -> None:
    answers = counting()
    site.driver.answers["bench1"] = in_turn(answers, answers, then=silent)
    await site.live(8, is_killed=True)
    site.driver.answers["bench1"] = in_turn(silent, then=answers)
    await site.live(4)


async def superseded(site: Telling) -> None:
    await site.live(2)
    for version, seconds in ((1, 20), (2, 5), (3, 1)):
        data = {"deviceId": "bench1", "configVersion": version, "configuration": {"pollIntervalS": seconds}}
        event = NewEvent(
            event_id=site.new_id(),
            type=EventType.DEVICE_CONFIGURATION_UPDATED,
            data=json.dumps(data).encode(),
            metadata=b'{"schemaVersion": 1}',
        )
        site.store.append_now(UPDATES, [event], version - 2)
    await site.live(3)


async def retired_and_back(site: Telling) -> None:
    """It was lost when it was taken out of the site file."""
    answers = counting()
    site.driver.answers["bench2"] = in_turn(answers, silent, silent, silent, then=answers)
    both = bench("bench1"), bench("bench2")
    for site.devices, polls in ((both, 5), (both[:1], 2), (both, 2)):
        await site.live(polls)


async def store_restored(site: Telling) -> None:
    async def restore(_gateway: Gateway) -> None:
        backup = site.store.snapshot()
        await asyncio.sleep(2 * POLL_S)
        site.store.restore(backup)
        await asyncio.sleep(2 * POLL_S)

    await site.live(3, restore)


async def outbox_restored(site: Telling) -> None:
    copy = site.directory / "copy"
    await site.live(2)
    shutil.copytree(site.state, copy)
    await site.live(2)
    shutil.rmtree(site.state)
    copy.rename(site.state)
    await site.live(2)


async def unsynchronized_then_corrected(site: Telling) -> None:
    """The box boots without knowing the time, and learns it in its first minute."""

    async def learn_the_time(_gateway: Gateway) -> None:
        site.clock.clock_state, site.clock.error_ms = ClockState.SYNCHRONIZED, 0
        await asyncio.sleep(3 * POLL_S)

    site.clock.clock_state, site.clock.error_ms = ClockState.UNSYNCHRONIZED, -START_UNIX_MS
    await site.live(3, learn_the_time)


STORIES: dict[str, Story] = {
    story.__name__.replace("_", "-"): story
    for story in (
        run_change,
        killed_run,
        dropped_range,
        quarantined,
        lost_over_a_restart,
        superseded,
        retired_and_back,
        store_restored,
        outbox_restored,
        unsynchronized_then_corrected,
    )
}
# The types without which a story would not be the one that its name promises.
WHAT_IT_IS_ABOUT = {
    "run-change": {"GatewayStopped"},
    "killed-run": {"GatewayStarted"},
    "dropped-range": {"ReadingsDropped"},
    "quarantined": {"EventQuarantined"},
    "lost-over-a-restart": {"DeviceConnectionLost", "DeviceConnectionRestored"},
    "superseded": {"DeviceConfigurationApplied", "DeviceConfigurationRejected"},
    "retired-and-back": {"DeviceConnectionLost", "DeviceRetired"},
    "store-restored": {"EventStoreRestored"},
    "outbox-restored": {"OutboxRestored"},
    "unsynchronized-then-corrected": {"SensorReadingReceived"},
}
FOLDER_OF_STORIES = FOLDER / "stories"
IS_RECORDING = "GREENHOUSE_EDGE_RECORD_STORIES" in os.environ


def recorded(name: str) -> list[Line]:
    text = (FOLDER_OF_STORIES / f"{name}.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def expected(name: str) -> dict[str, Any]:
    view: dict[str, Any] = json.loads((FOLDER_OF_STORIES / f"{name}.expected.json").read_text(encoding="utf-8"))
    return view


def as_recorded(lines: list[Line]) -> list[Recorded]:
    """The events of a story, as a client would give them; the store's positions count them."""
    return [
        Recorded(
            id=UUID(line["id"]),
            type=line["type"],
            data=json.dumps(line["data"]).encode(),
            metadata=json.dumps(line["metadata"]).encode(),
            stream_name=line["stream"],
            stream_position=line["revision"],
            commit_position=position,
        )
        for position, line in enumerate(lines)
    ]


def view_after(*parts: list[Line]) -> dict[str, list[dict[str, Any]]]:
    """What the printed read model has after it took these events."""
    model = read_model()
    with closing(open_view()) as database:
        for lines in parts:
            for event in as_recorded(lines):
                model.keep(database, event)
        return view_of(database)


def table_text(rows: list[dict[str, Any]]) -> str:
    return "[" + ",".join(f"\n    {json.dumps(row)}" for row in rows) + ("\n  ]" if rows else "]")


def record(name: str, lines: list[Line]) -> None:
    FOLDER_OF_STORIES.mkdir(exist_ok=True)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (FOLDER_OF_STORIES / f"{name}.ndjson").write_text(text, encoding="utf-8")
    tables = ",\n".join(f'  "{table}": {table_text(rows)}' for table, rows in view_after(lines).items())
    (FOLDER_OF_STORIES / f"{name}.expected.json").write_text(f"{{\n{tables}\n}}\n", encoding="utf-8")


@pytest.mark.parametrize("name", STORIES)
def test_the_gateway_tells_a_story_as_it_is_published(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = told(STORIES[name], tmp_path, monkeypatch)
    if IS_RECORDING:
        record(name, lines)
    assert lines == recorded(name), "what is written has changed: see the top of this file"


def test_every_published_story_is_told() -> None:
    assert {path.name.removesuffix(".ndjson") for path in FOLDER_OF_STORIES.glob("*.ndjson")} == set(STORIES)
    assert {path.name.removesuffix(".expected.json") for path in FOLDER_OF_STORIES.glob("*.json")} == set(STORIES)


@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_about_what_its_name_says(name: str) -> None:
    lines = recorded(name)
    assert {line["type"] for line in lines} >= WHAT_IT_IS_ABOUT[name]
    runs = {line["metadata"]["run"] for line in lines if "run" in line["metadata"]}
    is_one_run = name in {"dropped-range", "quarantined", "store-restored", "unsynchronized-then-corrected"}
    assert (len(runs) == 1) == is_one_run
    # Of the last run, nothing is left to send that it stopped.
    is_stopped = len(runs) > 1 and name not in {"killed-run", "lost-over-a-restart"}
    assert ("GatewayStopped" in {line["type"] for line in lines}) == is_stopped


@pytest.mark.parametrize("name", STORIES)
def test_every_event_of_a_story_keeps_its_schema(name: str) -> None:
    published = schemas()
    for line in recorded(name):
        assert set(line) == {"stream", "revision", "id", "type", "data", "metadata"}
        UUID(line["id"])
        jsonschema.Draft202012Validator(published["Event.v1.json"]).validate(line)
        jsonschema.Draft202012Validator(published[f"{line['type']}.v1.json"]).validate(line["data"])
        if line["type"] != EventType.DEVICE_CONFIGURATION_UPDATED:
            jsonschema.Draft202012Validator(published["Metadata.v1.json"]).validate(line["metadata"])


@pytest.mark.parametrize("name", STORIES)
def test_what_is_about_one_device_tells_its_version_but_for_its_end_and_what_is_about_a_stream(name: str) -> None:
    for line in recorded(name):
        about = line["data"]
        is_about_one = "deviceId" in about and "stream" not in about and line["type"] != EventType.DEVICE_RETIRED
        is_written_by_others = line["type"] == EventType.DEVICE_CONFIGURATION_UPDATED
        assert ("configVersion" in line["metadata"]) == (is_about_one and not is_written_by_others)


def described(lines: list[Line], reading: Line) -> Line:
    """Where CONTRACT.md says that the settings of a reading stand."""
    found = [
        line
        for line in lines
        if line["type"] == EventType.DEVICE_DESCRIBED
        and line["data"]["deviceId"] == reading["data"]["deviceId"]
        and line["data"]["configVersion"] == reading["metadata"]["configVersion"]
        and line["metadata"]["position"] < reading["metadata"]["position"]
    ]
    return max(found, key=lambda line: int(line["metadata"]["position"]))


@pytest.mark.parametrize("name", STORIES)
def test_every_reading_leads_to_the_settings_under_which_it_was_made(name: str) -> None:
    lines = recorded(name)
    for reading in (line for line in lines if line["type"] == EventType.SENSOR_READING_RECEIVED):
        told_of = described(lines, reading)["data"]
        assert set(reading["data"]["readings"]) <= set(told_of["points"])
        update_id = reading["metadata"].get("$causationId")
        asked = [line["data"]["configuration"] for line in lines if line["id"] == update_id]
        assert told_of["pollIntervalS"] == (asked[0]["pollIntervalS"] if asked else POLL_S)


@pytest.mark.parametrize("name", STORIES)
def test_revisions_count_the_events_of_a_stream_and_only_a_restored_store_goes_back(name: str) -> None:
    revisions: defaultdict[str, list[int]] = defaultdict(list)
    for line in recorded(name):
        revisions[line["stream"]].append(line["revision"])
    goes_back = any(found != list(range(len(found))) for found in revisions.values())
    assert goes_back == (name == "store-restored")
    ids = [line["id"] for line in recorded(name)]
    assert (len(set(ids)) < len(ids)) == goes_back


@pytest.mark.parametrize("name", STORIES)
def test_the_printed_read_model_comes_to_the_expected_view(name: str) -> None:
    view = view_after(recorded(name))
    assert view == expected(name)
    assert view["samples"]
    assert view["gaps"] == []
    assert view["standing"] == []


@pytest.mark.parametrize("name", STORIES)
def test_what_is_taken_twice_changes_nothing_wherever_it_begins_again(name: str) -> None:
    lines, wanted = recorded(name), expected(name)
    for place in range(len(lines)):
        assert view_after(lines[:place], lines) == wanted


@pytest.mark.parametrize("name", STORIES)
def test_the_view_needs_no_order_between_streams(name: str) -> None:
    """Each stream after the other, the last one first: still the same view."""
    by_stream: defaultdict[str, list[Line]] = defaultdict(list)
    for line in recorded(name):
        by_stream[line["stream"]].append(line)
    assert view_after(*reversed(by_stream.values())) == expected(name)


@pytest.mark.parametrize("name", STORIES)
def test_a_sample_that_is_taken_away_is_a_gap(name: str) -> None:
    lines = recorded(name)
    numbers = [line["data"].get("sequence", 0) for line in lines if line["type"] == EventType.SENSOR_READING_RECEIVED]
    assert max(numbers) > 1
    sample = next(line for line in lines if line["data"].get("sequence") == 1 and "readings" in line["data"])
    (gap,) = view_after([line for line in lines if line["id"] != sample["id"]])["gaps"]
    assert gap == {
        "gateway": "north-1",
        "device": "bench1",
        "run": sample["metadata"]["run"],
        "missing": 1,
    }


@pytest.mark.parametrize("name", ["dropped-range", "quarantined"])
def test_without_its_declaration_a_gap_is_one(name: str) -> None:
    kept = [line for line in recorded(name) if line["type"] not in {"ReadingsDropped", "EventQuarantined"}]
    (gap,) = view_after(kept)["gaps"]
    assert gap["missing"] == {"dropped-range": 3, "quarantined": 1}[name]
