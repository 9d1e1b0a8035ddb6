"""A sender that missed our acknowledgement sends again: one event, and no acknowledgement before it is on disk."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.collect import receiving
from edge.collect.arrivals import KEYS_MAX
from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.domain.configuration import site_file_configuration
from edge.domain.event import EventType
from edge.domain.reading import Origin, Redelivery, Sample
from edge.storage.backlog import newest_keyed
from edge.storage.outbox import Outbox
from fakes.collect_run import Work, collect, for_seconds
from fakes.collect_site import FakeOutbox, author, connection, device, point, values
from fakes.outbox_drafts import all_entries, as_after_power_cut, virtual_outbox
from fakes.scripted_driver import ScriptedPushedDriver, WindowedDriver, good
from fakes.virtual_time import VirtualClock, run_virtual

BROKER = connection(device("a"), connection_id="broker")


def message(value: float, key: bytes, *, may_repeat: bool = True) -> Sample:
    return Sample(device_id="a", readings={"air_temperature": good(value)}, source_key=key, may_repeat=may_repeat)


def test_what_comes_again_gives_no_second_event_and_is_acknowledged() -> None:
    driver = ScriptedPushedDriver()
    sent = [message(1.0, b"one"), message(2.0, b"two"), message(1.0, b"one"), message(2.0, b"two")]

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait(sent[:2])
        await asyncio.sleep(1)
        for again in sent[2:]:
            driver.arrivals.put_nowait([again])
        await asyncio.sleep(0.1)
        # Without waiting for any commit.
        assert driver.acknowledged == sent

    work = collect((BROKER, driver), story=story)
    assert values(work.outbox.samples()) == [1.0, 2.0]
    status = work.fleet.status().devices[0]
    assert (status.samples_accepted, status.samples_repeated) == (2, 2)


def test_what_comes_again_before_it_is_on_disk_is_acknowledged_only_with_it() -> None:
    driver = ScriptedPushedDriver()
    outbox = FakeOutbox()
    sent = [message(1.0, b"one"), message(1.0, b"one")]

    async def story(_: Work) -> None:
        outbox.is_stuck = True
        for sample in sent:
            driver.arrivals.put_nowait([sample])
        await asyncio.sleep(30)
        assert driver.acknowledged == []
        outbox.is_stuck = False
        await asyncio.sleep(1)
        assert driver.acknowledged == sent

    work = collect((BROKER, driver), outbox=outbox, story=story)
    assert values(work.outbox.samples()) == [1.0]


def delivery(value: float, name: str, *, again: str = "", is_certain: bool = True) -> Sample:
    """A message without identity; `again`: the delivery that its sender may have repeated."""
    return replace(
        message(value, str(value).encode(), may_repeat=False),
        delivery=name.ljust(8).encode(),
        redelivery=Redelivery(of=again.ljust(8).encode(), is_certain=is_certain) if again else None,
    )


def test_equal_payloads_are_two_events_unless_the_second_is_the_first_beyond_doubt() -> None:
    driver = ScriptedPushedDriver()
    sent = [delivery(21.4, "one"), delivery(21.4, "two"), delivery(21.4, "three", again="one")]

    async def story(_: Work) -> None:
        for sample in sent:
            driver.arrivals.put_nowait([sample])
            await asyncio.sleep(1)
        assert driver.acknowledged == sent

    work = collect((BROKER, driver), story=story)
    assert values(work.outbox.samples()) == [21.4, 21.4]
    assert work.fleet.status().devices[0].samples_repeated == 1


def test_what_is_likely_a_repetition_is_recorded_and_says_of_what() -> None:
    driver = ScriptedPushedDriver()
    sent = [
        delivery(0.0, "one"),
        delivery(1.0, "two"),
        delivery(0.0, "three", again="one", is_certain=False),
        # It said something else: it never came.
        delivery(7.0, "four", again="two", is_certain=False),
    ]

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait(sent)
        await asyncio.sleep(1)
        assert driver.acknowledged == sent

    samples = collect((BROKER, driver), story=story).outbox.samples()
    assert values(samples) == [0.0, 1.0, 0.0, 7.0]
    assert [sample.data["origin"] for sample in samples] == ["live", "live", "redelivered", "live"]
    assert samples[2].data["repeatOf"] == str(samples[0].event_id)


def test_what_was_repeated_once_is_known_by_its_second_delivery() -> None:
    driver = ScriptedPushedDriver()
    sent = [
        delivery(0.0, "one"),
        delivery(0.0, "two", again="one"),
        delivery(0.0, "three", again="two"),
        delivery(0.0, "four", again="three", is_certain=False),
    ]

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait(sent)
        await asyncio.sleep(1)

    samples = collect((BROKER, driver), story=story).outbox.samples()
    assert [sample.data["origin"] for sample in samples] == ["live", "redelivered"]
    assert samples[1].data["repeatOf"] == str(samples[0].event_id)


def test_what_gave_no_event_is_no_original() -> None:
    driver = ScriptedPushedDriver()
    line = connection(device("a", point(deadband=1.0)), connection_id="broker")
    sent = [delivery(20.0, "one"), delivery(20.5, "two"), delivery(25.0, "three")]

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait([*sent, delivery(20.5, "four", again="two", is_certain=False)])
        await asyncio.sleep(1)

    samples = collect((line, driver), story=story).outbox.samples()
    assert values(samples) == [20.0, 25.0, 20.5]
    assert {sample.data["origin"] for sample in samples} == {"live"}


def test_what_a_broker_had_retained_is_recorded_once_however_often_it_comes(tmp_path: Path) -> None:
    def said(value: float, origin: Origin) -> Sample:
        key = b"the door" + str(value).encode().ljust(8)
        return replace(message(value, key, may_repeat=False), origin=origin)

    async def main() -> list[tuple[float, str]]:
        first = [said(0.0, Origin.RETAINED), said(0.0, Origin.LIVE), said(1.0, Origin.LIVE), said(1.0, Origin.RETAINED)]
        # While nobody listened, it opened and closed again.
        second = [said(1.0, Origin.RETAINED), said(0.0, Origin.LIVE), said(1.0, Origin.RETAINED)]
        for sent in (first, second, [said(1.0, Origin.RETAINED)]):
            driver = ScriptedPushedDriver()
            async with gateway(tmp_path, driver) as outbox:
                driver.arrivals.put_nowait(sent)
                await asyncio.sleep(0.6)
                assert driver.acknowledged == sent
                entries = await all_entries(outbox)
        facts = [json.loads(entry.data) for entry in entries]
        return [(fact["readings"]["air_temperature"]["value"], fact["origin"]) for fact in facts if "readings" in fact]

    assert run_virtual(main) == [
        (0.0, "retained"),
        (0.0, "live"),
        (1.0, "live"),
        (0.0, "live"),
        (1.0, "retained"),
    ]


def test_what_was_not_worth_an_event_is_no_news_when_it_comes_again() -> None:
    driver = ScriptedPushedDriver()
    line = connection(device("a", point(deadband=1.0)), connection_id="broker")
    sent = [delivery(20.0, "one"), delivery(20.5, "two"), delivery(25.0, "three")]

    async def story(work: Work) -> None:
        driver.arrivals.put_nowait(sent)
        await asyncio.sleep(1)
        names = ("one", "two", "three")
        again = [Redelivery(of=name.ljust(8).encode(), is_certain=True) for name in names]
        driver.arrivals.put_nowait(
            [replace(sample, redelivery=repeated) for sample, repeated in zip(sent, again, strict=True)]
        )
        await asyncio.sleep(1)
        assert work.fleet.state("a").readings["air_temperature"].value == 25.0

    work = collect((line, driver), story=story)
    assert values(work.outbox.samples()) == [20.0, 25.0]
    assert len(driver.acknowledged) == 6


def test_repetitions_do_not_pile_up_while_the_disk_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "RECEIPTS_MAX", 10)
    driver = ScriptedPushedDriver()
    outbox = FakeOutbox()

    async def story(_: Work) -> None:
        outbox.is_stuck = True
        for _repetition in range(100):
            driver.arrivals.put_nowait([message(1.0, b"one")])
        await asyncio.sleep(60)
        assert driver.receives == 10
        outbox.is_stuck = False
        await asyncio.sleep(5)
        assert len(driver.acknowledged) == 100

    work = collect((BROKER, driver), outbox=outbox, story=story)
    assert len(work.outbox.samples()) == 1


def test_a_sender_with_a_window_does_not_wait_for_the_commit_interval() -> None:
    samples = [message(float(number), b"") for number in range(5000)]
    hasty, patient = WindowedDriver(samples, window=100), WindowedDriver(samples, window=100)
    work = collect((BROKER, hasty), story=for_seconds(1))
    assert len(work.outbox.samples()) == 5000
    # Half the window is committed while the other half comes in.
    assert 100 <= work.outbox.hurried <= 5000
    slow = FakeOutbox()
    slow.hurry = lambda: None  # type: ignore[method-assign]
    assert len(collect((BROKER, patient), outbox=slow, story=for_seconds(1.2)).outbox.samples()) == 300


def test_a_sender_that_leaves_half_its_window_open_is_committed_with_the_others() -> None:
    driver = WindowedDriver([message(1.0, b"one")] * 49, window=100)
    work = collect((BROKER, driver), story=for_seconds(2))
    assert (work.outbox.hurried, len(driver.acknowledged)) == (0, 49)


@asynccontextmanager
async def gateway(directory: Path, driver: ScriptedPushedDriver) -> AsyncIterator[Outbox]:
    """Collect into a real outbox, as one start of the daemon does."""
    async with virtual_outbox(directory) as outbox, asyncio.TaskGroup() as tasks:
        writer = author(VirtualClock())
        collector = Collector(
            connection=BROKER,
            driver=driver,
            fleet=Fleet([BROKER], {"a": site_file_configuration(BROKER.devices[0])}, author=writer),
            outbox=outbox,
            author=writer,
            clock=VirtualClock(),
            chance=lambda: 0.5,
            accepted=await newest_keyed(outbox.database, count_max=KEYS_MAX),
        )
        running = [tasks.create_task(outbox.run()), tasks.create_task(collector.run())]
        yield outbox
        for task in running:
            task.cancel()


def test_a_power_cut_between_commit_and_acknowledgement_gives_no_second_event(tmp_path: Path) -> None:
    sent = [message(1.0, b"one"), message(2.0, b"two")]

    async def main() -> list[float]:
        driver = ScriptedPushedDriver()
        async with gateway(tmp_path / "first", driver):
            driver.arrivals.put_nowait(sent)
            await asyncio.sleep(0.6)
            assert driver.acknowledged == sent
            # As if the machine had stopped right here, and the broker never heard of it.
            as_after_power_cut(tmp_path / "first", tmp_path / "second")
        again = ScriptedPushedDriver()
        async with gateway(tmp_path / "second", again) as outbox:
            again.arrivals.put_nowait([*sent, message(3.0, b"three")])
            await asyncio.sleep(0.6)
            assert again.acknowledged == [*sent, message(3.0, b"three")]
            entries = await all_entries(outbox)
        readings = [json.loads(entry.data).get("readings") for entry in entries]
        return [reading["air_temperature"]["value"] for reading in readings if reading]

    assert run_virtual(main) == [1.0, 2.0, 3.0]


def test_what_a_power_cut_took_before_its_commit_is_accepted_when_it_comes_again(tmp_path: Path) -> None:
    async def main() -> None:
        driver = ScriptedPushedDriver()
        async with gateway(tmp_path / "first", driver):
            driver.arrivals.put_nowait([message(1.0, b"one")])
            await asyncio.sleep(0.3)
            as_after_power_cut(tmp_path / "first", tmp_path / "second")
        again = ScriptedPushedDriver()
        async with gateway(tmp_path / "second", again) as outbox:
            again.arrivals.put_nowait([message(1.0, b"one")])
            await asyncio.sleep(0.6)
            assert len(again.acknowledged) == len(await all_entries(outbox)) == 1

    run_virtual(main)


class RecallingPushedDriver(ScriptedPushedDriver):
    """Keeps what it is told of earlier runs."""

    def __init__(self) -> None:
        super().__init__()
        self.recalled: list[bytes] = []

    def recall(self, deliveries: Iterable[bytes]) -> None:
        self.recalled += deliveries


def test_a_new_run_recalls_what_earlier_ones_took_and_by_which_deliveries(tmp_path: Path) -> None:
    async def main() -> None:
        driver = RecallingPushedDriver()
        async with gateway(tmp_path / "first", driver):
            assert driver.recalled == []
            driver.arrivals.put_nowait([delivery(0.0, "one"), message(5.0, b"five"), delivery(0.0, "two")])
            await asyncio.sleep(0.6)
            as_after_power_cut(tmp_path / "first", tmp_path / "second")
        again = RecallingPushedDriver()
        async with gateway(tmp_path / "second", again) as outbox:
            again.arrivals.put_nowait(
                [
                    delivery(0.0, "three", again="one"),
                    delivery(0.0, "four", again="two", is_certain=False),
                    # Sent to the run that died, and never read.
                    delivery(0.0, "five"),
                ]
            )
            await asyncio.sleep(0.6)
            assert again.recalled == [b"one     ", b"two     "]
            facts = [(entry.event_id, json.loads(entry.data)) for entry in await all_entries(outbox)]
        samples = [(event_id, fact) for event_id, fact in facts if "readings" in fact]
        assert [fact["origin"] for _, fact in samples] == ["live", "live", "live", "redelivered", "live"]
        assert samples[3][1]["repeatOf"] == str(samples[2][0])

    run_virtual(main)


def test_what_was_received_before_a_stop_is_acknowledged_with_its_last_commit() -> None:
    driver = ScriptedPushedDriver()
    outbox = FakeOutbox(commit_interval_s=10)
    sent = [message(1.0, b"one"), message(2.0, b"two")]

    async def main() -> None:
        writer = author(VirtualClock())
        fleet = Fleet([BROKER], {"a": site_file_configuration(BROKER.devices[0])}, author=writer)
        collector = Collector(
            connection=BROKER,
            driver=driver,
            fleet=fleet,
            outbox=outbox,
            author=writer,
            clock=VirtualClock(),
            chance=lambda: 0.5,
        )
        writing, collecting = asyncio.create_task(outbox.run()), asyncio.create_task(collector.run())
        driver.arrivals.put_nowait(sent)
        await asyncio.sleep(1)
        assert driver.acknowledged == []
        collecting.cancel()
        await asyncio.wait([collecting])
        assert driver.acknowledged_while_open == sent
        writing.cancel()

    run_virtual(main)


def test_a_dead_disk_does_not_hold_up_the_stop() -> None:
    driver = ScriptedPushedDriver()
    outbox = FakeOutbox()

    async def story(_: Work) -> None:
        outbox.is_stuck = True
        driver.arrivals.put_nowait([message(1.0, b"one")])
        await asyncio.sleep(1)

    collect((BROKER, driver), outbox=outbox, story=story)
    assert driver.acknowledged_while_open == []


def test_a_driver_that_breaks_when_it_recalls_still_receives(tmp_path: Path) -> None:
    class Forgetful(RecallingPushedDriver):
        def recall(self, deliveries: Iterable[bytes]) -> None:
            raise KeyError(deliveries)

    async def main() -> None:
        first = ScriptedPushedDriver()
        async with gateway(tmp_path, first):
            first.arrivals.put_nowait([delivery(0.0, "one")])
            await asyncio.sleep(0.6)
        driver = Forgetful()
        async with gateway(tmp_path, driver) as outbox:
            driver.arrivals.put_nowait([delivery(1.0, "two")])
            await asyncio.sleep(10)
            events = [(entry.type, json.loads(entry.data)) for entry in await all_entries(outbox)]
        assert [event_type for event_type, _ in events].count(EventType.ALARM_RAISED) == 1
        assert [event["readings"]["air_temperature"]["value"] for _, event in events if "readings" in event] == [
            0.0,
            1.0,
        ]

    run_virtual(main)
