"""Whatever others write into the streams: nothing is raised, and each update is answered exactly once."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.configure.given_answers import read_given_answer
from edge.configure.producer import Request, Streams, compose, read_answer, read_known
from edge.configure.subscription import find_resumption
from edge.contract.model import INTEGER_MAX
from edge.contract.registry import MODELS
from edge.domain.configuration import answer_event_id
from edge.domain.event import EventType, NewEvent, RecordedEvent
from edge.domain.foreign_json import JsonRefused, read_json, read_object
from edge.storage.remembered import Checkpoint
from fakes.configure_world import ANSWERS, STATUS_STREAM, STREAM, World, update_event
from fakes.event_store import FakeEventStore
from fakes.virtual_time import run_virtual

UPDATED = EventType.DEVICE_CONFIGURATION_UPDATED
STREAMS = Streams(configuration=STREAM, status=STATUS_STREAM)

# What has broken readers before.
HOSTILE = [
    b"[" * 70_000,
    b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    b'{"configVersion": ' + b"9" * 5_000 + b"}",
    b'{"position": 1' + b"0" * 400 + b"}",
    b'{"position": -1' + b"0" * 30 + b', "run": "\\ud800"}',
    b'{"a": 1, "a": 2}',
    b'{"$correlationId": "\\ud800"}',
    b'{"a": NaN, "b": 1e999, "c": -Infinity}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe",
    b"null",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
odd_numbers = st.sampled_from([True, 0, -1, 1.5, 7.0, 2**53, 2**63, 10**30, 10**400, float("nan"), float("inf")])
odd_values = json_values | odd_numbers


def spoilt(whole: dict[str, object]) -> st.SearchStrategy[dict[str, object]]:
    """One that is whole, or in which a value or two are something else."""
    return st.dictionaries(st.sampled_from(sorted(whole)), odd_values, max_size=2).map(lambda odd: {**whole, **odd})


configurations = spoilt(
    {"enabled": True, "pollIntervalS": 5, "points": {"air_temperature": {"offset": 1}}, "recipe": None}
)
near_updates = st.builds(
    lambda whole, version, configuration: {**whole, "configVersion": version, "configuration": configuration},
    spoilt({"deviceId": "bench", "basedOn": None, "validUntil": None, "reason": "because"}),
    st.integers(1, 9) | st.integers(1, 9) | odd_values,
    configurations | configurations | odd_values,
)
encoded = st.one_of(near_updates, json_values).map(lambda value: json.dumps(value).encode())
contents = st.binary(max_size=60) | encoded | encoded | st.sampled_from(HOSTILE)
metadata = st.just(b"") | contents
# An id is made of its number, so that an answer can be forged for it.
updates = st.lists(st.tuples(st.integers(1, 12), contents, metadata), min_size=1, max_size=12)
FACTS: dict[str, object] = {
    "siteId": "north-1",
    "gatewayId": "north-1",
    "clock": "synchronized",
    "occurredAt": "2026-11-23T10:15:00.120Z",
    "updateRevision": 3,
    "deviceId": "bench",
    "configVersion": 7,
}
ERROR = {"path": "configVersion", "code": "stale_version", "message": "no", "limit": 4}
near_answers = st.builds(
    lambda number, whole: json.dumps({"updateEventId": str(UUID(int=number)), **whole}).encode(),
    st.integers(1, 14),
    spoilt({**FACTS, "changes": [{"path": "enabled", "from": True, "to": False}]})
    | spoilt({**FACTS, "stage": "validation", "errors": [ERROR]})
    | spoilt({**FACTS, "stage": "validation", "errors": [ERROR | {"limit": 1e300}]}),
)
foreign_answers = st.lists(
    st.tuples(st.sampled_from([*ANSWERS, UPDATED, "Other"]), near_answers | contents, metadata), max_size=8
)


def recorded(event_type: str, data: bytes, meta: bytes, event_id: UUID) -> RecordedEvent:
    return RecordedEvent(event_id=event_id, type=event_type, data=data, metadata=meta, stream=STATUS_STREAM, revision=3)


@settings(max_examples=60, deadline=None)
@given(updates, foreign_answers, st.lists(st.booleans(), max_size=3))
def test_any_bytes_give_exactly_one_answer_that_keeps_the_contract(
    events: list[tuple[int, bytes, bytes]], foreign: list[tuple[str, bytes, bytes]], losses: list[bool]
) -> None:
    """Over several starts, some with a database that was lost before."""

    async def main(directory: Path) -> None:
        world = World(directory / "state")
        parts = [foreign[i :: len(losses) + 1] for i in range(len(losses) + 1)]
        for part, is_lost in zip(parts, [False, *losses], strict=True):
            if is_lost:
                shutil.rmtree(world.directory)
            world.publish(
                *[update_event(data, metadata=meta, event_type=event_type) for event_type, data, meta in part],
                stream=STATUS_STREAM,
            )
            world.publish(
                *[update_event(data, metadata=meta, event_id=UUID(int=number)) for number, data, meta in events]
            )
            async with world.started() as gateway:
                await gateway.settle(20.0)
                await world.forward(gateway.outbox)
        asked = {UUID(int=number) for number, _, _ in events}
        given_ids = {answer_event_id(update_event_id): update_event_id for update_event_id in asked}
        answers = [event for event in world.store.events(STATUS_STREAM) if event.event_id in given_ids]
        assert Counter(given_ids[event.event_id] for event in answers) == Counter(asked)
        for answer in answers:
            MODELS[EventType(answer.type)].model_validate(json.loads(answer.data))

    with tempfile.TemporaryDirectory() as directory:
        run_virtual(lambda: main(Path(directory)))


@settings(deadline=None)
@given(st.sampled_from([*ANSWERS, "Other"]), near_answers | contents, metadata, st.integers(1, 14), st.booleans())
def test_any_event_on_the_status_stream_is_an_answer_or_none(
    event_type: str, data: bytes, meta: bytes, number: int, has_answers_id: bool
) -> None:
    update_event_id = UUID(int=number)
    event = recorded(event_type, data, meta, answer_event_id(update_event_id) if has_answers_id else uuid4())
    given_answer = read_given_answer(event, gateway_id="north-1")
    if given_answer is not None:
        assert has_answers_id
        assert given_answer.update_event_id == update_event_id
        assert 0 <= given_answer.update_revision <= INTEGER_MAX
        assert given_answer.config_version is None or 0 <= given_answer.config_version <= INTEGER_MAX
    answer = read_answer(event)
    assert answer is None or (has_answers_id and answer.update_event_id == update_event_id)


@settings(max_examples=60, deadline=None)
@given(updates, foreign_answers)
def test_a_producer_composes_an_update_whatever_stands_on_the_streams(
    events: list[tuple[int, bytes, bytes]], foreign: list[tuple[str, bytes, bytes]]
) -> None:
    async def main() -> None:
        store = FakeEventStore()
        config = [update_event(data, metadata=meta, event_id=UUID(int=number)) for number, data, meta in events]
        status = [
            # Every one with an answer's id, as only a forger would.
            NewEvent(event_id=answer_event_id(UUID(int=index + 1)), type=event_type, data=data, metadata=meta)
            for index, (event_type, data, meta) in enumerate(foreign)
        ]
        store.append_now(STREAM, config, -1)
        store.append_now(STATUS_STREAM, status, -1)
        known = await read_known(store, STREAMS, "bench")
        request = Request(
            device_id="bench",
            edit=lambda document: json.loads(json.dumps(document)),
            remarks={},
            event_id=uuid4(),
            correlation_id=uuid4(),
            producer="test",
        )
        asked = await compose(store, STREAMS, request)
        data = json.loads(asked.event.data, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
        assert asked.expected_revision == len(config) - 1
        assert (data["basedOn"], data["configVersion"]) == (known.version, known.highest_version + 1)
        assert data["configVersion"] <= INTEGER_MAX

    run_virtual(main)


@settings(deadline=None)
@given(contents)
def test_foreign_json_is_read_or_refused(raw: bytes) -> None:
    try:
        value = read_json(raw, depth_max=8)
    except JsonRefused:
        assert read_object(raw, bytes_max=10_000, depth_max=8) == {}
    else:
        json.dumps(value, ensure_ascii=False).encode()
        assert read_object(raw, bytes_max=10_000, depth_max=8) == (value if isinstance(value, dict) else {})


def pairs(drawn: list[tuple[int, bool]], ids: list[UUID]) -> Iterator[Checkpoint]:
    for revision, is_true in sorted(dict(drawn).items(), reverse=True):
        yield Checkpoint(revision, ids[revision] if is_true and revision < len(ids) else uuid4())


@settings(deadline=None)
@given(st.integers(0, 8), st.integers(0, 9), st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=6))
def test_a_stream_is_resumed_after_the_newest_pair_that_stands(
    length: int, truncated_before: int, drawn: list[tuple[int, bool]]
) -> None:
    async def main() -> None:
        store = FakeEventStore()
        events = [update_event(b"") for _ in range(length)]
        if events:
            store.append_now("s", events, -1)
            store.truncate("s", min(truncated_before, length))
        shown = {revision: event.event_id for revision, event in enumerate(events) if revision >= truncated_before}
        remembered = list(pairs(drawn, [event.event_id for event in events]))
        resumption = await find_resumption(store, "s", remembered)
        standing = [pair for pair in remembered if shown.get(pair.revision) == pair.event_id]
        assert resumption.after == next(iter(standing), None)
        contradicted = [
            pair
            for pair in remembered
            if (pair.revision >= length and (shown or not events))
            or (pair.revision in shown and shown[pair.revision] != pair.event_id)
        ]
        newest = resumption.after.revision if resumption.after is not None else -1
        assert resumption.has_gone_back == any(pair.revision > newest for pair in contradicted)

    run_virtual(main)
