"""The verb's side, against the fake store and a real configuration loop."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from edge.configure.edit import EditMistaken, edited, parse_assignment, parse_path
from edge.configure.producer import (
    ATTEMPTS_MAX,
    Request,
    RequestContested,
    Streams,
    ask,
    compose,
    read_known,
    wait_for_answer,
)
from edge.contract.model import INTEGER_MAX
from edge.domain.event import EventType, Json
from edge.domain.event_store import EventStoreUnavailable, OutcomeUnknown
from edge.domain.facts import DeviceConfigurationApplied, DeviceConfigurationRejected
from fakes.configure_world import STATUS_STREAM, STREAM, World, make_device, update, update_event
from fakes.event_store import FakeEventStore, Fault
from fakes.virtual_time import run_virtual

STREAMS = Streams(configuration=STREAM, status=STATUS_STREAM)
DEVICE = make_device()


def a_request(**changes: Json) -> Request:
    def edit(document: Mapping[str, object]) -> dict[str, Json]:
        return edited(document, assign={(key,): value for key, value in changes.items()}, remove=[])

    return Request(
        device_id="bench",
        edit=edit,
        remarks={"changedBy": "me"},
        event_id=uuid4(),
        correlation_id=uuid4(),
        producer="test",
    )


def asked_for(store: FakeEventStore) -> list[tuple[int, int, dict[str, Any]]]:
    found = [json.loads(event.data) for event in store.events(STREAM)]
    return [(data["configVersion"], data["basedOn"], data["configuration"]) for data in found if "basedOn" in data]


async def settled(world: World) -> None:
    async with world.started() as gateway:
        await gateway.settle()
        await world.forward(gateway.outbox)


def test_each_request_changes_the_newest_document_that_was_not_rejected(world: World) -> None:
    async def main() -> None:
        await ask(world.store, STREAMS, a_request(pollIntervalS=5))
        await settled(world)
        await ask(world.store, STREAMS, a_request(pollIntervalS=0))
        await settled(world)
        world.ask(7, device_id="roof")
        asked = await ask(world.store, STREAMS, a_request(enabled=False))
        assert asked_for(world.store) == [
            (1, 0, {"pollIntervalS": 5}),
            (2, 1, {"pollIntervalS": 0}),
            (3, 1, {"pollIntervalS": 5, "enabled": False}),
        ]
        await settled(world)
        answer = await wait_for_answer(world.store, STREAMS, asked)
        assert isinstance(answer, DeviceConfigurationApplied)
        assert [(c.path, c.before, c.after) for c in answer.changes] == [("enabled", True, False)]

    run_virtual(main)


def test_a_rejection_is_told(world: World) -> None:
    async def main() -> None:
        asked = await ask(world.store, STREAMS, a_request(pollIntervalS=0))
        waiting = asyncio.create_task(wait_for_answer(world.store, STREAMS, asked))
        await asyncio.sleep(5)
        assert not waiting.done()
        world.store.break_subscriptions()
        await settled(world)
        answer = await waiting
        assert isinstance(answer, DeviceConfigurationRejected)
        assert [error.code for error in answer.errors] == ["below_minimum"]

    run_virtual(main)


def test_somebody_else_in_between_is_taken_into_account(world: World) -> None:
    async def main() -> None:
        store, contests = world.store, 3
        original = store.append

        async def contested(stream: str, events: Any, *, expected_revision: int) -> None:
            nonlocal contests
            if contests:
                contests -= 1
                world.ask(10 - contests, {"pollIntervalS": 9})
            await original(stream, events, expected_revision=expected_revision)

        store.append = contested  # type: ignore[method-assign]
        await ask(store, STREAMS, a_request(enabled=False))
        assert asked_for(store) == [(11, 10, {"pollIntervalS": 9, "enabled": False})]
        contests = 1000
        with pytest.raises(RequestContested):
            await ask(store, STREAMS, a_request(enabled=False))

    run_virtual(main)


def test_a_stream_whose_events_are_all_truncated_takes_a_request(world: World) -> None:
    async def main() -> None:
        world.ask(1)
        world.ask(2)
        await settled(world)
        world.store.truncate(STREAM, 2)
        asked = await ask(world.store, STREAMS, a_request(enabled=False))
        assert asked_for(world.store) == [(3, 0, {"enabled": False})]
        assert asked.expected_revision == 1
        # The dry run cannot know it, and need not.
        assert (await compose(world.store, STREAMS, a_request(enabled=True))).data["configVersion"] == 4

    run_virtual(main)


def test_an_append_of_unknown_outcome_is_repeated_and_stands_once(world: World) -> None:
    async def main() -> None:
        world.store.faults.extend([Fault.LOST_ANSWER, Fault.LOST_REQUEST])
        asked = await ask(world.store, STREAMS, a_request(enabled=False))
        assert [event.event_id for event in world.store.events(STREAM)] == [asked.event.event_id]

    run_virtual(main)


def test_an_append_of_unknown_outcome_stays_unknown_when_the_store_is_away_after_it(world: World) -> None:
    async def main() -> None:
        world.store.faults.extend([Fault.LOST_ANSWER, *[Fault.UNAVAILABLE] * 2])
        asked = await ask(world.store, STREAMS, a_request(enabled=False))
        assert [event.event_id for event in world.store.events(STREAM)] == [asked.event.event_id]
        world.store.faults.extend([Fault.LOST_ANSWER, *[Fault.UNAVAILABLE] * ATTEMPTS_MAX])
        with pytest.raises(OutcomeUnknown):
            await ask(world.store, STREAMS, a_request(enabled=True))
        world.store.faults.clear()
        world.store.faults.append(Fault.UNAVAILABLE)
        with pytest.raises(EventStoreUnavailable):
            await ask(world.store, STREAMS, a_request(enabled=True))

    run_virtual(main)


def test_junk_is_passed_and_used_up_versions_are_counted(world: World) -> None:
    async def main() -> None:
        world.publish(update_event(b"junk"), update_event(update(4) | {"configuration": 3}))
        await settled(world)
        known = await read_known(world.store, STREAMS, "bench")
        assert (known.version, known.highest_version, known.document) == (0, 4, {})
        backup = world.store.snapshot()
        world.ask(9)
        await settled(world)
        world.store.restore(backup)
        # The gateway remembers version 9, which the restored store has lost; its answer comes again.
        await settled(world)
        assert (await read_known(world.store, STREAMS, "bench")).highest_version == 9

    run_virtual(main)


@pytest.mark.parametrize("value", [b"NaN", b"1e999", b"9" * 5000])
def test_nothing_is_based_on_an_update_that_holds_what_is_not_json(world: World, value: bytes) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 5})
        junk = b'{"deviceId": "bench", "configVersion": 2, "configuration": {"pollIntervalS": ' + value + b"}}"
        world.publish(update_event(junk))
        asked = await compose(world.store, STREAMS, a_request(enabled=False))
        assert asked.data["configuration"] == {"pollIntervalS": 5, "enabled": False}
        assert (asked.data["basedOn"], asked.data["configVersion"]) == (1, 3)

    run_virtual(main)


def test_a_version_after_which_none_can_follow_is_not_counted(world: World) -> None:
    async def main() -> None:
        world.ask(4)
        world.ask(INTEGER_MAX, {"nonsense": 1})
        await settled(world)
        assert (await read_known(world.store, STREAMS, "bench")).highest_version == 4

    run_virtual(main)


def test_an_answer_that_somebody_else_wrote_is_not_waited_for(world: World) -> None:
    async def main() -> None:
        asked = await ask(world.store, STREAMS, a_request(pollIntervalS=0))
        async with world.started() as gateway:
            await gateway.settle()
            [answer] = await gateway.written(EventType.DEVICE_CONFIGURATION_REJECTED)
            forged = answer | {"errors": [{"path": "", "code": "forged", "message": "no"}]}
            event_type = EventType.DEVICE_CONFIGURATION_REJECTED
            world.publish(update_event(forged, event_type=event_type), stream=STATUS_STREAM)
            await world.forward(gateway.outbox)
        found = await wait_for_answer(world.store, STREAMS, asked)
        assert isinstance(found, DeviceConfigurationRejected)
        assert [error.code for error in found.errors] == ["below_minimum"]

    run_virtual(main)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("pollIntervalS=1", ("pollIntervalS",), 1),
        ("enabled=false", ("enabled",), False),
        ("points.air_temperature.offset=-0.3", ("points", "air_temperature", "offset"), -0.3),
        (" points.air_temperature.maxSilenceS = 60 ", ("points", "air_temperature", "maxSilenceS"), 60),
    ],
)
def test_assignments_are_read(text: str, path: tuple[str, ...], value: Json) -> None:
    assert parse_assignment(text, DEVICE) == (path, value)


@pytest.mark.parametrize(
    "text",
    [
        "pollIntervalS",
        "pollIntervalS=",
        "pollIntervalS=x",
        "pollIntervalS=true",
        "pollIntervalS=NaN",
        "enabled=1",
        "enabled=null",
        "foo=1",
        "points.co2.offset=1",
        "points.air_temperature.alarm=1",
        "points.air_temperature=1",
    ],
)
def test_what_no_configuration_can_have_is_refused_with_what_it_can(text: str) -> None:
    with pytest.raises(EditMistaken):
        parse_assignment(text, DEVICE)


def test_values_are_put_in_and_taken_out_without_touching_the_original() -> None:
    original = {"enabled": True, "points": {"air_temperature": {"offset": 1, "gain": 2}, "x": {"gain": 1}}}
    before = json.dumps(original)
    after = edited(
        original,
        assign={("pollIntervalS",): 5, ("points", "y", "offset"): 1},
        remove=[("enabled",), ("points", "air_temperature", "offset"), ("points", "x", "gain"), ("nothing",)],
    )
    assert after == {"points": {"air_temperature": {"gain": 2}, "y": {"offset": 1}}, "pollIntervalS": 5}
    assert json.dumps(original) == before
    path = parse_path("points.air_temperature.gain", DEVICE)
    assert edited({"points": {"air_temperature": {"gain": 2}}}, assign={}, remove=[path]) == {}
