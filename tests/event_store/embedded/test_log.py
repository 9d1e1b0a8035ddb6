"""The log without its wire, against the fake: two implementations of one rule must agree on whatever is thrown at them."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from esdbclient.protos.Grpc import shared_pb2, streams_pb2

from edge.domain.event_store import NO_STREAM, StreamDeleted, WrongExpectedRevision
from edge.event_store.embedded import rule, wire
from edge.event_store.embedded.changes import Append, Delete
from edge.event_store.embedded.database import open_log_database
from edge.event_store.embedded.log import EventLog, running_log
from edge.event_store.embedded.rule import AlreadyWritten, Deleted, NeverAnswered, Write, WrongRevision
from fakes import stream_state
from fakes.event_store import FakeEventStore, Weak
from fakes.event_store_subjects import new_event

STREAMS = ("one", "two")
STEPS = 150
_WEAK = {Weak.ANY: rule.Weak.ANY, Weak.EXISTS: rule.Weak.EXISTS}


def _append(stream: str, ids: Sequence[UUID], expected: int | Weak) -> Append:
    request = streams_pb2.BatchAppendReq()
    request.options.stream_identifier.stream_name = stream.encode()
    for event_id in ids:
        identifier = shared_pb2.UUID(string=str(event_id))
        request.proposed_messages.add(id=identifier, metadata={"type": "Noted", "content-type": wire.JSON}, data=b"{}")
    parsed = wire.parse_append([_with_any(request)], bytes_max=1_000_000)
    wanted = expected if isinstance(expected, int) else _WEAK[expected]
    return Append(stream=stream, expected=wanted, ids=parsed.ids, body=parsed.body)


def _with_any(request: streams_pb2.BatchAppendReq) -> streams_pb2.BatchAppendReq:
    request.options.any.SetInParent()
    return request


async def _log_says(log: EventLog, append: Append) -> str:
    match (await log.submit(append)).decision:
        case Write() | AlreadyWritten():
            return "succeeds"
        case Deleted():
            return "deleted"
        case WrongRevision():
            return "wrong revision"
        case NeverAnswered():
            return "no answer"


def _fake_says(fake: FakeEventStore, stream: str, ids: Sequence[UUID], expected: int | Weak) -> str:
    try:
        fake.append_now(stream, [new_event(event_id) for event_id in ids], expected)
    except StreamDeleted:
        return "deleted"
    except WrongExpectedRevision:
        return "wrong revision"
    except stream_state.NeverAnswered:
        return "no answer"
    return "succeeds"


async def _ids_in(log: EventLog, stream: str) -> list[UUID]:
    head = log.head(stream)
    if head is None:
        return []
    ids = await log._ids_after(replace(head, tombstoned=False), NO_STREAM, head.last_revision + 1)
    return [UUID(event_id) for event_id in ids]


@pytest.mark.parametrize("seed", range(30))
async def test_embedded_store_and_fake_agree_on_random_appends(seed: int) -> None:
    chance = random.Random(seed)
    # Few ids, so that they meet again: in order, out of order, in the other stream.
    pool = [UUID(int=chance.getrandbits(128)) for _ in range(12)]
    fake = FakeEventStore()
    async with open_log_database(None) as database, running_log(database, bodies=wire, ticks=int) as log:
        for step in range(STEPS):
            stream = chance.choice(STREAMS)
            stands = [event.event_id for event in fake.events(stream)]
            first = chance.randrange(-1, len(stands) + 1)
            again = stands[first + 1 : first + 1 + chance.randrange(5)]
            ids = chance.choice([again, [*again, *chance.sample(pool, 1)], chance.sample(pool, chance.randrange(1, 4))])
            wanted: list[int | Weak] = [first, first, first, len(stands) - 1, Weak.ANY, Weak.EXISTS]
            expected = chance.choice(wanted)
            match chance.randrange(60):
                case 0:
                    fake.restart()
                    log.recent.forget()
                case 1 if stands and not fake.streams[stream].soft_deleted and not fake.streams[stream].tombstoned:
                    fake.soft_delete(stream)
                    await log.submit(Delete(stream=stream, expected=rule.Weak.ANY, for_ever=False))
                case 2 if step > STEPS * 0.9:
                    fake.tombstone(stream)
                    await log.submit(Delete(stream=stream, expected=rule.Weak.ANY, for_ever=True))
            said = await _log_says(log, _append(stream, ids, expected))
            assert said == _fake_says(fake, stream, ids, expected), (step, stream, ids, expected)
        for stream in STREAMS:
            assert await _ids_in(log, stream) == [event.event_id for event in fake.events(stream)]


async def test_every_commit_is_on_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    async with open_log_database(tmp_path) as database:
        ((synchronous,),) = await database._connection.execute_fetchall("PRAGMA synchronous")
        ((journal_mode,),) = await database._connection.execute_fetchall("PRAGMA journal_mode")
    assert (synchronous, journal_mode) == (2, "wal")
