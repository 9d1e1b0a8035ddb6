import asyncio
import shutil
import sqlite3
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from edge.configure.adopt import Registrar, with_adopted
from edge.configure.announce import Announcer
from edge.domain.event import EventType
from edge.domain.settings import DeviceGroup, Settings
from edge.storage.errors import CommitFailed
from edge.storage.remembered import AdoptedName, load_adopted
from fakes.collect_site import Topic
from fakes.configure_world import STREAM, Gateway, World, make_device, make_settings
from fakes.inline_sqlite import InlineConnect, disk_error, ignore
from fakes.virtual_time import run_virtual

DESCRIBED = EventType.DEVICE_DESCRIBED


def group(**changes: object) -> DeviceGroup:
    template = make_device("radio-{name}", name="", options=Topic(topic="radio/{name}"))
    return replace(DeviceGroup(template=template, adopt=True, devices_max=3), **changes)  # type: ignore[arg-type]


def site(*groups: DeviceGroup) -> Settings:
    settings = make_settings(make_device("bench"))
    return replace(settings, connections=(replace(settings.connections[0], groups=groups or (group(),)),))


def registrar(gateway: Gateway) -> Registrar:
    announcer = Announcer(outbox=gateway.outbox, author=gateway.author, fleet=gateway.fleet)
    return Registrar(outbox=gateway.outbox, author=gateway.author, fleet=gateway.fleet, announcer=announcer)


@pytest.fixture
def radio(world: World) -> World:
    """A world whose one connection has a group that adopts."""
    world.settings = site()
    return world


def test_an_adopted_device_is_described_before_anybody_is_told_of_it(radio: World) -> None:
    async def main() -> None:
        async with radio.started() as gateway:
            assert await registrar(gateway).adopt("line", group(), "Left/1")
            device = gateway.fleet.device("radio-left-1")
            assert device is not None
            assert (device.name, device.options) == ("Left/1", Topic(topic="radio/Left/1"))
            [described] = await gateway.written(DESCRIBED)
            assert (described["deviceId"], described["name"]) == ("radio-left-1", "Left/1")
            assert described["connectionId"] == "line"
            await gateway.settle()
            # The others are described at the start, and this one not again.
            assert [body["deviceId"] for body in await gateway.written(DESCRIBED)] == ["radio-left-1", "bench"]

    run_virtual(main)


def test_an_adopted_device_is_there_after_a_restart(radio: World) -> None:
    async def main() -> None:
        async with radio.started() as gateway:
            await registrar(gateway).adopt("line", group(), "left")
        async with radio.started() as gateway:
            assert [device.id for device in gateway.fleet.all_devices()] == ["bench", "radio-left"]
            await gateway.settle()
            assert [body["deviceId"] for body in await gateway.written(DESCRIBED)] == ["radio-left", "bench"]

    run_virtual(main)


def test_an_adopted_device_can_be_configured_at_once_and_after_a_restart(radio: World) -> None:
    async def main() -> None:
        async with radio.started() as gateway:
            radio.ask(1, {"pollIntervalS": 20}, device_id="radio-left")
            await gateway.settle()
            assert await gateway.answers() == [("radio-left", 1, "unknown_device")]
            following = asyncio.create_task(gateway.configurator.run())
            await asyncio.sleep(10)
            await registrar(gateway).adopt("line", group(), "left")
            radio.ask(2, {"pollIntervalS": 30}, device_id="radio-left")
            await asyncio.sleep(10)
            following.cancel()
            assert (await gateway.answers())[1:] == [("radio-left", 2, "applied")]
            assert gateway.fleet.configuration("radio-left").poll_interval_s == 30
        async with radio.started() as gateway:
            assert gateway.fleet.configuration("radio-left").poll_interval_s == 30

    run_virtual(main)


def test_after_a_lost_database_an_adopted_device_has_its_configuration_with_its_first_description(radio: World) -> None:
    async def main() -> None:
        async with radio.started() as gateway:
            await registrar(gateway).adopt("line", group(), "left")
            radio.ask(2, {"pollIntervalS": 30}, device_id="radio-left")
            await gateway.settle()
            await radio.forward(gateway.outbox)
        shutil.rmtree(radio.directory)
        async with radio.started() as gateway:
            await gateway.settle()
            assert gateway.fleet.device("radio-left") is None
            await registrar(gateway).adopt("line", group(), "left")
            assert gateway.fleet.configuration("radio-left").version == 2
            assert gateway.fleet.configuration("radio-left").poll_interval_s == 30
            described = [d for d in await gateway.written(DESCRIBED) if d["deviceId"] == "radio-left"]
            assert [d["configVersion"] for d in described] == [2]

    run_virtual(main)


def test_an_adopted_device_whose_configuration_cannot_be_found_any_more_has_an_alarm(radio: World) -> None:
    async def main() -> None:
        async with radio.started() as gateway:
            await registrar(gateway).adopt("line", group(), "left")
            radio.ask(2, {"pollIntervalS": 30}, device_id="radio-left")
            await gateway.settle()
            await radio.forward(gateway.outbox)
        shutil.rmtree(radio.directory)
        radio.store.truncate(STREAM, 1)
        async with radio.started() as gateway:
            await gateway.settle()
            assert await gateway.written(EventType.ALARM_RAISED) == [], "there is no such device yet"
            await registrar(gateway).adopt("line", group(), "left")
            [alarm] = await gateway.written(EventType.ALARM_RAISED)
            assert alarm["deviceId"] == "radio-left"
            assert "version 2 was applied before this database was lost" in alarm["message"]

    run_virtual(main)


def test_an_id_that_is_taken_is_not_given_again(radio: World) -> None:
    async def main() -> None:
        async with radio.started() as gateway:
            both = (registrar(gateway).adopt("line", group(), name) for name in ("left", "LEFT"))
            assert await asyncio.gather(*both) == [True, False]
            assert await load_adopted(gateway.outbox.database) == [AdoptedName("line", "radio-{name}", "left")]

    run_virtual(main)


@pytest.mark.parametrize("statement", ["INSERT INTO adopted_devices", "REPLACE INTO descriptions", "COMMIT"])
def test_an_adoption_that_did_not_come_to_disk_is_none(radio: World, statement: str) -> None:
    def refuse(sql: str) -> None:
        if sql.replace(" OR IGNORE", "").startswith(statement):
            raise disk_error(sqlite3.SQLITE_FULL)

    async def main() -> None:
        connect = InlineConnect()
        async with radio.started(connect=connect) as gateway:
            connect.before = refuse
            with pytest.raises(CommitFailed):
                await registrar(gateway).adopt("line", group(), "left")
            connect.before = ignore
            assert gateway.fleet.device("radio-left") is None
            assert await gateway.written(DESCRIBED) == []

    run_virtual(main)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (site(group(adopt=False, devices_max=0)), "not in names"),
        (site(group(devices_max=1, names=("other",))), "devices_max = 1 is reached"),
        (site(group(template=make_device("x-{name}", options=Topic(topic="{name}")))), "there is no such group"),
        (
            replace(
                site(),
                connections=(
                    replace(site().connections[0], devices=(make_device("bench"), make_device("radio-left"))),
                ),
            ),
            "the id radio-left is taken",
        ),
        (
            replace(
                site(),
                connections=(
                    replace(
                        site().connections[0],
                        devices=(make_device("bench"), make_device("by-hand", options=Topic(topic="radio/left"))),
                    ),
                ),
            ),
            "it is the device by-hand now",
        ),
        (replace(site(), connections=()), "there is no such group"),
    ],
)
def test_what_may_not_be_adopted_any_more_is_forgotten_with_a_line_in_the_log(
    radio: World, changed: Settings, reason: str
) -> None:
    async def main() -> None:
        async with radio.started() as gateway:
            await registrar(gateway).adopt("line", group(), "left")
        radio.settings = changed
        for is_first in (True, False):
            with capture_logs() as logs:
                async with radio.started() as gateway:
                    assert len(gateway.fleet.all_devices()) == len(changed.devices())
                    assert await load_adopted(gateway.outbox.database) == []
                    await gateway.settle()
                    retired = [body["deviceId"] for body in await gateway.written(EventType.DEVICE_RETIRED)]
                    assert retired == (
                        [] if any(item.id == "radio-left" for item in changed.devices()) else ["radio-left"]
                    )
            reasons = [line["reason"] for line in logs if line["event"] == "adopted_device_left_out"]
            assert reasons == ([reason] if is_first else [])

    run_virtual(main)


def test_the_oldest_stay_when_fewer_may_be_adopted() -> None:
    adopted = [AdoptedName("line", "radio-{name}", name) for name in ("a", "b", "c")]
    settings, left_out = with_adopted(site(group(devices_max=2)), adopted)
    assert [device.id for device in settings.devices()] == ["bench", "radio-a", "radio-b"]
    assert settings.connections[0].groups[0].names == ("a", "b")
    assert [item.name for item, _ in left_out] == ["c"]


def test_a_name_that_the_site_file_lists_meanwhile_is_its_own() -> None:
    settings, left_out = with_adopted(site(group(names=("a",))), [AdoptedName("line", "radio-{name}", "a")])
    # The site file made the device of it already (or would have, in a whole one).
    assert (settings, left_out) == (site(group(names=("a",))), [])
