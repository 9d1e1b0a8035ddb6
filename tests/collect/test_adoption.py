import asyncio
from dataclasses import replace

import pytest

from edge.collect.status import Condition
from edge.domain.driver import SEEN_TEXT_LENGTH_MAX, MalformedResponse, SeenName
from edge.domain.event import EventType
from edge.domain.reading import Sample
from edge.domain.settings import DeviceGroup
from edge.storage.errors import CommitFailed
from fakes.collect_run import FakeRegistrar, Work, collect
from fakes.collect_site import connection, device, group, values
from fakes.scripted_driver import ScriptedGroupDriver, ScriptedPolledDriver, good

GROUP = group()
BROKER = connection(device("roof"), connection_id="broker", groups=(GROUP,))


def said(value: float, device_id: str) -> Sample:
    return Sample(device_id=device_id, readings={"air_temperature": good(value)})


def seen(name: str, *, reason: str = "not in names") -> SeenName:
    return SeenName(group_id=GROUP.id, name=name, topic=f"radio/{name}", last_seen_ms=1, reason=reason)


async def appear(driver: ScriptedGroupDriver, *names: str, of: str = GROUP.id) -> None:
    driver.appearing += [(replace(GROUP, template=replace(GROUP.template, id=of)), name) for name in names]
    # Whatever woke the driver: it has nothing to give yet.
    driver.arrivals.put_nowait([])
    await asyncio.sleep(0.01)


def test_a_name_that_appears_becomes_a_device_before_its_first_sample() -> None:
    driver = ScriptedGroupDriver()

    async def story(work: Work) -> None:
        await appear(driver, "Bench 3/left")
        (adopted,) = driver.adopted
        assert (adopted.id, adopted.name) == ("radio-bench-3-left", "Bench 3/left")
        driver.arrivals.put_nowait([said(20.0, "radio-bench-3-left")])
        await asyncio.sleep(1)
        statuses = {status.device_id: status for status in work.fleet.status().devices}
        assert statuses["radio-bench-3-left"].condition is Condition.ANSWERING
        assert statuses["radio-bench-3-left"].connection_id == "broker"

    work = collect((BROKER, driver), story=story)
    assert values(work.outbox.samples("radio-bench-3-left")) == [20.0]


def test_an_adopted_device_is_missed_when_it_is_silent_and_obeys_its_configuration() -> None:
    driver = ScriptedGroupDriver()

    async def story(work: Work) -> None:
        await appear(driver, "left")
        driver.arrivals.put_nowait([said(20.0, "radio-left")])
        await asyncio.sleep(10)
        assert work.outbox.of(EventType.DEVICE_CONNECTION_LOST, "radio-left")
        work.fleet.configure(replace(work.fleet.configuration("radio-left"), enabled=False))
        driver.arrivals.put_nowait([said(21.0, "radio-left")])
        await asyncio.sleep(1)

    work = collect((BROKER, driver), story=story)
    assert values(work.outbox.samples("radio-left")) == [20.0]


def test_a_name_is_refused_with_the_reason() -> None:
    driver = ScriptedGroupDriver()
    narrow = group(devices_max=3, names=("one",))
    line = connection(device("radio-one"), device("radio-taken"), connection_id="broker", groups=(narrow,))
    driver.seen_names = [seen(name) for name in ("Taken", "!!", "x" * 100, "two", "three", "four")]

    async def story(work: Work) -> None:
        await appear(driver, "one", "Taken", "!!", "x" * 100, "two", "Two", "three", "four")
        assert [item.id for item in driver.adopted] == ["radio-two", "radio-three"]
        reasons = {item.name: item.reason for item in work.fleet.status().connections[0].seen}
        assert reasons == {
            "Taken": "the id radio-taken is taken",
            "!!": "gives no id",
            "x" * 100: "gives no id",
            # The driver's own, which it lists no longer once it has them.
            "two": "not in names",
            "three": "not in names",
            "four": "devices_max = 3 is reached",
        }

    work = collect((line, driver), story=story)
    assert work.registrar.asked == ["two", "three"]


@pytest.mark.parametrize("name", ["\ud800", "x" * (SEEN_TEXT_LENGTH_MAX + 1), None, b"left"])
def test_what_can_be_no_name_is_a_fault_and_nothing_is_made_of_it(name: str) -> None:
    driver = ScriptedGroupDriver()

    async def story(work: Work) -> None:
        await appear(driver, name)
        await appear(driver, "left")
        await asyncio.sleep(1)
        assert work.registrar.asked == ["left"]

    work = collect((BROKER, driver), story=story)
    assert [event.data["connectionId"] for event in work.outbox.of(EventType.ALARM_RAISED)] == ["broker"]


def test_a_group_that_adopts_none_lists_what_was_seen() -> None:
    driver = ScriptedGroupDriver()
    driver.seen_names = [seen("left")]
    line = connection(device("roof"), connection_id="broker", groups=(group(adopt=False, devices_max=0),))

    async def story(work: Work) -> None:
        await appear(driver, "left")
        assert driver.adopted == []
        assert list(work.fleet.status().connections[0].seen) == [seen("left")]

    work = collect((line, driver), story=story)
    assert work.registrar.asked == []


def test_nobody_is_missed_while_an_adoption_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = ScriptedGroupDriver()
    adopt = FakeRegistrar.adopt

    async def patient(self: FakeRegistrar, connection_id: str, group: DeviceGroup, name: str) -> bool:
        await asyncio.sleep(60)
        return await adopt(self, connection_id, group, name)

    monkeypatch.setattr(FakeRegistrar, "adopt", patient)

    async def story(work: Work) -> None:
        driver.arrivals.put_nowait([said(20.0, "roof")])
        await appear(driver, "left")
        await asyncio.sleep(62)
        assert not work.outbox.of(EventType.DEVICE_CONNECTION_LOST, "roof")
        # From then on its silence is its own.
        await asyncio.sleep(6)
        assert work.outbox.of(EventType.DEVICE_CONNECTION_LOST, "roof")

    collect((BROKER, driver), story=story)


def test_an_adoption_that_the_disk_does_not_take_is_tried_again_before_anything_else_is_received() -> None:
    driver = ScriptedGroupDriver()

    async def story(work: Work) -> None:
        work.registrar.errors = [CommitFailed("disk I/O error"), CommitFailed("disk I/O error")]
        await appear(driver, "left")
        assert driver.adopted == []
        # What the driver holds of the newcomer it would give up at its next `receive`: it is not asked meanwhile.
        driver.arrivals.put_nowait([said(19.0, "roof")])
        await asyncio.sleep(0.5)
        assert not driver.arrivals.empty()
        await asyncio.sleep(3)
        assert driver.arrivals.empty()
        assert [item.id for item in driver.adopted] == ["radio-left"]
        await appear(driver, "left")
        assert len(driver.adopted) == 1

    work = collect((BROKER, driver), story=story)
    assert work.registrar.asked == ["left"] * 3


def test_a_driver_that_breaks_on_its_groups_is_a_bug_of_its_own_and_goes_on() -> None:
    class Breaking(ScriptedGroupDriver):
        def seen(self) -> list[SeenName]:
            raise ZeroDivisionError

    driver = Breaking()

    async def story(work: Work) -> None:
        assert work.fleet.status().connections[0].seen == ()
        await appear(driver, "left", of="another-{name}")
        await asyncio.sleep(1)
        driver.arrivals.put_nowait([said(20.0, "roof")])
        await asyncio.sleep(1)

    work = collect((BROKER, driver), story=story)
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]
    assert values(work.outbox.samples("roof")) == [20.0]


def test_names_are_looked_for_after_trouble_as_well() -> None:
    driver = ScriptedGroupDriver()

    async def story(_: Work) -> None:
        driver.appearing = [(GROUP, "left")]
        driver.arrivals.put_nowait(MalformedResponse("no JSON"))
        await asyncio.sleep(0.1)
        assert [item.id for item in driver.adopted] == ["radio-left"]

    collect((BROKER, driver), story=story)


def test_a_connection_whose_driver_knows_no_groups_has_seen_nobody() -> None:
    async def story(work: Work) -> None:
        await asyncio.sleep(1)
        assert work.fleet.status().connections[0].seen == ()

    collect((connection(device("a")), ScriptedPolledDriver()), story=story)
