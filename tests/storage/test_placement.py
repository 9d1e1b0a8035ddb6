"""A file in which two streams had one number: nothing more of it goes into the wrong stream, and it is said."""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from edge.domain.author import Author
from edge.domain.event import EventType
from edge.domain.settings import StreamTemplates
from edge.storage import ledger
from edge.storage.backlog import load_quarantined
from edge.storage.cursors import Cursor
from edge.storage.database import FILE_NAME
from edge.storage.entries import Entry
from edge.storage.errors import DatabaseDamaged
from edge.storage.placement import Placement
from fakes.colliding_streams import CollidingStreams
from fakes.forwarding_world import Life, World
from fakes.inline_sqlite import connect_inline
from fakes.outbox_drafts import GATEWAY_STREAM, Drafting, all_entries, virtual_outbox
from fakes.virtual_time import VirtualClock, run_virtual

STATUS = "deviceConfigurationStatus-north-1"
ROOF = "sensorReadings-north-1.roof"


async def first_answer_is_given_up(life: Life) -> None:
    """A commissioning day: the first answer's transaction is cancelled, and a new device is heard."""
    life.offer("door")
    await life.outbox.flush()
    answering = asyncio.create_task(life.transact([STATUS, "gateway-north-1"]))
    while not answering.done() and STATUS not in life.outbox.streams._given:  # noqa: ASYNC110 - at any turn
        await asyncio.sleep(0)
    answering.cancel()
    await asyncio.wait([answering])
    life.offer("roof")
    await life.outbox.flush()


async def answer_again(life: Life) -> None:
    await life.transact([STATUS])
    life.offer("roof")
    await life.outbox.flush()


async def settle(life: Life) -> None:
    await life.settle()


def played(directory: Path, monkeypatch: pytest.MonkeyPatch, *, is_online: bool, then: Callable[[Life], None]) -> World:
    """Make the damage with the numbering of the earlier release, then start this one."""
    world = World(directory=directory / "state", rng=random.Random(1))

    async def story() -> None:
        world.placement = lambda _author: None
        with monkeypatch.context() as earlier_release:
            earlier_release.setattr(ledger, "StreamNames", CollidingStreams)
            for script in (first_answer_is_given_up, answer_again):
                if not is_online:
                    world.store.go_down()
                await world.live(script)
                if is_online:
                    await world.live(settle)
        world.store.restart()
        world.placement = Placement
        with capture_logs() as logs:

            async def last(life: Life) -> None:
                then(life)
                await life.settle()

            await world.live(last)
        assert "outbox_damaged" in [line["event"] for line in logs if line["log_level"] == "error"]

    run_virtual(story)
    return world


def test_an_answer_in_a_sensors_stream_is_set_aside_before_it_is_forwarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    world = played(
        tmp_path,
        monkeypatch,
        is_online=False,
        then=lambda life: found.extend(f"{damage.stream}: {damage.message}" for damage in life.outbox.damage),
    )
    [told] = found
    assert told.startswith(f"{ROOF}: 1 events DeviceConfigurationApplied stand in {ROOF} and belong to {STATUS}")
    assert [event.type for event in world.store.events(ROOF)] == ["SensorReadingReceived"] * 2
    [quarantined] = [event for event in world.store.events("gateway-north-1") if event.type == "EventQuarantined"]
    body = json.loads(quarantined.data)
    assert (body["reason"], body["type"], body["stream"]) == ("misplaced", "DeviceConfigurationApplied", ROOF)
    assert body["detail"].endswith(f"belongs to {STATUS}")


def test_an_answer_that_was_forwarded_into_a_sensors_stream_is_said_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    world = played(tmp_path, monkeypatch, is_online=True, then=lambda life: found.append(len(life.outbox.damage)))
    assert found == [1]
    assert "DeviceConfigurationApplied" in [event.type for event in world.store.events(ROOF)]
    assert not [event for event in world.store.events("gateway-north-1") if event.type == "EventQuarantined"]


def author(templates: StreamTemplates | None = None) -> Author:
    return Author(
        site_id="g",
        gateway_id="g",
        run=UUID(int=1),
        boot_id=UUID(int=2),
        streams=templates or StreamTemplates(),
        clock=VirtualClock(),
        new_id=uuid4,
    )


def test_a_devices_samples_in_another_devices_stream_are_set_aside(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            for device in ("a", "b", "a", "b"):
                outbox.offer(drafting.sample(device))
            await outbox.flush()
        # Each device's samples stand in the other one's stream.
        await damage(
            tmp_path,
            "UPDATE streams SET name = 'x' WHERE number = 1",
            "UPDATE streams SET name = 'sensorReadings-g.a' WHERE number = 2",
            "UPDATE streams SET name = 'sensorReadings-g.b' WHERE number = 1",
        )
        async with virtual_outbox(tmp_path, placement=Placement(author())) as outbox:
            assert await all_entries(outbox) == []
            aside = await load_quarantined(outbox.database)
            assert [item.entry.position for item in aside] == [1, 2, 3, 4]
            assert json.loads(aside[0].reason)[0] == "misplaced"
            await outbox.flush()
            declared = [json.loads(entry.data) for entry in await all_entries(outbox)]
            assert [(body["deviceId"], body["sequence"]) for body in declared] == [
                ("a", 1),
                ("b", 1),
                ("a", 2),
                ("b", 2),
            ]
            # Read again, they stay aside and are declared once.
            assert len(await all_entries(outbox)) == 4

    run_virtual(main)


async def damage(directory: Path, *statements: str) -> None:
    connection = await connect_inline(directory / FILE_NAME)
    for sql in statements:
        await connection.fetch_all(sql)
    await connection.close()


def sample(device: str) -> Entry:
    data = f'{{"siteId":"g","deviceId":"{device}","sequence":1}}'.encode()
    return Entry(1, 1, uuid4(), EventType.SENSOR_READING_RECEIVED, data, b'{"run":"","position":1}')


def control(event_type: str) -> Entry:
    return Entry(1, 1, uuid4(), event_type, b"{}", b"{}")


APPLIED = control(EventType.DEVICE_CONFIGURATION_APPLIED)
STARTED = control(EventType.GATEWAY_STARTED)
PER_DEVICE = "sensorReadings-{gateway}.{device}"
TWICE = "s-{device}.{gateway}.{device}"


@pytest.mark.parametrize(
    ("template", "entry", "stands_in", "is_stray"),
    [
        (PER_DEVICE, sample("a"), "sensorReadings-g.a", False),
        (PER_DEVICE, sample("a"), "sensorReadings-g.b", True),
        (PER_DEVICE, sample("a"), "gateway-g", True),
        (PER_DEVICE, sample("a"), "deviceConfigurationStatus-g", True),
        (PER_DEVICE, APPLIED, "sensorReadings-g.a", True),
        (PER_DEVICE, APPLIED, "gateway-g", True),
        (PER_DEVICE, APPLIED, "deviceConfigurationStatus-g", False),
        (PER_DEVICE, STARTED, "deviceConfigurationStatus-g", True),
        (PER_DEVICE, STARTED, "gateway-g", False),
        # Nothing is certain where the site had other templates, or another gateway's id.
        (PER_DEVICE, sample("a"), "readings-g", False),
        (PER_DEVICE, sample("a"), "sensorReadings-h.b", False),
        (PER_DEVICE, sample("a"), "sensorReadings-g.b.c", False),
        (PER_DEVICE, APPLIED, "status-g", False),
        (PER_DEVICE, control("SomethingOfTheNextRelease"), "sensorReadings-g.a", False),
        (PER_DEVICE, control(EventType.SENSOR_READING_RECEIVED), "gateway-g", False),
        # One stream for all devices.
        ("readings-{gateway}", sample("a"), "readings-g", False),
        ("readings-{gateway}", sample("b"), "readings-g", False),
        ("readings-{gateway}", APPLIED, "readings-g", True),
        ("readings-{gateway}", sample("a"), "sensorReadings-g.b", False),
        (TWICE, sample("a"), "s-a.g.a", False),
        (TWICE, sample("a"), "s-b.g.b", True),
        (TWICE, sample("a"), "s-b.g.c", False),
    ],
)
def test_only_what_is_certain_is_a_stray(template: str, entry: Entry, stands_in: str, is_stray: bool) -> None:
    async def main() -> None:
        placement = Placement(author(StreamTemplates(sensor_readings=template)))
        for _ in range(2):
            assert len([*placement.find_strays([entry], lambda _: stands_in)]) == is_stray

    run_virtual(main)


def test_a_stray_is_found_among_samples_that_are_in_their_place() -> None:
    async def main() -> None:
        placement = Placement(author())
        entries = [*map(sample, "aabab"), APPLIED]
        strays = [*placement.find_strays(entries, lambda _: "sensorReadings-g.a")]
        assert [stray.entry for stray in strays] == [entries[2], entries[4], APPLIED]

    run_virtual(main)


def test_a_stream_whose_name_is_lost_is_parked_and_keeps_its_entries(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            outbox.offer(drafting.sample("a"))
            await outbox.record(drafting.control())
        await damage(tmp_path, "DELETE FROM streams WHERE number = 1")
        with capture_logs() as logs:
            async with virtual_outbox(tmp_path) as outbox:
                [found] = outbox.damage
                assert "its name is lost" in found.message
                assert outbox.statistics().parked == {"(stream 1)": found.message}
                assert outbox.cursors[1] == Cursor(last_position=1, pending=1)
                # The device goes on in a stream with a number of its own, also after the file was opened anew.
                outbox.offer(drafting.sample("a"))
                await outbox.flush()
                assert outbox.streams.number("sensorReadings-g.a") == 3
                assert outbox.streams.numbers() == [2, 1, 3]
                assert [entry.stream for entry in await all_entries(outbox)] == [1, 2, 3]
        assert ("error", "outbox_damaged") in [(line["log_level"], line["event"]) for line in logs]

    run_virtual(main)


def test_a_name_that_stands_twice_is_a_damaged_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await outbox.record(Drafting().control())
        await damage(
            tmp_path,
            "DROP TABLE streams",
            "CREATE TABLE streams (number INTEGER, name TEXT, parked_reason TEXT, parked_at_ms INTEGER)",
            f"INSERT INTO streams (number, name) VALUES (1, '{GATEWAY_STREAM}'), (2, '{GATEWAY_STREAM}'), (2, 'x')",
        )
        with pytest.raises(DatabaseDamaged, match=rf"{FILE_NAME}: .* more than once: {GATEWAY_STREAM}, 2$"):
            async with virtual_outbox(tmp_path):
                raise AssertionError

    run_virtual(main)
