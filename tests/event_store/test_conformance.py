"""The server's rules (facts/event-store.md, section 1), held against the fake, the embedded store, and a named server."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID, uuid4

import pytest

from edge.domain.event import RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    AppendTooLarge,
    CaughtUp,
    StreamDeleted,
    StreamNotFound,
    WrongExpectedRevision,
)
from edge.forward.refusals import UNREACHED_REVISION
from fakes.event_store import Weak
from fakes.event_store_subjects import Subject, new_event

IDS = {letter: uuid4() for letter in "abcdefg"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A stream holds `stands` (each string one append); then `sent` is appended."""

    claim: str
    sent: str
    expected: int | Weak
    outcome: Literal["succeeds", "is refused", "is never answered"]
    leaves: str
    stands: tuple[str, ...] = ("abc",)
    # Ids that another stream used first.
    elsewhere: str = ""
    restart: bool = False
    actual: int = field(default=2)


STRONG = [
    Row(claim="all the same", sent="abc", expected=NO_STREAM, outcome="succeeds", leaves="abc"),
    Row(claim="a prefix", sent="ab", expected=NO_STREAM, outcome="succeeds", leaves="abc"),
    Row(claim="a middle part", sent="b", expected=0, outcome="succeeds", leaves="abc"),
    Row(claim="the end", sent="bc", expected=0, outcome="succeeds", leaves="abc"),
    Row(claim="a superset", sent="abcd", expected=NO_STREAM, outcome="is refused", leaves="abc"),
    Row(claim="a different order", sent="acb", expected=NO_STREAM, outcome="is refused", leaves="abc"),
    Row(claim="first new, later old", sent="dbc", expected=NO_STREAM, outcome="is refused", leaves="abc"),
    Row(
        claim="later events since",
        stands=("abc", "d"),
        sent="abc",
        expected=NO_STREAM,
        outcome="succeeds",
        leaves="abcd",
    ),
    Row(claim="over two appends", stands=("ab", "cd"), sent="bcd", expected=0, outcome="succeeds", leaves="abcd"),
    Row(claim="a restart", sent="abc", expected=NO_STREAM, restart=True, outcome="succeeds", leaves="abc"),
    Row(claim="an id of elsewhere", sent="d", expected=2, elsewhere="d", outcome="succeeds", leaves="abcd"),
    Row(claim="a revision ahead", sent="d", expected=7, outcome="is refused", leaves="abc"),
    Row(claim="the revision", sent="d", expected=2, outcome="succeeds", leaves="abcd"),
    Row(claim="a revision behind", sent="d", expected=1, outcome="is refused", leaves="abc"),
    Row(claim="no stream, though there is one", sent="d", expected=NO_STREAM, outcome="is refused", leaves="abc"),
    Row(claim="nothing, behind", sent="", expected=1, outcome="is refused", leaves="abc"),
    Row(claim="nothing, at the revision", sent="", expected=2, outcome="succeeds", leaves="abc"),
    Row(
        claim="the second of no stream",
        stands=(),
        sent="a",
        expected=0,
        outcome="is refused",
        leaves="",
        actual=NO_STREAM,
    ),
]
WEAK = [
    Row(claim="all the same", sent="abc", expected=Weak.ANY, outcome="succeeds", leaves="abc"),
    Row(claim="a prefix", sent="ab", expected=Weak.ANY, outcome="succeeds", leaves="abc"),
    Row(claim="a superset", sent="abcd", expected=Weak.ANY, outcome="is refused", leaves="abc"),
    Row(claim="a different order", sent="cab", expected=Weak.ANY, outcome="is never answered", leaves="abc"),
    Row(claim="exists, another order", sent="ba", expected=Weak.EXISTS, outcome="is never answered", leaves="abc"),
    Row(claim="first new, later old", sent="dbc", expected=Weak.ANY, outcome="succeeds", leaves="abcdbc"),
    Row(
        claim="later events since",
        stands=("abc", "d"),
        sent="abc",
        expected=Weak.ANY,
        outcome="succeeds",
        leaves="abcd",
    ),
    Row(claim="a restart", sent="abc", expected=Weak.ANY, restart=True, outcome="succeeds", leaves="abcabc"),
    Row(
        claim="an id of elsewhere",
        stands=("abc", "d"),
        sent="d",
        expected=Weak.ANY,
        elsewhere="d",
        outcome="succeeds",
        leaves="abcdd",
    ),
    Row(claim="nothing", sent="", expected=Weak.ANY, outcome="succeeds", leaves="abc"),
    Row(claim="exists, all the same", sent="abc", expected=Weak.EXISTS, outcome="succeeds", leaves="abc"),
    Row(claim="exists, and it does", sent="d", expected=Weak.EXISTS, outcome="succeeds", leaves="abcd"),
    Row(
        claim="exists, but it does not",
        stands=(),
        sent="a",
        expected=Weak.EXISTS,
        outcome="is refused",
        leaves="",
        actual=NO_STREAM,
    ),
]


@pytest.mark.parametrize("row", STRONG + WEAK, ids=lambda row: f"{row.expected}: {row.claim} {row.outcome}")
async def test_append_of_events_that_partly_stand_there(subject: Subject, row: Row) -> None:
    if row.restart and subject.restart is None:
        pytest.skip("this server is not ours to restart")
    # The weak cache knows no test from the next: every run has its own ids.
    ids = {letter: uuid4() for letter in IDS}
    stream, expected = subject.stream(), NO_STREAM
    for letter in row.elsewhere:
        await subject.append(subject.stream("other"), [new_event(ids[letter])], NO_STREAM)
    for letters in row.stands:
        await subject.append(stream, [new_event(ids[letter]) for letter in letters], expected)
        expected += len(letters)
    if row.restart and subject.restart is not None:
        await subject.restart()
    sent = [new_event(ids[letter]) for letter in row.sent]
    if row.outcome == "succeeds":
        await subject.append(stream, sent, row.expected)
    elif row.outcome == "is never answered":
        with pytest.raises(TimeoutError):
            # Each answer that comes at all comes within a fraction of this.
            await asyncio.wait_for(subject.append(stream, sent, row.expected), timeout=1)
    else:
        with pytest.raises(WrongExpectedRevision) as refusal:
            await subject.append(stream, sent, row.expected)
        assert refusal.value.actual == row.actual
    stands: list[UUID] = await subject.ids(stream) if row.leaves else []
    assert "".join(letter for event_id in stands for letter in ids if ids[letter] == event_id) == row.leaves


@pytest.mark.parametrize("expected", [NO_STREAM, 2, 0, Weak.ANY, Weak.EXISTS])
async def test_tombstoned_stream_takes_no_event_for_ever(subject: Subject, expected: int | Weak) -> None:
    await subject.append(subject.stream(), [new_event() for _ in range(3)], NO_STREAM)
    await subject.tombstone(subject.stream())
    with pytest.raises(StreamDeleted):
        await subject.append(subject.stream(), [new_event()], expected)
    with pytest.raises(StreamDeleted):
        await subject.store.read_forward(subject.stream(), from_revision=0, limit=1)


@pytest.mark.parametrize("expected", [NO_STREAM, 2, Weak.ANY])
async def test_softly_deleted_stream_goes_on_where_it_was(subject: Subject, expected: int | Weak) -> None:
    stream = subject.stream()
    await subject.append(stream, [new_event() for _ in range(3)], NO_STREAM)
    await subject.soft_delete(stream)
    with pytest.raises(StreamNotFound):
        await subject.store.read_backward(stream, limit=1)
    with pytest.raises(StreamDeleted):
        await subject.append(stream, [new_event()], Weak.EXISTS)
    with pytest.raises(WrongExpectedRevision):
        await subject.append(stream, [new_event()], 1)
    await subject.append(stream, [new_event()], expected)
    assert [event.revision for event in await subject.store.read_forward(stream, from_revision=0, limit=9)] == [3]


async def test_append_without_events_brings_a_softly_deleted_stream_back_empty(subject: Subject) -> None:
    stream = subject.stream()
    await subject.append(stream, [new_event() for _ in range(3)], NO_STREAM)
    await subject.soft_delete(stream)
    await subject.soft_delete(stream)
    await subject.append(stream, [], 2)
    assert await subject.store.read_forward(stream, from_revision=0, limit=9) == []
    await subject.append(stream, [new_event()], Weak.EXISTS)
    assert [event.revision for event in await subject.store.read_forward(stream, from_revision=0, limit=9)] == [3]


async def test_truncated_events_are_hidden_but_count(subject: Subject) -> None:
    stream, events = subject.stream(), [new_event() for _ in range(3)]
    await subject.append(stream, events, NO_STREAM)
    await subject.truncate(stream, 2)
    assert [event.revision for event in await subject.store.read_forward(stream, from_revision=0, limit=9)] == [2]
    await subject.truncate(stream, 3)
    assert await subject.store.read_backward(stream, limit=1) == []
    # The exact check still sees what reads do not.
    await subject.append(stream, events, NO_STREAM)
    with pytest.raises(WrongExpectedRevision) as refusal:
        await subject.append(stream, [new_event()], NO_STREAM)
    assert refusal.value.actual == 2
    await subject.append(stream, [new_event()], 2)
    assert [event.revision for event in await subject.store.read_backward(stream, limit=9)] == [3]


async def test_reads_give_pages_in_both_directions(subject: Subject) -> None:
    stream, store = subject.stream(), subject.store
    events = [new_event(data=b'{"n":%d}' % number) for number in range(25)]
    for first in range(0, 25, 10):
        await subject.append(stream, events[first : first + 10], first - 1)
    page = await store.read_forward(stream, from_revision=7, limit=11)
    assert page == [
        RecordedEvent(
            event_id=event.event_id,
            type="Noted",
            data=event.data,
            metadata=event.metadata,
            stream=stream,
            revision=7 + i,
        )
        for i, event in enumerate(events[7:18])
    ]
    assert [event.revision for event in await store.read_backward(stream, limit=3)] == [24, 23, 22]
    assert [event.revision for event in await store.read_backward(stream, limit=12, from_revision=20)] == [
        *range(20, 8, -1)
    ]
    assert await store.read_forward(stream, from_revision=25, limit=5) == []
    assert len(await store.read_backward(stream, limit=5, from_revision=99)) == 5


async def test_stream_nobody_wrote_to_is_not_found(subject: Subject) -> None:
    with pytest.raises(StreamNotFound):
        await subject.store.read_forward(subject.stream(), from_revision=0, limit=1)
    with pytest.raises(StreamNotFound):
        await subject.store.read_backward(subject.stream(), limit=1)


async def test_append_over_the_limit_is_too_large_and_writes_nothing(subject: Subject) -> None:
    too_much = [new_event(data=b'"%s"' % (b"x" * 300_000)) for _ in range(4)]
    with pytest.raises(AppendTooLarge):
        await subject.append(subject.stream(), too_much, NO_STREAM)
    await subject.append(subject.stream(), too_much[:3], NO_STREAM)


@pytest.mark.parametrize("has_events", [False, True])
async def test_append_after_a_revision_that_is_never_reached_only_tells_whether_the_events_would_be_taken(
    subject: Subject, *, has_events: bool
) -> None:
    stream = subject.stream()
    if has_events:
        await subject.store.append(stream, [new_event(), new_event()], expected_revision=NO_STREAM)
    with pytest.raises(WrongExpectedRevision) as refusal:
        await subject.store.append(stream, [new_event()], expected_revision=UNREACHED_REVISION)
    assert refusal.value.actual == (1 if has_events else NO_STREAM)
    with pytest.raises(AppendTooLarge):
        await subject.store.append(stream, [new_event(data=b"x" * 1_100_000)], expected_revision=UNREACHED_REVISION)
    with pytest.raises(WrongExpectedRevision) as refusal:
        await subject.store.append(stream, [new_event()], expected_revision=7)
    assert refusal.value.actual == (1 if has_events else NO_STREAM)


async def test_subscription_catches_up_says_so_and_goes_on_live(subject: Subject) -> None:
    stream = subject.stream()
    await subject.append(stream, [new_event() for _ in range(5)], NO_STREAM)
    async with subject.store.subscribe(stream, after_revision=1) as items:
        assert [await _revision(anext(items)) for _ in range(4)] == [2, 3, 4, "caught up"]
        await subject.append(stream, [new_event()], 4)
        assert await _revision(anext(items)) == 5


async def test_subscription_to_a_stream_that_comes_later(subject: Subject) -> None:
    async with subject.store.subscribe(subject.stream(), after_revision=NO_STREAM) as items:
        assert await _revision(anext(items)) == "caught up"
        await subject.append(subject.stream(), [new_event()], NO_STREAM)
        assert await _revision(anext(items)) == 0


async def test_subscription_to_a_stream_that_is_tombstoned_ends_and_gives_no_event_of_it(subject: Subject) -> None:
    stream = subject.stream()
    await subject.append(stream, [new_event()], NO_STREAM)
    async with subject.store.subscribe(stream, after_revision=NO_STREAM) as items:
        assert [await _revision(anext(items)) for _ in range(2)] == [0, "caught up"]
        await subject.tombstone(stream)
        with pytest.raises(StreamDeleted):
            await anext(items)


async def test_subscription_ahead_of_its_stream_skips_silently(subject: Subject) -> None:
    # Why a checkpoint is compared with the stream at every subscribe: the server does not do it.
    stream = subject.stream()
    await subject.append(stream, [new_event()], NO_STREAM)
    async with subject.store.subscribe(stream, after_revision=2) as items:
        assert await _revision(anext(items)) == "caught up"
        for revision in range(4):
            await subject.append(stream, [new_event()], revision)
        assert await _revision(anext(items)) == 3


async def _revision(item: object) -> int | str:
    got = await item  # type: ignore[misc]
    return "caught up" if isinstance(got, CaughtUp) else got.revision
