import asyncio
from dataclasses import replace

from edge.collect.status import Condition
from edge.domain.driver import ConnectionLost, DeviceUnreachable, PushedDriver
from edge.domain.event import EventType
from edge.domain.reading import Origin, Reading, Sample
from edge.domain.settings import ConnectionSettings
from fakes.collect_run import Work, collect, for_seconds
from fakes.collect_site import FakeOutbox, connection, device, point, values
from fakes.scripted_driver import ScriptedPolledDriver, ScriptedPushedDriver, good

LOST = EventType.DEVICE_CONNECTION_LOST


def said(value: float, device_id: str = "a", *, key: bytes = b"", origin: Origin = Origin.LIVE) -> Sample:
    return Sample(device_id=device_id, readings={"air_temperature": good(value)}, source_key=key, origin=origin)


def broker(*names: str, deadband: float = 0.0) -> ConnectionSettings:
    return connection(*(device(name, point(deadband=deadband)) for name in names), connection_id="broker")


def test_samples_are_acknowledged_after_their_commit_and_not_before() -> None:
    driver = ScriptedPushedDriver()

    async def story(_: Work) -> None:
        samples = [said(1.0, key=b"one"), said(2.0, key=b"two")]
        driver.arrivals.put_nowait(samples)
        await asyncio.sleep(0.45)
        assert driver.acknowledged == []
        await asyncio.sleep(0.1)
        assert driver.acknowledged == samples

    work = collect((broker("a"), driver), story=story)
    assert [event.source_key for event in work.outbox.samples()] == [b"one", b"two"]
    assert work.fleet.status().devices[0].samples_accepted == 2


def test_what_gives_no_event_is_acknowledged_in_its_turn() -> None:
    driver = ScriptedPushedDriver()
    samples = [
        said(99.0, "nobody"),
        said(20.0, "a"),
        said(20.1, "a"),  # inside the dead-band
        said(50.0, "nobody"),
        said(20.0, "off"),
        Sample(device_id="a", readings={"air_temperature": Reading(value=1.0, unit="[degF]")}),  # a driver's bug
        said(30.0, "a"),
        said(30.1, "a"),
    ]

    async def story(work: Work) -> None:
        work.fleet.configure(replace(work.fleet.configuration("off"), enabled=False))
        for sample in samples:
            driver.arrivals.put_nowait([sample])
        await asyncio.sleep(0.4)
        # The first needs no commit; the second does, and holds up all behind it.
        assert driver.acknowledged == samples[:1]
        await asyncio.sleep(0.2)
        assert driver.acknowledged == samples

    work = collect((broker("a", "off", deadband=0.5), driver), story=story)
    assert values(work.outbox.samples()) == [20.0, 30.0]
    assert work.fleet.status().devices[0].samples_suppressed == 2


def test_a_full_outbox_holds_up_receiving_and_loses_nothing() -> None:
    driver = ScriptedPushedDriver()
    outbox = FakeOutbox(room=6)
    samples = [said(float(number), name) for number in range(10) for name in "ab"]

    async def story(work: Work) -> None:
        outbox.is_stuck = True
        for sample in samples:
            driver.arrivals.put_nowait([sample])
        await asyncio.sleep(30)
        assert driver.acknowledged == []
        assert driver.receives == 4
        # Who could not be heard is not lost.
        assert {status.condition for status in work.fleet.status().devices} == {Condition.ANSWERING}
        outbox.is_stuck = False
        await asyncio.sleep(5)
        assert driver.acknowledged == samples

    work = collect((broker("a", "b"), driver), outbox=outbox, story=story)
    assert values(work.outbox.samples("a")) == values(work.outbox.samples("b")) == [float(n) for n in range(10)]
    assert work.outbox.control_types() == []
    assert work.fleet.status().devices[0].samples_refused == 0


def test_a_flood_takes_no_room_from_who_is_asked_at_his_time() -> None:
    flood, polled = ScriptedPushedDriver(), ScriptedPolledDriver()
    # A minute's work for a disk that takes no more than this outbox has room for.
    flood.arrivals.put_nowait([said(float(number), "a") for number in range(6000)])
    line = connection(device("probe"))
    work = collect((broker("a"), flood), (line, polled), outbox=FakeOutbox(room=100), story=for_seconds(30))
    assert len(work.outbox.samples("probe")) == 30
    assert work.fleet.status().devices[1].samples_refused == 0
    assert len(work.outbox.samples("a")) >= 30 * 2 * 49


def test_a_device_that_is_silent_for_too_long_is_lost_until_it_speaks() -> None:
    driver = ScriptedPushedDriver()

    async def story(_: Work) -> None:
        for _second in range(5):
            driver.arrivals.put_nowait([said(20.0)])
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        driver.arrivals.put_nowait([said(20.0)])
        await asyncio.sleep(1)

    work = collect((broker("a"), driver), story=story)
    assert work.outbox.control_types() == ["DeviceConnectionLost", "DeviceConnectionRestored"]
    (lost,) = work.outbox.of(LOST)
    assert lost.data["reason"] == "silence"
    assert lost.data["since"] == "2026-11-23T10:00:04.000Z"
    assert lost.data["occurredAt"] == "2026-11-23T10:00:10.000Z"


def test_a_pause_of_ours_is_no_silence_of_a_device() -> None:
    driver = ScriptedPushedDriver()
    outbox = FakeOutbox(room=2)

    async def story(_: Work) -> None:
        await asyncio.sleep(1)
        outbox.is_stuck = True
        # One has room; nothing is received while the other waits for it.
        driver.arrivals.put_nowait([said(1.0), said(2.0)])
        await asyncio.sleep(61)
        outbox.is_stuck = False
        # Shorter than the silence that is allowed; in between, at 66 s, silence is looked for.
        await asyncio.sleep(5)
        driver.arrivals.put_nowait([said(3.0)])
        await asyncio.sleep(1)

    work = collect((broker("a"), driver), outbox=outbox, story=story)
    assert values(work.outbox.samples()) == [1.0, 2.0, 3.0]
    assert work.outbox.control_types() == []


def test_a_device_that_never_spoke_is_lost_after_its_silence() -> None:
    work = collect((broker("a"), ScriptedPushedDriver()), story=lambda _: asyncio.sleep(8))
    (lost,) = work.outbox.of(LOST)
    assert lost.data["occurredAt"] == "2026-11-23T10:00:06.000Z"


def test_a_disabled_device_is_not_missed_and_gets_its_whole_silence_when_enabled() -> None:
    driver = ScriptedPushedDriver()

    async def story(work: Work) -> None:
        driver.arrivals.put_nowait([said(20.0)])
        await asyncio.sleep(1)
        work.fleet.configure(replace(work.fleet.configuration("a"), enabled=False))
        await asyncio.sleep(100)
        work.fleet.configure(replace(work.fleet.configuration("a"), enabled=True))
        await asyncio.sleep(5.5)
        assert work.outbox.control_types() == []
        await asyncio.sleep(2)

    work = collect((broker("a"), driver), story=story)
    assert work.outbox.control_types() == ["DeviceConnectionLost"]


def test_silence_is_counted_by_the_configuration_in_force() -> None:
    driver = ScriptedPushedDriver()

    async def story(work: Work) -> None:
        work.fleet.configure(replace(work.fleet.configuration("a"), poll_interval_s=3.0))
        driver.arrivals.put_nowait([said(20.0)])
        await asyncio.sleep(17)
        assert work.outbox.control_types() == []
        await asyncio.sleep(2)

    work = collect((broker("a"), driver), story=story)
    assert work.outbox.control_types() == ["DeviceConnectionLost"]


def test_what_a_broker_retained_is_no_sign_of_life() -> None:
    driver = ScriptedPushedDriver()
    driver_says = [said(20.0, origin=Origin.RETAINED)]

    async def story(_: Work) -> None:
        await asyncio.sleep(4)
        driver.arrivals.put_nowait(driver_says)
        await asyncio.sleep(4)

    work = collect((broker("a"), driver), story=story)
    assert work.outbox.control_types() == ["DeviceConnectionLost"]
    assert work.outbox.samples("a")[0].data["origin"] == "retained"


def test_a_device_that_says_goodbye_is_lost_at_once() -> None:
    driver = ScriptedPushedDriver()

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait([said(20.0)])
        await asyncio.sleep(1)
        driver.arrivals.put_nowait(DeviceUnreachable("offline", device_id="a"))
        await asyncio.sleep(1)

    work = collect((broker("a"), driver), story=story)
    (lost,) = work.outbox.of(LOST)
    assert (lost.data["reason"], lost.data["detail"]) == ("unreachable", "offline")


def test_history_neither_hides_in_the_deadband_nor_becomes_the_latest() -> None:
    driver = ScriptedPushedDriver()

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait([said(20.0)])
        await asyncio.sleep(1)
        old = replace(said(20.0, origin=Origin.HISTORY), measured_at_ms=1_795_000_000_000)
        driver.arrivals.put_nowait([old, replace(old, measured_at_ms=1_795_000_060_000), said(20.1)])
        await asyncio.sleep(1)

    work = collect((broker("a", deadband=0.5), driver), story=story)
    assert [event.data["origin"] for event in work.outbox.samples()] == ["live", "history", "history"]
    assert work.outbox.samples()[1].data["measuredAt"] == "2026-11-18T11:06:40.000Z"
    assert [event.data.get("timeSource") for event in work.outbox.samples()] == [None, "device", "device"]
    assert work.fleet.status().devices[0].readings["air_temperature"].value == 20.1


def test_a_partial_message_leaves_the_other_points_as_they_were() -> None:
    driver = ScriptedPushedDriver()
    line = connection(device("a", point(), point("pipe_temperature")))

    async def story(work: Work) -> None:
        both = {"air_temperature": good(20.0), "pipe_temperature": good(40.0)}
        driver.arrivals.put_nowait([Sample(device_id="a", readings=both), said(21.0)])
        await asyncio.sleep(1)
        readings = work.fleet.status().devices[0].readings
        assert {name: reading.value for name, reading in readings.items()} == {
            "air_temperature": 21.0,
            "pipe_temperature": 40.0,
        }

    work = collect((line, driver), story=story)
    assert list(work.outbox.samples()[1].data["readings"]) == ["air_temperature"]


def test_a_lost_broker_is_opened_again_and_what_was_taken_is_still_acknowledged() -> None:
    driver = ScriptedPushedDriver()

    async def story(_: Work) -> None:
        await asyncio.sleep(1)
        driver.arrivals.put_nowait([said(20.0)])
        driver.arrivals.put_nowait(ConnectionLost("broker went away"))
        driver.open_errors = [ConnectionLost("refused")] * 5
        await asyncio.sleep(60)
        assert driver.opened == 2
        assert len(driver.acknowledged) == 1
        driver.arrivals.put_nowait([said(21.0)])
        await asyncio.sleep(1)

    work = collect((broker("a"), driver), story=story)
    assert work.outbox.of(LOST)[0].data["reason"] == "connection_lost"
    assert work.outbox.control_types() == ["DeviceConnectionLost", "DeviceConnectionRestored"]


def test_the_fake_is_a_driver() -> None:
    assert isinstance(ScriptedPushedDriver(), PushedDriver)
