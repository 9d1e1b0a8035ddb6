"""A user that lacks rights: the stream waits under its name, and the others go on."""

import asyncio
from uuid import UUID

import pytest
import structlog

from edge.domain.alarm import AlarmKind
from edge.domain.event import EventType
from edge.domain.event_store import Right
from edge.domain.facts import DeviceConfigurationApplied
from fakes.event_store import Fault
from fakes.forwarding_stage import GATEWAY_STREAM, OTHER, STREAM, alarms, sequences, tell, told, twenty, types
from fakes.forwarding_world import Life, World


@pytest.mark.parametrize("right", list(Right))
def test_a_stream_without_a_right_waits_alone_under_its_name(world: World, right: Right) -> None:
    async def refused(life: Life) -> None:
        life.world.store.denied.add((STREAM, right))
        for _ in range(100):
            life.offer("a")
            life.offer("b")
            await life.outbox.flush()
            await asyncio.sleep(10)
            status = life.forwarder.status()
            assert (status.state, status.last_error, status.next_try_in_s) == ("forwarding", "", None)
        (shown,) = life.forwarder.status().refused.items()
        assert shown[0] == STREAM
        assert shown[1].reason == f"gw-north may not {right} {STREAM}"
        assert shown[1].for_s > 900
        assert 0 < shown[1].next_try_in_s <= 300
        assert len(life.world.store.events(OTHER)) == 100
        life.world.store.heal()
        await asyncio.sleep(301)
        assert life.forwarder.status().refused == {}
        assert life.outbox.statistics().pending_by_stream == {}

    tell(world, twenty, refused)
    assert sequences(world) == [*range(1, 21), *range(1, 101)]
    assert alarms(world, EventType.ALARM_RAISED) == [("stream_refused", STREAM, "a")]
    assert alarms(world, EventType.ALARM_CLEARED) == [("stream_refused", STREAM, "a")]
    assert str(right) in told(world, EventType.ALARM_RAISED)[0]["message"]


def test_a_stream_without_a_right_is_tried_seldom_and_another_streams_loss_does_not_change_that(world: World) -> None:
    async def refused(life: Life) -> None:
        life.offer("a")
        life.offer("b")
        await life.settle(within_s=60)
        calls = life.world.store.append_calls[STREAM]
        for _ in range(240):
            life.world.store.faults.append(Fault.UNAVAILABLE)
            life.offer("a")
            life.offer("b")
            await life.outbox.flush()
            await asyncio.sleep(15)
        assert life.world.store.append_calls[STREAM] - calls < 30
        assert len(life.world.store.events(OTHER)) >= 240
        life.world.store.heal()
        life.world.store.faults.clear()
        await life.settle()

    world.store.denied.add((STREAM, Right.APPEND))
    tell(world, refused)


def test_a_user_without_any_right_is_one_state_and_one_alarm(world: World) -> None:
    async def refused(life: Life) -> None:
        names = [f"d{number}" for number in range(30)]
        for name in names:
            life.offer(name)
        denied = {(f"sensorReadings-north-1.{name}", Right.APPEND) for name in names} | {(GATEWAY_STREAM, Right.READ)}
        life.world.store.denied |= denied
        await life.settle(within_s=3600)
        status = life.forwarder.status()
        assert status.state == "access_refused"
        assert "gw-north may not" in status.last_error
        assert status.next_try_in_s is not None
        life.world.store.heal()
        await life.settle()
        assert life.forwarder.status().state == "forwarding"

    tell(world, refused)
    assert alarms(world, EventType.ALARM_RAISED) == [("event_store_refuses", None, None)]
    assert alarms(world, EventType.ALARM_CLEARED) == [("event_store_refuses", None, None)]


def test_a_wrong_password_is_a_state_of_the_link_and_ends_by_itself(world: World) -> None:
    async def refused(life: Life) -> None:
        await twenty(life)
        life.world.store.access_refused = True
        for device in "ab":
            life.offer(device)
        await life.settle(within_s=600)
        status = life.forwarder.status()
        assert (status.state, status.refused) == ("access_refused", {})
        assert "wrong password" in status.last_error
        assert status.next_try_in_s is not None
        life.world.store.access_refused = False
        await asyncio.sleep(301)
        status = life.forwarder.status()
        assert (status.state, status.last_error, status.next_try_in_s) == ("forwarding", "", None)
        assert life.outbox.statistics().pending_by_stream == {}

    tell(world, refused)
    assert types(world) == []


def test_refused_streams_take_no_memory_from_the_others(world: World) -> None:
    async def refused(life: Life) -> None:
        for number in range(12):
            life.world.store.denied.add((f"sensorReadings-north-1.d{number}", Right.APPEND))
        life.world.store.go_down()
        for _ in range(150):
            for number in range(12):
                life.offer(f"d{number}", size=8000)
            life.offer("a", size=8000)
            await life.outbox.flush()
        life.world.store.restart()
        await asyncio.sleep(120)
        assert len(life.world.store.events(STREAM)) == 150
        assert life.forwarder.status().queued_bytes < 13 * 9000
        # The only entry of its stream when it was refused; what comes then waits on the disk.
        life.world.store.denied.add((OTHER, Right.APPEND))
        life.offer("b", size=8000)
        await life.outbox.flush()
        await asyncio.sleep(1)
        for _ in range(50):
            life.offer("b", size=8000)
        await life.outbox.flush()
        assert life.forwarder.status().queued_bytes < 14 * 9000
        life.world.store.heal()
        await life.settle()

    tell(world, refused)


def test_a_refused_stream_makes_nobody_scan_the_log(world: World) -> None:
    async def refused(life: Life) -> None:
        life.world.store.denied.add((STREAM, Right.APPEND))
        for number in range(2000):
            life.offer("b", size=1000)
            if number % 100 == 0:
                life.offer("a")
            if number % 20 == 0:
                await life.outbox.flush()
        await life.settle(within_s=300)
        before = life.outbox._backlog.blocks_decoded
        await asyncio.sleep(3600)
        assert life.outbox._backlog.blocks_decoded == before
        life.world.store.heal()
        await life.settle()

    tell(world, refused)


def test_a_stream_that_is_deleted_while_it_is_refused_is_parked_and_nothing_else(world: World) -> None:
    async def refused(life: Life) -> None:
        await twenty(life)
        life.world.store.denied.add((STREAM, Right.APPEND))
        life.offer("a")
        life.offer("b")
        await life.settle(within_s=60)
        life.world.store.heal()
        life.world.delete(STREAM)
        await life.settle()
        assert list(life.forwarder.status().parked) == [STREAM]
        assert life.forwarder.status().refused == {}
        life.world.store.denied |= {(OTHER, Right.APPEND), (GATEWAY_STREAM, Right.APPEND)}
        life.offer("b")
        await life.settle(within_s=60)
        # Of the streams that there are, the deleted one has no say.
        assert life.forwarder.status().state == "access_refused"
        life.world.store.heal()
        await life.settle()

    tell(world, refused)
    assert ("stream_refused", STREAM, "a") in alarms(world, EventType.ALARM_CLEARED)


def test_an_outage_is_logged_again_when_its_reason_becomes_another(world: World) -> None:
    async def refused(life: Life) -> None:
        await twenty(life)
        life.world.store.go_down()
        life.offer("a")
        await life.settle(within_s=60)
        life.world.store.restart()
        life.world.store.access_refused = True
        await life.settle(within_s=600)
        life.world.store.go_down()
        await life.settle(within_s=600)
        life.world.store.restart()
        life.world.store.access_refused = False
        await life.settle()

    with structlog.testing.capture_logs() as logs:
        tell(world, refused)
    said = [(line["event"], line.get("state")) for line in logs if line["event"].startswith("event_store")]
    assert said == [
        ("event_store_reached", None),
        ("event_store_lost", "unreachable"),
        ("event_store_lost", "access_refused"),
        ("event_store_lost", "unreachable"),
        ("event_store_reached", None),
    ]


def test_a_restart_neither_raises_an_alarm_of_a_refusal_again_nor_forgets_to_clear_it(world: World) -> None:
    async def refused(life: Life) -> None:
        for device in "ab":
            life.offer(device)
        await life.settle(within_s=600)

    async def healed(life: Life) -> None:
        life.world.store.heal()
        await life.settle()

    world.store.denied.add((STREAM, Right.APPEND))
    tell(world, refused, refused, healed)
    assert alarms(world, EventType.ALARM_RAISED) == [("stream_refused", STREAM, "a")]
    assert alarms(world, EventType.ALARM_CLEARED) == [("stream_refused", STREAM, "a")]


def test_an_alarm_of_an_earlier_run_is_cleared_though_its_stream_has_nothing_to_send(world: World) -> None:
    async def alarmed(life: Life) -> None:
        await twenty(life)
        alarm = life.author.stream_alarm(AlarmKind.STREAM_REFUSED, STREAM)
        life.outbox.offer(life.author.alarm_raised(alarm, "an earlier run said so"))
        await life.outbox.flush()

    async def idle(life: Life) -> None:
        await life.settle()

    tell(world, alarmed, idle)
    assert alarms(world, EventType.ALARM_CLEARED) == [("stream_refused", STREAM, "a")]


def test_answers_that_may_not_be_appended_are_said_to_wait(world: World) -> None:
    stream = "deviceConfigurationStatus-north-1"

    async def refused(life: Life) -> None:
        await twenty(life)
        life.world.store.denied.add((stream, Right.APPEND))
        applied = DeviceConfigurationApplied(
            device_id="bench", update_event_id=UUID(int=7), update_revision=41, config_version=7, changes=()
        )
        life.outbox.offer(life.author.control(applied))
        life.offer("a")
        await life.settle(within_s=600)
        assert list(life.forwarder.status().refused) == [stream]
        life.world.store.heal()
        await life.settle()

    tell(world, refused)
    (raised,) = told(world, EventType.ALARM_RAISED)
    assert raised["message"] == (
        f"gw-north may not append to {stream}; the answers to configuration updates are kept here and tried again"
    )
    assert len(world.store.events(stream)) == 1
