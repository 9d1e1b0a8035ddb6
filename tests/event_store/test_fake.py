"""The fake's faults. Its append rule is held to the table in test_conformance.py."""

import asyncio
from collections import deque

import pytest

from edge.domain.event_store import (
    NO_STREAM,
    AccessRefused,
    AppendTooLarge,
    CaughtUp,
    CredentialRefused,
    EventStoreUnavailable,
    OutcomeUnknown,
    RequestRefused,
    Right,
    StreamNotFound,
    WrongExpectedRevision,
)
from fakes.event_store import FakeEventStore, Fault, Weak
from fakes.event_store_subjects import new_event


@pytest.fixture
def fake() -> FakeEventStore:
    return FakeEventStore()


async def test_lost_request_is_not_written_and_lost_answer_is(fake: FakeEventStore) -> None:
    fake.faults = deque([Fault.LOST_REQUEST, Fault.LOST_ANSWER, None])
    first, second = new_event(), new_event()
    with pytest.raises(OutcomeUnknown):
        await fake.append("one", [first], expected_revision=NO_STREAM)
    assert fake.events("one") == []
    with pytest.raises(OutcomeUnknown):
        await fake.append("one", [first], expected_revision=NO_STREAM)
    await fake.append("one", [second], expected_revision=0)
    assert [event.event_id for event in fake.events("one")] == [first.event_id, second.event_id]
    assert fake.append_calls["one"] == 3


async def test_delayed_append_lands_later_and_is_judged_then(fake: FakeEventStore) -> None:
    fake.faults = deque([Fault.DELAYED, Fault.DELAYED])
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await fake.append("one", [new_event()], expected_revision=NO_STREAM)
    assert [fake.land(1), fake.land()] == [True, False]
    assert len(fake.events("one")) == 1
    assert fake.delayed == []


async def test_append_of_a_cancelled_caller_lands_if_the_test_says_so(fake: FakeEventStore) -> None:
    fake.latency_s = lambda: 60.0
    for lands in (False, True):
        fake.cancelled_lands = lambda lands=lands: lands  # type: ignore[misc]
        appending = asyncio.create_task(fake.append("one", [new_event()], expected_revision=NO_STREAM))
        await asyncio.sleep(0)
        appending.cancel()
        await asyncio.wait([appending])
        assert appending.cancelled()
        assert len(fake.delayed) == lands


async def test_store_that_is_down_refuses_and_breaks_subscriptions_until_its_restart(fake: FakeEventStore) -> None:
    async with fake.subscribe("one", after_revision=NO_STREAM) as items:
        assert isinstance(await anext(items), CaughtUp)
        fake.go_down()
        with pytest.raises(EventStoreUnavailable):
            await anext(items)
    with pytest.raises(EventStoreUnavailable):
        await fake.append("one", [new_event()], expected_revision=NO_STREAM)
    with pytest.raises(EventStoreUnavailable):
        await fake.read_backward("one", limit=1)
    with pytest.raises(EventStoreUnavailable):
        async with fake.subscribe("one", after_revision=NO_STREAM):
            pass
    fake.restart()
    await fake.append("one", [new_event()], expected_revision=NO_STREAM)


async def test_access_size_and_content_are_refused(fake: FakeEventStore) -> None:
    fake.access_refused = True
    with pytest.raises(CredentialRefused):
        await fake.append("one", [new_event()], expected_revision=NO_STREAM)
    fake.access_refused = False
    fake.denied = {("one", Right.APPEND), ("two", Right.READ)}
    with pytest.raises(AccessRefused, match="gw-north may not append to one"):
        await fake.append("one", [new_event()], expected_revision=NO_STREAM)
    with pytest.raises(AccessRefused, match="gw-north may not read two"):
        await fake.read_backward("two", limit=1)
    with pytest.raises(AccessRefused):
        async with fake.subscribe("two", after_revision=NO_STREAM):
            pass
    fake.denied.clear()
    fake.append_bytes_max = 40
    with pytest.raises(AppendTooLarge):
        await fake.append("one", [new_event(), new_event()], expected_revision=NO_STREAM)
    fake.refuses = lambda event: event.type == "Poison"
    with pytest.raises(RequestRefused):
        await fake.append("one", [new_event(event_type="Poison", data=b"")], expected_revision=NO_STREAM)
    assert fake.events("one") == []


async def test_backup_restored_takes_the_store_back_and_loses_what_was_under_way(fake: FakeEventStore) -> None:
    events = [new_event() for _ in range(3)]
    await fake.append("one", events[:1], expected_revision=NO_STREAM)
    backup = fake.snapshot()
    await fake.append("one", events[1:], expected_revision=0)
    fake.faults.append(Fault.DELAYED)
    with pytest.raises(OutcomeUnknown):
        await fake.append("one", [new_event()], expected_revision=2)
    fake.restore(backup)
    assert [event.event_id for event in fake.events("one")] == [events[0].event_id]
    assert fake.delayed == []
    with pytest.raises(WrongExpectedRevision) as refusal:
        await fake.append("one", [new_event()], expected_revision=2)
    assert refusal.value.actual == 0
    fake.restore({})
    with pytest.raises(StreamNotFound):
        await fake.read_forward("one", from_revision=0, limit=1)


async def test_reads_are_counted_by_events_too(fake: FakeEventStore) -> None:
    fake.append_now("one", [new_event() for _ in range(9)], NO_STREAM)
    await fake.read_backward("one", limit=1)
    await fake.read_forward("one", from_revision=6, limit=5)
    assert (fake.reads["one"].calls, fake.reads["one"].events) == (2, 4)


async def test_weak_append_doubles_after_a_restart(fake: FakeEventStore) -> None:
    # What the teeth tests of the forwarder rest on.
    events = [new_event()]
    for _ in range(2):
        await fake.append_as("one", events, Weak.ANY)
    assert len(fake.events("one")) == 1
    fake.restart()
    await fake.append_as("one", events, Weak.ANY)
    assert len(fake.events("one")) == 2
