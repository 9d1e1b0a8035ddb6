"""The gateway put together, with its drivers replaced by scripted ones; nobody answers where its event store should be."""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.configure.following import FollowingState
from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.backoff import Backoff
from edge.domain.driver import Driver, DriverContext, DriverMisconfigured
from edge.domain.event import EventType
from edge.domain.event_store import NO_STREAM
from edge.domain.reading import Sample
from edge.domain.settings import (
    ConnectionSettings,
)
from edge.forward import link
from edge.storage.database import FILE_NAME
from fakes.collect_site import connection, device, group
from fakes.configure_world import STATUS_STREAM, STREAM, update, update_event
from fakes.event_store import FakeEventStore
from fakes.inline_sqlite import connect_inline
from fakes.outbox_drafts import all_entries
from fakes.running_gateway import until as until_true
from fakes.scripted_driver import good
from fakes.whole_gateway import Drivers, running, site, until


async def test_a_driver_learns_what_it_may_know_of_the_gateway(drivers: Drivers, tmp_path: Path) -> None:
    async with running(site(tmp_path)) as gateway:
        context = drivers.contexts["broker"]
        assert (context.gateway_id, context.time_zone, context.folder) == ("north-1", "Europe/Amsterdam", tmp_path)
        assert context.credential("broker") == "user:secret"
        with pytest.raises(DriverMisconfigured, match="credential 'other' was not found"):
            context.credential("other")
        drivers.made["broker"].arrivals.put_nowait([Sample(device_id="roof", readings={"air_temperature": good()})])
        await until(gateway, EventType.SENSOR_READING_RECEIVED)
        latest = context.latest("roof", "air_temperature")
        assert latest is not None
        assert latest.reading == good()


async def test_a_driver_that_cannot_be_made_is_told_with_its_connection(
    drivers: Drivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: ConnectionSettings, context: DriverContext) -> Driver:
        context.credential("other")
        raise AssertionError

    monkeypatch.setattr(drivers, "create", refuse)
    with pytest.raises(DriverMisconfigured, match="connection 'broker': credential 'other' was not found"):
        async with running(site(tmp_path)):
            raise AssertionError


async def test_an_adopted_device_reports_at_once_and_after_a_restart(drivers: Drivers, tmp_path: Path) -> None:
    async with running(site(tmp_path)) as gateway:
        first = drivers.made["broker"]
        first.appearing = [(group(), "Left")]
        first.arrivals.put_nowait([])
        assert (await until(gateway, EventType.DEVICE_DESCRIBED, "radio-left"))["connectionId"] == "broker"
        first.arrivals.put_nowait([Sample(device_id="radio-left", readings={"air_temperature": good(20.0)})])
        assert (await until(gateway, EventType.SENSOR_READING_RECEIVED))["deviceId"] == "radio-left"
    async with running(site(tmp_path)) as gateway:
        # As if the site file had listed it.
        (broker,) = drivers.connections.values()
        assert [item.id for item in broker.devices] == ["roof", "radio-left"]
        assert broker.groups[0].names == ("Left",)
        loaded = await until(gateway, EventType.SITE_FILE_LOADED)
        assert [item["deviceId"] for item in loaded["devices"]] == ["roof", "radio-left"]
        drivers.made["broker"].arrivals.put_nowait(
            [Sample(device_id="radio-left", readings={"air_temperature": good(21.0)})]
        )
        assert (await until(gateway, EventType.SENSOR_READING_RECEIVED))["deviceId"] == "radio-left"


async def test_what_an_earlier_run_accepted_is_known_when_it_comes_again(drivers: Drivers, tmp_path: Path) -> None:
    sample = Sample(device_id="roof", readings={"air_temperature": good()}, source_key=b"one", may_repeat=True)
    async with running(site(tmp_path)) as gateway:
        drivers.made["broker"].arrivals.put_nowait([sample])
        await until(gateway, EventType.SENSOR_READING_RECEIVED)
    async with running(site(tmp_path)) as gateway:
        drivers.made["broker"].arrivals.put_nowait([sample, replace(sample, source_key=b"two")])
        await until(gateway, EventType.SENSOR_READING_RECEIVED)
        assert len(drivers.made["broker"].acknowledged) == 2
        samples = [entry for entry in await all_entries(gateway.outbox) if entry.source_key]
        assert [entry.source_key for entry in samples] == [b"one", b"two"]
        assert gateway.fleet.status().devices[0].samples_repeated == 1


async def test_a_run_names_the_one_before_it(drivers: Drivers, tmp_path: Path) -> None:
    assert drivers.made == {}
    async with running(site(tmp_path)) as gateway:
        first = gateway.author.run
        assert "previousRun" not in await until(gateway, EventType.GATEWAY_STARTED)
    async with running(site(tmp_path)) as gateway:
        assert (await until(gateway, EventType.GATEWAY_STARTED))["previousRun"] == str(first)


def leaves() -> Driver:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("make", "why"),
    [(leaves, "SystemExit: 3"), (object, "TypeError: object has not the methods of a driver")],
)
async def test_a_driver_that_breaks_while_it_is_made_costs_only_its_own_connection(
    drivers: Drivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Driver], why: str
) -> None:
    made = drivers.create

    def create(settings: ConnectionSettings, context: DriverContext) -> Driver:
        return make() if settings.id == "odd" else made(settings, context)

    monkeypatch.setattr(drivers, "create", create)
    settings = site(tmp_path)
    odd = connection(device("pump", poll_interval_s=0.05), connection_id="odd")
    async with running(replace(settings, connections=(odd, *settings.connections))) as gateway:
        drivers.made["broker"].arrivals.put_nowait([Sample(device_id="roof", readings={"air_temperature": good()})])
        await until(gateway, EventType.SENSOR_READING_RECEIVED, "roof")
        alarm = await until(gateway, EventType.ALARM_RAISED)
        assert (alarm["alarm"], alarm["connectionId"]) == ("driver_fault", "odd")
        assert alarm["message"] == f"the driver could not be made: {why}"
        # Its devices are missed like those behind any other connection that does not open.
        assert (await until(gateway, EventType.DEVICE_CONNECTION_LOST, "pump"))["reason"] == "connection_lost"


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt()])
async def test_what_a_driver_raises_does_not_end_the_gateway_and_a_request_to_stop_does(
    drivers: Drivers, tmp_path: Path, raised: BaseException
) -> None:
    async with running(site(tmp_path)) as gateway:
        broker = drivers.made["broker"]
        broker.arrivals.put_nowait(raised)
        broker.arrivals.put_nowait([Sample(device_id="roof", readings={"air_temperature": good()})])
        await until(gateway, EventType.SENSOR_READING_RECEIVED, "roof")
        await until(gateway, EventType.ALARM_RAISED)


async def stands(store: FakeEventStore, event_type: EventType) -> None:
    async with asyncio.timeout(30):
        while event_type not in [event.type for event in store.events("gateway-north-1")]:  # noqa: ASYNC110 - it polls
            await asyncio.sleep(0.01)


async def test_a_subscription_that_ends_has_the_forwarder_look_whether_the_store_went_back(
    drivers: Drivers, tmp_path: Path, store: FakeEventStore
) -> None:
    # Nothing that would be sent later, and would show it as well.
    async with running(replace(site(tmp_path), connections=())) as gateway:
        await stands(store, EventType.SITE_FILE_LOADED)
        following = gateway.configurator.status
        await until_true(lambda: following().state is FollowingState.FOLLOWING, "the subscription")
        store.restore({})
        await stands(store, EventType.EVENT_STORE_RESTORED)
        await stands(store, EventType.SITE_FILE_LOADED)
    assert not drivers.made


async def test_a_subscription_that_succeeds_ends_the_forwarders_wait(
    drivers: Drivers, tmp_path: Path, store: FakeEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "LINK_BACKOFF", Backoff(first_s=3600.0, longest_s=3600.0))
    store.go_down()
    async with running(replace(site(tmp_path), connections=())) as gateway:
        while gateway.forwarder.status().state is not link.LinkState.UNREACHABLE:  # noqa: ASYNC110 - it polls
            await asyncio.sleep(0.01)
        store.restart()
        await stands(store, EventType.GATEWAY_STARTED)
    assert not drivers.made


async def test_the_alarm_of_a_connection_that_is_removed_is_cleared_at_the_next_start(
    drivers: Drivers, tmp_path: Path
) -> None:
    settings = site(tmp_path)
    both = replace(settings, connections=(*settings.connections, connection(device("bench"), connection_id="line")))
    async with running(both) as gateway:
        for driver in drivers.made.values():
            driver.arrivals.put_nowait(ZeroDivisionError("odd"))
        raised = [await until(gateway, EventType.ALARM_RAISED, connection_id=name) for name in ("broker", "line")]
        assert [data["connectionId"] for data in raised] == ["broker", "line"]
    async with running(settings) as gateway:
        assert (await until(gateway, EventType.ALARM_CLEARED))["connectionId"] == "line"
        assert [alarm.identity.connection_id for alarm in gateway.outbox.alarms] == ["broker"]


async def test_an_alarm_about_a_device_behind_a_connection_is_cleared_when_it_is_there_no_more(
    drivers: Drivers, tmp_path: Path
) -> None:
    settings = site(tmp_path)
    stalls = [
        AlarmIdentity(alarm=AlarmKind.DRIVER_STALLED, connection_id="broker", device_id=device_id)
        for device_id in ("roof", "bench")
    ]
    async with running(settings) as gateway:
        assert set(drivers.made) == {"broker"}
        for stall in stalls:
            await gateway.outbox.record(gateway.author.alarm_raised(stall, "it hangs"))
    bench = connection(device("bench"), connection_id="line")
    async with running(replace(settings, connections=(*settings.connections, bench))) as gateway:
        assert (await until(gateway, EventType.ALARM_CLEARED))["deviceId"] == "bench"
        assert [alarm.identity for alarm in gateway.outbox.alarms] == stalls[:1]


async def test_a_damaged_outbox_is_an_alarm_and_measuring_goes_on(drivers: Drivers, tmp_path: Path) -> None:
    async with running(site(tmp_path)) as gateway:
        await until(gateway, EventType.DEVICE_DESCRIBED, "roof")
    connection = await connect_inline(tmp_path / "state" / FILE_NAME)
    await connection.fetch_all("DELETE FROM streams")
    await connection.close()
    async with running(site(tmp_path)) as gateway:
        alarm = await until(gateway, EventType.ALARM_RAISED)
        assert (alarm["alarm"], alarm["stream"]) == ("outbox_damaged", "(stream 1)")
        drivers.made["broker"].arrivals.put_nowait([Sample(device_id="roof", readings={"air_temperature": good()})])
        await until(gateway, EventType.SENSOR_READING_RECEIVED)


async def test_after_a_lost_database_the_first_sample_knows_the_configuration_that_was_applied(
    drivers: Drivers, tmp_path: Path, store: FakeEventStore
) -> None:
    # Each call takes a while: long enough for a collector that does not wait.
    store.latency_s = lambda: 0.05

    async def first_version() -> int:
        async with running(site(tmp_path)) as gateway:
            drivers.made["broker"].arrivals.put_nowait([Sample(device_id="roof", readings={"air_temperature": good()})])
            await until(gateway, EventType.SENSOR_READING_RECEIVED)
            await until_true(lambda: not gateway.outbox.statistics().pending_by_stream, "all is forwarded")
            [sample] = [e for e in await all_entries(gateway.outbox) if e.type == EventType.SENSOR_READING_RECEIVED]
            version: int = json.loads(sample.metadata)["configVersion"]
            return version

    assert await first_version() == 0
    shutil.rmtree(tmp_path / "state")
    asked = update_event(update(3, device_id="roof"))
    await store.append(STREAM, [asked], expected_revision=NO_STREAM)
    assert await first_version() == 3
    shutil.rmtree(tmp_path / "state")
    assert await first_version() == 3
    assert len(store.events(STATUS_STREAM)) == 1


async def test_a_connection_leaves_and_comes_back_while_updates_are_followed(
    drivers: Drivers, tmp_path: Path, store: FakeEventStore
) -> None:
    sample = Sample(device_id="roof", readings={"air_temperature": good()})

    async def answered(count: int) -> list[str]:
        await until_true(lambda: len(store.events(STATUS_STREAM)) == count, f"{count} answers")
        return [event.type for event in store.events(STATUS_STREAM)]

    def heard() -> list[int]:
        return [json.loads(event.data)["sequence"] for event in store.events("sensorReadings-north-1.roof")]

    async with running(site(tmp_path)) as gateway:
        drivers.made["broker"].arrivals.put_nowait([sample])
        await until_true(lambda: heard() == [1], "the first sample")
        await gateway.connections.stop("broker")
        assert gateway.fleet.status().devices == ()
        while_away = update_event(update(3, device_id="roof"))
        await store.append(STREAM, [while_away], expected_revision=NO_STREAM)
        assert await answered(1) == ["DeviceConfigurationRejected"]
        await gateway.connections.start(gateway.settings.connections[0])
        await store.append(STREAM, [update_event(update(4, device_id="roof"))], expected_revision=0)
        assert await answered(2) == ["DeviceConfigurationRejected", "DeviceConfigurationApplied"]
        drivers.made["broker"].arrivals.put_nowait([sample])
        await until_true(lambda: heard() == [1, 2], "the second sample")
        assert (await until(gateway, EventType.DEVICE_RETIRED))["deviceId"] == "roof"
        assert gateway.fleet.configuration("roof").version == 4
