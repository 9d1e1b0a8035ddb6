"""What goes wrong while connections are exchanged: nothing is lost, and the old ones run on."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from edge.collect.fleet import Told
from edge.domain.driver import DriverMisconfigured
from edge.domain.event import EventType
from edge.domain.settings import ConnectionSettings
from edge.storage import writer
from edge.storage.remembered import load_adopted
from fakes.collect_site import connection, device, group
from fakes.gateway_stage import Run, Stage
from fakes.inline_sqlite import disk_error, ignore
from fakes.scripted_driver import ScriptedGroupDriver, ScriptedPolledDriver

LINE = connection(device("a"), device("b"), connection_id="line")
OTHER = connection(device("c"), connection_id="other")
RADIO = connection(device("roof"), connection_id="radio", groups=(group(),))


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
        assert stage.sequences("a") == list(range(1, stage.device("a").samples_accepted + 1))

    stage = run((LINE, driver), story=story)
    assert EventType.DEVICE_RETIRED not in [event for event, _ in stage.told()]


def test_after_an_exchange_that_cannot_be_made_what_was_adopted_is_still_remembered(run: Run) -> None:
    driver = ScriptedGroupDriver()

    async def story(stage: Stage) -> None:
        driver.appearing = [(group(), "Left")]
        driver.arrivals.put_nowait([])
        await asyncio.sleep(1)
        adopted = await load_adopted(stage.outbox.database)
        stage.drivers.kept["radio"] = DriverMisconfigured("no such port")
        with pytest.raises(DriverMisconfigured):
            await stage.connections.exchange(stopped=["radio"], started=[replace(RADIO, groups=())])
        assert await load_adopted(stage.outbox.database) == adopted != []

    run((RADIO, driver), story=story)


def test_names_that_are_being_adopted_when_a_stop_is_given_up_are_adopted_after_it(run: Run) -> None:
    driver = ScriptedGroupDriver()

    async def story(stage: Stage) -> None:
        await asyncio.sleep(1)

        def take_nobody_on(sql: str) -> None:
            if "adopted" in sql:
                raise disk_error(sqlite3.SQLITE_IOERR)

        stage.disk.before = take_nobody_on
        driver.appearing = [(group(), "Left"), (group(), "Right")]
        driver.arrivals.put_nowait([])
        await asyncio.sleep(5)
        stopping = asyncio.create_task(stage.connections.stop("radio"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
        stage.disk.before = ignore
        await asyncio.sleep(5)
        assert [device.id for device in driver.adopted] == ["radio-left", "radio-right"]

    run((RADIO, driver), story=story)


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
        assert stage.sequences("a") == list(range(1, stage.device("a").samples_accepted + 1))

    run((LINE, driver), story=story)


async def given_up_stop(stage: Stage) -> None:
    """Begin to stop a connection, and give that up while its driver closes."""
    await asyncio.sleep(5)
    stopping = asyncio.create_task(stage.connections.stop("line"))
    await asyncio.sleep(0.5)
    stopping.cancel()
    await asyncio.wait([stopping])


def test_an_exchange_after_one_that_was_given_up_waits_until_the_wire_is_free(run: Run) -> None:
    old, new = SlowToClose(), ScriptedPolledDriver()

    async def story(stage: Stage) -> None:
        await given_up_stop(stage)
        assert (old.opened, old.closed) == (1, 0)
        stage.drivers.kept["line"] = new
        await stage.connections.exchange(stopped=["line"], started=[LINE])
        await asyncio.sleep(0.01)
        assert (old.opened, old.closed, new.opened) == (1, 1, 1)

    run((LINE, old), story=story)


def test_a_gateway_that_stops_while_a_connection_is_stopped_leaves_no_driver_behind(run: Run) -> None:
    driver = SlowToClose()

    async def story(stage: Stage) -> None:
        await given_up_stop(stage)

    # The stage itself asserts that no task is left over.
    run((LINE, driver), story=story)
    assert (driver.opened, driver.closed) == (1, 1)


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
