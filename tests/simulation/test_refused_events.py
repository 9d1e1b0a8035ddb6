"""An event store that calls events wrong: one of them, all of a stream, or everything. None is set aside in vain."""

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest

from edge.domain.event import EventType, NewEvent
from edge.domain.event_store import RequestRefused
from edge.forward.refusals import UNREACHED_REVISION
from fakes.event_store import FakeEventStore
from fakes.forwarding_check import POISON, is_poison
from fakes.forwarding_stage import GATEWAY_STREAM, OTHER, STREAM, alarms, sequences, tell, told, twenty, types
from fakes.forwarding_world import Life, Seam, World


def is_sample(event: NewEvent) -> bool:
    return event.type == EventType.SENSOR_READING_RECEIVED


def refuse_everything(store: FakeEventStore) -> None:
    store.refuses = lambda _event: True


def find_everything_too_large(store: FakeEventStore) -> None:
    store.append_bytes_max = 10


def refuse_what_is_new(store: FakeEventStore) -> None:
    """As after an upgrade of ours that writes what this server does not take."""
    known = set(store.recent)
    store.refuses = lambda event: event.event_id not in known


@pytest.mark.parametrize("break_store", [refuse_everything, find_everything_too_large, refuse_what_is_new])
@pytest.mark.parametrize("devices", ["a", "abcd"])
def test_a_store_that_refuses_everything_costs_no_event(
    world: World, devices: str, break_store: Callable[[FakeEventStore], None]
) -> None:
    async def refused(life: Life) -> None:
        await twenty(life)
        break_store(life.world.store)
        calls = sum(life.world.store.append_calls.values())
        for number in range(400):
            life.offer(devices[number % len(devices)], size=300)
        await life.outbox.flush()
        await asyncio.sleep(3600)
        statistics, status = life.outbox.statistics(), life.forwarder.status()
        assert statistics.quarantined == 0
        assert status.state == "events_refused"
        assert status.last_error
        assert status.next_try_in_s is not None
        assert 0 <= status.next_try_in_s <= 300
        assert set(status.refused) == {f"sensorReadings-north-1.{device}" for device in devices} | {GATEWAY_STREAM}
        # Every stream is tried every five minutes or so, by two or three calls.
        assert sum(life.world.store.append_calls.values()) - calls < 100 * (1 + len(devices))
        life.world.store.heal()
        # One stream finds out; no other waits for its own time.
        await asyncio.sleep(301)
        status = life.forwarder.status()
        assert (status.state, status.last_error, status.next_try_in_s, status.refused) == ("forwarding", "", None, {})
        assert life.outbox.statistics().pending_by_stream == {}

    tell(world, refused)
    raised, cleared = alarms(world, EventType.ALARM_RAISED), alarms(world, EventType.ALARM_CLEARED)
    assert ("event_store_refuses", None, None) in raised
    assert sorted(raised, key=str) == sorted(cleared, key=str)
    assert EventType.EVENT_QUARANTINED not in types(world)


def test_a_store_that_refuses_a_hundred_streams_raises_one_alarm(world: World) -> None:
    async def refused(life: Life) -> None:
        await twenty(life)
        refuse_everything(life.world.store)
        for number in range(200):
            life.offer(f"d{number % 100}")
        await life.outbox.flush()
        await asyncio.sleep(3600)
        life.world.store.heal()
        while life.forwarder.status().state != "forwarding":  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(1)
        # The first that is taken speaks for all.
        await asyncio.sleep(2)
        assert life.outbox.statistics().pending_by_stream == {}

    tell(world, refused)
    assert alarms(world, EventType.ALARM_RAISED) == [("event_store_refuses", None, None)]
    assert alarms(world, EventType.ALARM_CLEARED) == [("event_store_refuses", None, None)]


def test_a_store_that_refuses_from_the_first_start_on_costs_no_event(world: World) -> None:
    async def refused(life: Life) -> None:
        for _ in range(20):
            life.offer("a")
        await life.settle(within_s=600)

    async def healed(life: Life) -> None:
        life.world.store.heal()
        await life.settle()

    refuse_everything(world.store)
    tell(world, refused, refused, healed)
    assert sorted(sequences(world)) == sorted([*range(1, 21), *range(1, 21)])
    assert EventType.EVENT_QUARANTINED not in types(world)


@pytest.mark.parametrize("first", [1, 7, 19])
@pytest.mark.parametrize("count", [1, 10])
def test_events_that_are_refused_while_others_pass_are_set_aside_at_once(world: World, first: int, count: int) -> None:
    bad = range(first, first + count)

    async def refused(life: Life) -> None:
        for number in range(1, 41):
            life.offer("a", padding=POISON if number in bad else "")
        await life.outbox.flush()
        await asyncio.sleep(2)
        assert life.outbox.statistics().quarantined == count
        assert life.outbox.statistics().pending_by_stream == {}
        assert life.forwarder.status().refused == {}

    world.store.refuses = is_poison
    tell(world, refused)
    assert sequences(world) == [number for number in range(1, 41) if number not in bad]
    assert [body["sequence"] for body in told(world, EventType.EVENT_QUARANTINED)] == list(bad)
    assert {body["reason"] for body in told(world, EventType.EVENT_QUARANTINED)} == {"refused"}
    assert types(world).count(EventType.ALARM_RAISED) == 0


def test_bad_events_that_come_one_at_a_time_are_set_aside_when_a_good_one_follows(world: World) -> None:
    async def refused(life: Life) -> None:
        for number in range(1, 21):
            life.offer("a", padding=POISON if 5 <= number < 15 else "")
            await life.outbox.flush()
            await asyncio.sleep(10)
        # They are looked at again no later than after as long as it took.
        await asyncio.sleep(100)
        assert life.outbox.statistics().quarantined == 10
        assert life.outbox.statistics().pending_by_stream == {}

    world.store.refuses = is_poison
    tell(world, refused)
    assert sequences(world) == [*range(1, 5), *range(15, 21)]
    assert alarms(world, EventType.ALARM_RAISED) == alarms(world, EventType.ALARM_CLEARED)


def test_a_refused_event_that_is_the_last_waits_for_another_and_is_shown(world: World) -> None:
    async def refused(life: Life) -> None:
        await twenty(life)
        life.offer("a", padding=POISON)
        await life.settle(within_s=4 * 3600)
        assert life.outbox.statistics().quarantined == 0
        shown = life.forwarder.status().refused[STREAM]
        assert "bad request" in shown.reason
        assert shown.for_s > 3 * 3600
        # Its next try may be minutes away; the next event is not kept waiting.
        life.offer("a")
        await life.outbox.flush()
        await asyncio.sleep(1)
        assert life.outbox.statistics().quarantined == 1
        assert life.forwarder.status().refused == {}
        assert life.outbox.statistics().pending_by_stream == {}

    world.store.refuses = is_poison
    tell(world, refused)
    assert sequences(world) == [*range(1, 21), 22]
    assert alarms(world, EventType.ALARM_RAISED) == [("stream_refused", STREAM, "a")]
    assert alarms(world, EventType.ALARM_CLEARED) == [("stream_refused", STREAM, "a")]


@pytest.mark.parametrize("bad", ["a", "ac"])
def test_a_stream_whose_events_are_all_refused_waits_alone(world: World, bad: str) -> None:
    streams = [f"sensorReadings-north-1.{device}" for device in bad]

    async def refused(life: Life) -> None:
        for device in bad:
            life.offer(device)
        await twenty(life)
        life.world.store.refuses = lambda event: json.loads(event.data).get("deviceId") in set(bad) and is_sample(event)
        for _ in range(360):
            for device in (*bad, "b"):
                life.offer(device)
            await life.outbox.flush()
            await asyncio.sleep(10)
            assert life.forwarder.status().state == "forwarding"
        assert life.outbox.statistics().quarantined == 0
        assert sorted(life.forwarder.status().refused) == streams
        assert len(life.world.store.events(OTHER)) == 360
        life.world.store.heal()
        await life.settle()
        assert life.forwarder.status().refused == {}

    tell(world, refused)
    assert sequences(world) == list(range(1, 382))
    told_of = [("stream_refused", stream, device) for stream, device in zip(streams, bad, strict=True)]
    assert sorted(alarms(world, EventType.ALARM_RAISED)) == told_of
    assert sorted(alarms(world, EventType.ALARM_CLEARED)) == told_of


def test_a_store_that_only_says_that_it_would_take_an_event_costs_none(world: World) -> None:
    is_lying = True

    class LyingSeam(Seam):
        """Finds every event good when it is only asked, and takes none of a stream."""

        async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> None:
            if is_lying and stream == STREAM and expected_revision != UNREACHED_REVISION:
                raise RequestRefused("bad request")
            await super().append(stream, events, expected_revision=expected_revision)

    async def refused(life: Life) -> None:
        nonlocal is_lying
        for _ in range(50):
            life.offer("a")
        await life.settle(within_s=3600)
        assert life.outbox.statistics().quarantined == 0
        is_lying = False
        await life.settle()

    world.seam = LyingSeam
    tell(world, refused)
    assert sequences(world) == list(range(1, 51))


def test_a_store_that_wavers_costs_none(world: World) -> None:
    # Of a batch of two and of its first alone; then it is asked about the second, the first, and the second again.
    verdicts = iter(["refused", "refused", "taken", "refused", "refused"])

    class WaveringSeam(Seam):
        """Refuses everything, with a moment in between."""

        async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> int | None:
            if stream == STREAM and next(verdicts, "taken") == "refused":
                raise RequestRefused("bad request")
            return await super().append(stream, events, expected_revision=expected_revision)

    world.seam = WaveringSeam
    tell(world, two)
    assert next(verdicts, None) is None
    assert sequences(world) == [1, 2]


async def two(life: Life) -> None:
    life.offer("a")
    life.offer("a")
    await life.settle(within_s=600)
    assert life.outbox.statistics().quarantined == 0


class WritingSeam(Seam):
    """The client library repeats an append by itself: an earlier try was written, the last one refused."""

    async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> None:
        await super().append(stream, events, expected_revision=expected_revision)
        if any(is_poison(event) for event in events):
            raise RequestRefused("bad request")


def test_an_event_that_was_written_before_it_was_refused_is_not_set_aside(world: World) -> None:
    async def refused(life: Life) -> None:
        for number in range(10):
            life.offer("a", padding=POISON if number == 4 else "")
        await life.settle(within_s=60)
        assert life.outbox.statistics().quarantined == 0

    world.seam = WritingSeam
    tell(world, refused)
    assert sequences(world) == list(range(1, 11))


def test_after_refused_events_a_thousand_others_go_in_few_appends(world: World) -> None:
    async def refused(life: Life) -> None:
        for number in range(1, 2001):
            life.offer("a", padding=POISON if number == 900 else "")
        await life.settle(within_s=600)

    world.store.refuses = is_poison
    tell(world, refused)
    assert len(sequences(world)) == 1999
    assert world.store.append_calls[STREAM] < 45


def test_an_event_over_every_servers_limit_is_set_aside_though_it_is_the_last(world: World) -> None:
    async def oversize(life: Life) -> None:
        life.offer("a")
        life.offer("a", size=1_100_000)
        await life.outbox.flush()
        await asyncio.sleep(2)
        assert life.outbox.statistics().quarantined == 1
        assert life.outbox.statistics().pending_by_stream == {}

    tell(world, oversize)
    assert [body["reason"] for body in told(world, EventType.EVENT_QUARANTINED)] == ["too_large"]


def test_an_event_over_this_servers_limit_is_set_aside_when_a_smaller_one_passes(world: World) -> None:
    async def oversize(life: Life) -> None:
        for size in (0, 9000, 0):
            life.offer("a", size=size)
        await life.outbox.flush()
        await asyncio.sleep(2)
        assert life.outbox.statistics().pending_by_stream == {}

    world.store.append_bytes_max = 5000
    tell(world, oversize)
    assert sequences(world) == [1, 3]
