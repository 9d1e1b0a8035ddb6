"""Connections are stopped, started and exchanged in a running gateway."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from drivers.simulated.driver import SimulatedDriver
from drivers.simulated.options import SimulatedConnectionOptions, SimulatedDeviceOptions, SimulatedPointOptions
from edge.collect.status import Condition
from edge.domain.configuration import WriteFailed
from edge.domain.driver import DeviceUnreachable
from edge.domain.event import EventType
from edge.domain.reading import Sample
from edge.domain.settable import Limits
from edge.storage.configurations import StoredConfiguration, save_configuration
from fakes.collect_site import connection, device, group, point
from fakes.gateway_stage import Run, Stage
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
            assert stage.sequences(device_id) == list(range(1, accepted + 1))
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
        assert stage.sequences("a") == list(range(1, stage.device("a").samples_accepted + 1))
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
        assert stage.sequences("b") == list(range(1, stage.device("b").samples_accepted + 1))

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
        assert stage.sequences("a") == [1, 2]
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


def test_an_adopted_device_comes_back_although_another_connection_was_started_while_its_own_was_stopped(
    run: Run,
) -> None:
    driver = ScriptedGroupDriver()
    radio = connection(device("roof"), connection_id="radio", groups=(group(),))

    async def story(stage: Stage) -> None:
        driver.appearing = [(group(), "Left")]
        driver.arrivals.put_nowait([])
        await asyncio.sleep(1)
        await stage.connections.stop("radio")
        stage.drivers.kept["line"] = ScriptedPolledDriver()
        await stage.connections.start(LINE)
        await stage.connections.start(radio)
        assert stage.device("radio-left").connection_id == "radio"

    run((radio, driver), story=story)


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
