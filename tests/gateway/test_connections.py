"""Connections are stopped, started and exchanged in a running gateway."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pytest

from drivers.simulated.driver import SimulatedDriver
from drivers.simulated.options import SimulatedConnectionOptions, SimulatedDeviceOptions, SimulatedPointOptions
from edge.collect.fleet import Told
from edge.collect.status import Condition
from edge.domain.configuration import WriteFailed
from edge.domain.driver import DeviceUnreachable, DriverMisconfigured
from edge.domain.event import EventType
from edge.domain.reading import Sample
from edge.domain.settable import Limits
from edge.domain.settings import ConnectionSettings
from edge.storage import writer
from edge.storage.configurations import StoredConfiguration, save_configuration
from fakes.collect_site import connection, device, group, point
from fakes.gateway_stage import Line, Stage, Story, play
from fakes.inline_sqlite import disk_error, ignore
from fakes.scripted_driver import ScriptedGroupDriver, ScriptedPolledDriver, ScriptedPushedDriver, WritableDriver, good

GONE_OR_THERE = (EventType.DEVICE_RETIRED, EventType.DEVICE_DESCRIBED)
REMOTE = {"poll_interval_s": Limits(minimum=1.0, maximum=60.0)}
LINE = connection(device("a", remote=REMOTE), device("b"), connection_id="line")
OTHER = connection(device("c"), connection_id="other")

EVERY_TWO_SECONDS = StoredConfiguration(
    device_id="a",
    version=7,
    update_event_id=UUID(int=7),
    update_revision=7,
    correlation_id=None,
    document='{"pollIntervalS": 2.0}',
    applied_at_ms=0,
)


class Run(Protocol):
    def __call__(self, *lines: Line, story: Story, queue: writer.Intake | None = None) -> Stage: ...


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*lines: Line, story: Story, queue: writer.Intake | None = None) -> Stage:
        return play(tmp_path, *lines, story=story, monkeypatch=monkeypatch, intake=queue)

    return run


def sequences(stage: Stage, device_id: str) -> list[int]:
    return [sample["sequence"] for sample in stage.samples(device_id)]


def test_a_connection_is_stopped_and_started_again_and_nothing_is_lost_or_doubled(run: Run) -> None:
    line, other = ScriptedPolledDriver(), ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        await asyncio.sleep(10)
        await stage.connections.stop("line")
        polls = len(line.polls)
        assert (line.opened, line.closed) == (1, 1)
        assert [status.device_id for status in stage.fleet.status().devices] == ["c"]
        assert [status.connection_id for status in stage.fleet.status().connections] == ["other"]
        assert [task.get_name() for task in asyncio.all_tasks() if "line" in task.get_name()] == []
        await asyncio.sleep(10)
        assert len(line.polls) == polls
        await stage.connections.start(LINE)
        await asyncio.sleep(10)
        await stage.forwarded()
        # In the old order: the status is read by people.
        assert [status.device_id for status in stage.fleet.status().devices] == ["a", "b", "c"]
        assert {status.condition for status in stage.fleet.status().devices} == {Condition.ANSWERING}
        for device_id in ("a", "b"):
            accepted = stage.device(device_id).samples_accepted
            assert accepted == pytest.approx(20, abs=2)
            assert sequences(stage, device_id) == list(range(1, accepted + 1))
        assert other.poll_times("c") == pytest.approx([float(second) for second in range(31)], abs=0.1)

    stage = run((LINE, line), (OTHER, other), story=story)
    told = [(event, data["deviceId"]) for event, data in stage.told(*GONE_OR_THERE)]
    described = [("DeviceDescribed", name) for name in "abc"]
    retired = [("DeviceRetired", name) for name in "ab"]
    assert told == [*described, *retired, *described[:2]]


def test_a_connection_that_has_changed_keeps_its_devices_their_counts_and_what_is_in_force(run: Run) -> None:
    old, new = ScriptedPolledDriver(), ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        async with stage.outbox.transaction() as transaction:
            await save_configuration(transaction, EVERY_TWO_SECONDS)
        await stage.announcer.announce()
        configured = stage.fleet.configuration("a")
        assert (configured.version, configured.poll_interval_s) == (7, 2.0)
        await asyncio.sleep(10)
        before = stage.device("a").samples_accepted
        stage.drivers.kept["line"] = new
        changed = replace(LINE, devices=(replace(LINE.devices[0], name="Roof"), device("d")))
        await stage.connections.exchange(stopped=["line"], started=[changed])
        assert stage.fleet.configuration("a") == configured
        assert stage.device("a").name == "Roof"
        assert stage.device("a").samples_accepted >= before
        await asyncio.sleep(10)
        assert (old.closed, new.opened, new.closed) == (1, 1, 0)
        await stage.forwarded()
        assert sequences(stage, "a") == list(range(1, stage.device("a").samples_accepted + 1))
        assert len(new.poll_times("a")) == pytest.approx(5, abs=1)

    stage = run((LINE, old), story=story)
    told = [(event, data["deviceId"]) for event, data in stage.told(*GONE_OR_THERE)]
    # It has another name and another configuration, so it is described again; it was never away.
    assert [event for event, name in told if name == "a"] == ["DeviceDescribed"] * 3
    assert told[-3:] == [("DeviceRetired", "b"), ("DeviceDescribed", "a"), ("DeviceDescribed", "d")]


def test_a_configuration_that_comes_to_disk_while_its_device_is_away_is_in_force_when_it_comes_back(run: Run) -> None:
    async def story(stage: Stage) -> None:
        configured = replace(stage.fleet.configuration("a"), version=7, poll_interval_s=2.0)
        await stage.connections.stop("line")
        async with stage.outbox.transaction() as transaction:
            await save_configuration(transaction, EVERY_TWO_SECONDS)
            await stage.announcer.write(transaction, configured)
        await stage.connections.start(LINE)
        assert stage.fleet.configuration("a").version == 7
        await stage.forwarded()

    stage = run((LINE, ScriptedPolledDriver()), story=story)
    told = [event for event, data in stage.told(*GONE_OR_THERE) if data["deviceId"] == "a"]
    assert told == ["DeviceDescribed", "DeviceRetired", "DeviceDescribed"]


def test_a_configuration_that_is_brought_into_force_while_its_device_leaves_does_no_harm(run: Run) -> None:
    async def story(stage: Stage) -> None:
        configured = replace(stage.fleet.configuration("a"), version=7, poll_interval_s=2.0)
        await stage.connections.stop("line")
        stage.fleet.configure(configured)

    run((LINE, ScriptedPolledDriver()), story=story)


def test_a_connection_that_is_not_there_cannot_be_stopped(run: Run) -> None:
    driver = ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        with pytest.raises(KeyError):
            await stage.connections.exchange(stopped=["line", "nobody"])
        # Named twice is stopped once.
        await stage.connections.exchange(stopped=["line", "line"])
        assert (driver.opened, driver.closed) == (1, 1)

    run((LINE, driver), story=story)


def test_a_device_that_moves_to_another_connection_stays_a_device(run: Run) -> None:
    line, other = ScriptedPolledDriver(), ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        moved = [replace(LINE, devices=LINE.devices[:1]), replace(OTHER, devices=(*OTHER.devices, LINE.devices[1]))]
        await stage.connections.exchange(stopped=["line", "other"], started=moved)
        await asyncio.sleep(5)
        await stage.forwarded()
        assert other.poll_times("b")
        assert stage.device("b").connection_id == "other"
        assert sequences(stage, "b") == list(range(1, stage.device("b").samples_accepted + 1))

    stage = run((LINE, line), (OTHER, other), story=story)
    assert EventType.DEVICE_RETIRED not in [event for event, _ in stage.told()]


def test_a_device_that_was_lost_before_an_exchange_is_restored_after_it_once(run: Run) -> None:
    driver = ScriptedPolledDriver()

    def unreachable() -> Exception:
        return DeviceUnreachable("no answer")

    async def story(stage: Stage) -> None:
        driver.answers["a"] = unreachable
        await asyncio.sleep(60)
        await stage.connections.exchange(stopped=["line"], started=[LINE])
        assert stage.device("a").condition is Condition.LOST
        await asyncio.sleep(60)
        driver.answers["a"] = good
        await asyncio.sleep(60)
        await stage.forwarded()

    stage = run((LINE, driver), story=story)
    told = stage.told(EventType.DEVICE_CONNECTION_LOST, EventType.DEVICE_CONNECTION_RESTORED)
    assert [(event, data["deviceId"]) for event, data in told] == [
        ("DeviceConnectionLost", "a"),
        ("DeviceConnectionRestored", "a"),
    ]


def test_the_alarms_of_a_connection_that_is_stopped_are_cleared(run: Run) -> None:
    driver, other = ScriptedPushedDriver(), ScriptedPushedDriver()

    async def story(stage: Stage) -> None:
        for each in (driver, other):
            each.arrivals.put_nowait(ZeroDivisionError("odd"))
        await asyncio.sleep(5)
        assert len(list(stage.outbox.alarms)) == 2
        await stage.connections.stop("line")
        await stage.forwarded()

    stage = run((LINE, driver), (OTHER, other), story=story)
    assert [alarm.identity.connection_id for alarm in stage.outbox.alarms] == ["other"]
    assert [data["connectionId"] for _, data in stage.told(EventType.ALARM_CLEARED)] == ["line"]


def test_a_message_that_was_taken_before_an_exchange_is_known_when_it_comes_again(run: Run) -> None:
    old, new = ScriptedPushedDriver(), ScriptedPushedDriver()
    messages = [
        Sample(device_id="a", readings={"air_temperature": good()}, source_key=key, may_repeat=True)
        for key in (b"one", b"two")
    ]

    async def story(stage: Stage) -> None:
        old.arrivals.put_nowait(messages[:1])
        await asyncio.sleep(0.01)
        # Not on disk yet.
        assert stage.samples("a") == []
        stage.drivers.kept["line"] = new
        await stage.connections.exchange(stopped=["line"], started=[LINE])
        new.arrivals.put_nowait(messages)
        await asyncio.sleep(5)
        await stage.forwarded()
        assert (old.acknowledged, new.acknowledged) == (messages[:1], messages)
        assert sequences(stage, "a") == [1, 2]
        assert stage.device("a").samples_repeated == 1

    run((LINE, old), story=story)


def test_an_adopted_device_comes_back_with_its_connection(run: Run) -> None:
    old, new = ScriptedGroupDriver(), ScriptedGroupDriver()
    radio = connection(device("roof"), connection_id="radio", groups=(group(),))

    async def story(stage: Stage) -> None:
        old.appearing = [(group(), "Left")]
        old.arrivals.put_nowait([])
        await asyncio.sleep(1)
        assert stage.device("radio-left").condition is Condition.WAITING
        stage.drivers.kept["radio"] = new
        await stage.connections.exchange(stopped=["radio"], started=[radio])
        new.arrivals.put_nowait([Sample(device_id="radio-left", readings={"air_temperature": good()})])
        await asyncio.sleep(1)
        assert stage.device("radio-left").condition is Condition.ANSWERING
        await stage.forwarded()

    stage = run((radio, old), story=story)
    assert EventType.DEVICE_RETIRED not in [event for event, _ in stage.told()]


def test_after_an_exchange_that_cannot_be_made_the_old_connections_run_on(run: Run) -> None:
    driver = ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.drivers.kept["line"] = DriverMisconfigured("no such port")
        with pytest.raises(DriverMisconfigured, match="connection 'line': no such port"):
            await stage.connections.exchange(stopped=["line"], started=[LINE])
        polls = len(driver.polls)
        await asyncio.sleep(5)
        assert len(driver.polls) == pytest.approx(polls + 10, abs=2)
        await stage.forwarded()
        assert sequences(stage, "a") == list(range(1, stage.device("a").samples_accepted + 1))

    stage = run((LINE, driver), story=story)
    assert EventType.DEVICE_RETIRED not in [event for event, _ in stage.told()]


@pytest.mark.parametrize("started", [LINE, connection(device("b"), connection_id="new")])
def test_what_is_there_already_is_not_started_and_nothing_is_disturbed(run: Run, started: ConnectionSettings) -> None:
    driver, other = ScriptedPolledDriver(), ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        stage.drivers.kept["new"] = ScriptedPolledDriver()
        await asyncio.sleep(5)
        with pytest.raises(ValueError, match="is there already"):
            await stage.connections.exchange(stopped=["other"], started=[started])
        await asyncio.sleep(5)

    run((LINE, driver), (OTHER, other), story=story)
    assert (driver.opened, other.opened) == (1, 1)


class SlowToClose(ScriptedPolledDriver):
    """Takes its time."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with super().open():
            try:
                yield
            finally:
                await asyncio.sleep(1.5)


def test_an_exchange_that_is_given_up_leaves_one_task_on_the_wire(run: Run) -> None:
    driver = SlowToClose()

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        exchange = asyncio.create_task(stage.connections.stop("line"))
        await asyncio.sleep(0.5)
        exchange.cancel()
        await asyncio.wait([exchange])
        # The old task still closes.
        assert (driver.opened, driver.closed) == (1, 0)
        await asyncio.sleep(5)
        # The driver itself asserts that it has one poll at a time.
        assert (driver.opened, driver.closed) == (2, 1)
        assert len([task for task in asyncio.all_tasks() if task.get_name() == "collector line"]) == 1
        await stage.forwarded()
        assert sequences(stage, "a") == list(range(1, stage.device("a").samples_accepted + 1))

    run((LINE, driver), story=story)


def test_an_exchange_waits_for_a_disk_that_takes_nothing_and_says_nothing_twice(run: Run) -> None:
    driver = ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        failures = iter(range(3))

        def fail_some(sql: str) -> None:
            # The first of the statements that write; three times in a row.
            if sql.startswith("DELETE FROM descriptions") and next(failures, None) is not None:
                raise disk_error(sqlite3.SQLITE_IOERR)

        stage.disk.before = fail_some
        await stage.connections.stop("line")
        assert stage.fleet.status().devices == ()
        await stage.forwarded()

    stage = run((LINE, driver), story=story)
    assert [data["deviceId"] for _, data in stage.told(EventType.DEVICE_RETIRED)] == ["a", "b"]


def test_samples_that_were_refused_before_a_stop_are_declared_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A queue that is full for control events, too: the declaration itself has to wait.
    monkeypatch.setattr(writer, "CONTROL_WAITING_RESERVE", 0)
    driver = ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)

        def take_nothing(sql: str) -> None:
            if sql == "COMMIT":
                raise disk_error(sqlite3.SQLITE_BUSY)

        stage.disk.before = take_nothing
        await asyncio.sleep(60)
        stopping = asyncio.create_task(stage.connections.stop("line"))
        await asyncio.sleep(5)
        assert not stopping.done()
        stage.disk.before = ignore
        await stopping
        await stage.forwarded()

    stage = run((LINE, driver), story=story, queue=writer.Intake(entries_max=20))
    refused = [data["count"] for _, data in stage.told(EventType.READINGS_DROPPED)]
    assert sum(refused) > 50
    assert len(stage.samples("a")) + len(stage.samples("b")) + sum(refused) == len(driver.polls) - driver.cancelled


def test_one_who_waits_for_a_poll_is_told_when_the_connection_is_stopped(run: Run) -> None:
    driver = ScriptedPolledDriver(answer_s=20)

    async def story(stage: Stage) -> None:
        reading = asyncio.create_task(stage.fleet.read(["b"], timeout_s=300))
        await asyncio.sleep(5)
        await stage.connections.stop("line")
        async with asyncio.timeout(1):
            assert await reading == {"b": Told(error="gave no sample")}
        assert await stage.fleet.read(["b"], timeout_s=300) == {}

    run((LINE, driver), story=story)


def test_a_value_that_waits_to_be_written_is_refused_when_the_connection_is_stopped(run: Run) -> None:
    driver = WritableDriver(answer_s=20)

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        writing = asyncio.create_task(stage.fleet.write("b", "target", 1.0, timeout_s=300))
        await asyncio.sleep(1)
        await stage.connections.stop("line")
        async with asyncio.timeout(1):
            with pytest.raises(WriteFailed, match="its connection is stopped") as raised:
                await writing
        assert not raised.value.may_have_arrived

    run((LINE, driver), story=story)
    assert driver.written == []


def test_a_written_value_stands_in_the_next_sample(run: Run) -> None:
    target = replace(point("target"), options=SimulatedPointOptions(low=0.0, high=1000.0), range=None)
    roof = device("roof", target, options=SimulatedDeviceOptions())
    line = replace(connection(roof, connection_id="line"), options=SimulatedConnectionOptions())

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        await stage.fleet.write("roof", "target", 900.0, timeout_s=10)
        await asyncio.sleep(5)
        await stage.forwarded()

    stage = run((line, SimulatedDriver(line)), story=story)
    values = [sample["readings"]["target"]["value"] for sample in stage.samples("roof")]
    assert values.index(900.0) in {5, 6}
    assert set(values[values.index(900.0) :]) == {900.0}
