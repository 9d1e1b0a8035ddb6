"""`configure` as a user calls it, over real gRPC to the embedded store; the gateway is there, or it is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from edge.cli import greenhouse_edge
from edge.domain.configuration import answer_event_id
from edge.domain.event import EventType, NewEvent
from edge.domain.event_store import NO_STREAM
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import open_event_store
from edge.event_store.embedded.server import serve

STREAM = "deviceConfiguration-try-1"
STATUS_STREAM = "deviceConfigurationStatus-try-1"

SITE = """
[site]
id = "try-1"
[event_store]
uri = "{uri}"
[[connection]]
id = "line"
driver = "simulated"
  [[connection.device]]
  id = "bench"
  remote = {{ enabled = true, poll_interval_s = {{ min = 1, max = 60 }} }}
    [connection.device.point.air_temperature]
    remote = {{ offset = {{ min = -2, max = 2 }} }}
"""


class Ended(NamedTuple):
    code: int
    out: str
    err: str


async def configure(site_file: Path, *arguments: str) -> Ended:
    def run() -> Ended:
        result = CliRunner().invoke(greenhouse_edge, ["configure", str(site_file), "bench", *arguments])
        return Ended(result.exit_code, result.stdout, result.stderr)

    return await asyncio.to_thread(run)


@asynccontextmanager
async def site(directory: Path, *, answer: dict[str, Any] | None = None) -> AsyncIterator[Path]:
    """Serve a store; a gateway, played by us, answers the first update."""
    async with serve(("127.0.0.1", 0), None) as store:
        site_file = directory / "site.toml"
        site_file.write_text(SITE.format(uri=store.uri), encoding="utf-8")
        gateway = asyncio.create_task(answer_first(store.uri, answer))
        try:
            yield site_file
        finally:
            gateway.cancel()
            await asyncio.wait([gateway])


async def answer_first(uri: str, answer: dict[str, Any] | None) -> None:
    if answer is None:
        return
    settings = EventStoreSettings(uri=uri)
    async with open_event_store(settings) as store, store.subscribe(STREAM, after_revision=NO_STREAM) as items:
        async for item in items:
            update_event_id = getattr(item, "event_id", None)
            if update_event_id is None:
                continue
            head = {
                "siteId": "try-1",
                "gatewayId": "try-1",
                "clock": "synchronized",
                "occurredAt": "2026-11-23T10:15:00.120Z",
                "updateEventId": str(update_event_id),
                "updateRevision": 0,
                "deviceId": "bench",
                "configVersion": 1,
            }
            is_applied = "changes" in answer
            event = NewEvent(
                event_id=answer_event_id(update_event_id),
                type=EventType.DEVICE_CONFIGURATION_APPLIED if is_applied else EventType.DEVICE_CONFIGURATION_REJECTED,
                data=json.dumps(head | answer).encode(),
                metadata=b"{}",
            )
            await store.append(STATUS_STREAM, [event], expected_revision=NO_STREAM)


APPLIED = {"changes": [{"path": "pollIntervalS", "from": 10.0, "to": 1.0}]}
REJECTED = {
    "stage": "validation",
    "errors": [{"path": "pollIntervalS", "code": "below_minimum", "message": "too soon", "limit": 1}],
}


async def test_what_was_applied_is_shown(tmp_path: Path) -> None:
    async with site(tmp_path, answer=APPLIED) as site_file:
        ended = await configure(site_file, "--set", "pollIntervalS=1", "--reason", "closer look", "--by", "me")
    assert ended == Ended(0, "applied: version 1 of bench is in force\n  pollIntervalS: 10 -> 1\n", "")


async def test_what_was_rejected_is_shown_with_every_error(tmp_path: Path) -> None:
    async with site(tmp_path, answer=REJECTED) as site_file:
        ended = await configure(site_file, "--set", "pollIntervalS=0.5")
    assert ended == Ended(1, "", "rejected: version 1 of bench\n  below_minimum: too soon\n")


async def test_the_answer_can_be_had_as_json(tmp_path: Path) -> None:
    async with site(tmp_path, answer=REJECTED) as site_file:
        ended = await configure(site_file, "--set", "pollIntervalS=0.5", "--json")
    told = json.loads(ended.out)
    del told["updateEventId"]
    assert told == {"outcome": "rejected", "deviceId": "bench", "configVersion": 1, "errors": REJECTED["errors"]}


async def test_the_update_is_what_was_asked_for(tmp_path: Path) -> None:
    document = tmp_path / "document.json"
    document.write_text('{"pollIntervalS": 7, "points": {"air_temperature": {"offset": 1}}}', encoding="utf-8")
    async with site(tmp_path) as site_file:
        ended = await configure(
            site_file,
            *("--file", str(document), "--set", "enabled=false", "--unset", "points.air_temperature.offset"),
            *("--by", "me", "--valid-until", "2030-01-01T00:00:00Z", "--timeout", "0"),
        )
        uri = site_file.read_text(encoding="utf-8").split('uri = "')[1].split('"')[0]
        async with open_event_store(EventStoreSettings(uri=uri)) as store:
            [event] = await store.read_forward(STREAM, from_revision=0, limit=10)
    assert ended.code == 75
    assert "the gateway is offline; it will answer when it is back" in ended.err
    assert event.type == "DeviceConfigurationUpdated"
    assert json.loads(event.data) == {
        "deviceId": "bench",
        "configVersion": 1,
        "basedOn": 0,
        "gatewayId": "try-1",
        "validUntil": "2030-01-01T00:00:00Z",
        "changedBy": "me",
        "configuration": {"pollIntervalS": 7, "enabled": False},
    }
    metadata = json.loads(event.metadata)
    assert (metadata["schemaVersion"], set(metadata)) == (1, {"schemaVersion", "producer", "$correlationId"})


async def test_a_site_that_demands_a_reason_is_not_asked_without_one(tmp_path: Path) -> None:
    site_file = tmp_path / "site.toml"
    text = SITE.format(uri="esdb://127.0.0.1:9?tls=false").replace("[site]", "[site]\nrequire_reason = true", 1)
    site_file.write_text(text, encoding="utf-8")
    ended = await configure(site_file, "--set", "enabled=true")
    assert (ended.code, "this site demands --reason" in ended.err) == (2, True)
    assert (await configure(site_file, "--set", "enabled=true", "--reason", "calibrated", "--timeout", "0")).code == 75


async def test_a_dry_run_appends_nothing_and_says_what_the_site_file_says(tmp_path: Path) -> None:
    async with site(tmp_path, answer=APPLIED) as site_file:
        good = await configure(site_file, "--set", "pollIntervalS=5", "--dry-run")
        bad = await configure(site_file, "--set", "pollIntervalS=500", "--dry-run")
    assert (good.code, json.loads(good.out)["configVersion"], good.err) == (0, 1, "")
    assert (bad.code, json.loads(bad.out)["configVersion"]) == (1, 1), "the first was not appended"
    assert bad.err == "above_maximum: pollIntervalS is 500; this site allows 60 or less\n"


async def test_a_store_that_is_not_there_is_a_temporary_failure(tmp_path: Path) -> None:
    async with site(tmp_path) as site_file:
        pass
    ended = await configure(site_file, "--set", "pollIntervalS=5")
    assert ended.code == 75
    assert "the event store cannot be reached" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--set", "pollIntervalS=x"],
        ["--set", "colour=1"],
        ["--unset", "points.co2.offset"],
        ["--set", "enabled=true", "--valid-until", "tomorrow"],
        ["--set", "enabled=true", "--timeout", "-1"],
        ["--file", "nowhere.json"],
    ],
)
async def test_what_makes_no_sense_is_a_usage_error_before_anything_is_sent(
    tmp_path: Path, arguments: list[str]
) -> None:
    site_file = tmp_path / "site.toml"
    site_file.write_text(SITE.format(uri="esdb://127.0.0.1:9?tls=false"), encoding="utf-8")
    ended = await configure(site_file, *arguments)
    assert ended.code == 2, ended


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"\xff", b"[" * 70_000, b'{"pollIntervalS": NaN}', b'{"enabled": true, "enabled": false}']
)
async def test_a_file_that_holds_no_configuration_is_a_usage_error(tmp_path: Path, document: bytes) -> None:
    site_file = tmp_path / "site.toml"
    site_file.write_text(SITE.format(uri="esdb://127.0.0.1:9?tls=false"), encoding="utf-8")
    (tmp_path / "document.json").write_bytes(document)
    ended = await configure(site_file, "--file", str(tmp_path / "document.json"))
    assert (ended.code, "--file: " in ended.err) == (2, True), ended


async def test_an_unknown_device_is_a_usage_error_that_names_the_known_ones(tmp_path: Path) -> None:
    site_file = tmp_path / "site.toml"
    site_file.write_text(SITE.format(uri="esdb://127.0.0.1:9?tls=false").replace('"bench"', '"roof"'), encoding="utf-8")
    ended = await configure(site_file, "--set", "enabled=true")
    assert ended.code == 2
    assert "the site file has no device bench; it has roof" in ended.err


async def test_a_mistaken_site_file_is_told_as_check_does(tmp_path: Path) -> None:
    site_file = tmp_path / "site.toml"
    site_file.write_text("[site]\nid = 3\n", encoding="utf-8")
    ended = await configure(site_file, "--set", "enabled=true")
    assert ended.code == 78
    assert f"{site_file}:2:" in ended.err
