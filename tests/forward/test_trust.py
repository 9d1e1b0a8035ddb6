"""One event stands for all: when it is believed, and when it cannot tell."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.event import NewEvent
from edge.domain.event_store import EventStoreUnavailable
from edge.forward.link import Outlook, Trust
from edge.storage.batch import StreamNames, StreamRow
from edge.storage.cursors import Cursors, Witness
from fakes.event_store import FakeEventStore

NAMES = {1: "s-1", 2: "s-2", 3: "s-3"}


class Bench:
    """A store, and what a forwarder would note of its answers."""

    def __init__(self) -> None:
        self.store = FakeEventStore()
        self.cursors = Cursors()
        self.trust = Trust(
            self.store, self.cursors, StreamNames(StreamRow(number, name) for number, name in NAMES.items())
        )
        self._ids = 0

    def write(self, stream: int) -> tuple[int, UUID, int]:
        """What an append of one event does in the store: its revision, id and commit position."""
        self._ids += 1
        event = NewEvent(event_id=UUID(int=self._ids), type="T", data=b"{}", metadata=b"{}")
        revision = len(self.store.events(NAMES[stream]))
        position = self.store.append_now(NAMES[stream], [event], revision - 1)
        assert position is not None
        return revision, event.event_id, position

    def append(self, stream: int) -> None:
        outlook = self.trust.begin()
        self.trust.acknowledge(outlook, stream, *self.write(stream))


async def test_without_a_witness_nothing_is_proven_and_nothing_is_read() -> None:
    bench = Bench()
    assert not await bench.trust.is_intact()
    assert not bench.store.reads


async def test_the_last_append_of_all_streams_stands_for_all() -> None:
    bench = Bench()
    for stream in (1, 2, 3, 1):
        bench.append(stream)
    assert bench.cursors.witness is not None
    assert (bench.cursors.witness.stream, bench.cursors.witness.revision) == (1, 1)
    assert await bench.trust.is_intact()
    assert [bench.store.reads[name].calls for name in NAMES.values()] == [1, 0, 0]


async def test_answers_out_of_order_leave_the_highest_position_as_witness() -> None:
    bench = Bench()
    outlook = bench.trust.begin()
    first, second = bench.write(1), bench.write(2)
    bench.trust.acknowledge(outlook, 2, *second)
    bench.trust.acknowledge(outlook, 1, *first)
    assert bench.cursors.witness == Witness(2, *second)


@pytest.mark.parametrize("kept", range(4))
async def test_a_witness_that_was_cut_off_is_no_proof(kept: int) -> None:
    bench = Bench()
    snapshots = [bench.store.snapshot()]
    for stream in (1, 2, 3, 1):
        bench.append(stream)
        snapshots.append(bench.store.snapshot())
    bench.store.restore(snapshots[kept])
    bench.write(1)
    assert not await bench.trust.is_intact()


HIDINGS: list[Callable[[FakeEventStore], None]] = [
    lambda store: store.truncate("s-1", 1),
    lambda store: store.truncate("s-1", 2),
    lambda store: store.soft_delete("s-1"),
    lambda store: store.tombstone("s-1"),
]


@pytest.mark.parametrize("hide", HIDINGS)
async def test_a_witness_that_is_hidden_or_deleted_cannot_tell(hide: Callable[[FakeEventStore], None]) -> None:
    bench = Bench()
    bench.append(1)
    bench.write(1)
    hide(bench.store)
    assert not await bench.trust.is_intact()


async def test_a_store_that_cannot_be_asked_is_no_answer() -> None:
    bench = Bench()
    bench.append(1)
    bench.store.go_down()
    with pytest.raises(EventStoreUnavailable):
        await bench.trust.is_intact()


async def test_an_event_of_unknown_position_may_lie_after_the_witness_and_ends_it() -> None:
    bench = Bench()
    bench.append(1)
    began_before = bench.trust.begin()
    bench.trust.acknowledge_unplaced()
    # Written before it, perhaps.
    bench.trust.acknowledge(began_before, 2, *bench.write(2))
    assert bench.cursors.witness is None
    bench.append(3)
    assert bench.cursors.witness is not None


async def test_an_append_that_began_early_and_is_written_last_becomes_the_witness() -> None:
    bench = Bench()
    began_early = bench.trust.begin()
    bench.trust.acknowledge_unplaced()
    bench.append(1)
    last = bench.write(2)
    bench.trust.acknowledge(began_early, 2, *last)
    assert bench.cursors.witness == Witness(2, *last)


async def is_proven(bench: Bench) -> bool:
    return not bench.trust.is_doubted or await bench.trust.is_intact()


async def test_a_position_that_was_passed_before_the_append_began_is_a_doubt() -> None:
    bench = Bench()
    bench.trust.settle(await bench.trust.doubted(), now_s=1.0)
    bench.append(1)
    snapshot = bench.store.snapshot()
    bench.append(2)
    assert await is_proven(bench)
    bench.store.restore(snapshot)
    bench.append(3)
    assert not await is_proven(bench)


async def test_a_doubt_during_the_proof_is_not_settled_by_it() -> None:
    bench = Bench()
    doubts = await bench.trust.doubted()
    bench.trust.doubt()
    bench.trust.settle(doubts, now_s=1.0)
    assert bench.trust.is_doubted


@given(
    st.lists(st.tuples(st.sampled_from(("begin", "write", "told", "untold", "read")), st.integers(1, 3)), max_size=30)
)
def test_every_acknowledged_event_lies_at_or_before_the_witness(story: list[tuple[str, int]]) -> None:
    """Appends begin, are written and are answered in any order; some answers tell no position."""
    bench = Bench()
    acknowledged: list[int] = []
    begun: list[Outlook] = []
    written: list[tuple[Outlook, int, int, UUID, int]] = []
    for step, choice in story:
        if step == "begin":
            begun.append(bench.trust.begin())
        elif step == "write" and begun:
            written.append((begun.pop(choice % len(begun)), choice, *bench.write(choice)))
        elif step == "read":
            acknowledged.append(bench.write(choice)[2])
            bench.trust.acknowledge_unplaced()
        elif step in {"told", "untold"} and written:
            outlook, stream, revision, event_id, position = written.pop(choice % len(written))
            acknowledged.append(position)
            bench.trust.acknowledge(outlook, stream, revision, event_id, position if step == "told" else None)
        witness = bench.cursors.witness
        assert witness is None or witness.commit_position == max(acknowledged)


async def test_a_doubt_right_after_the_end_of_another_is_waited_for_too() -> None:
    trust = Trust(FakeEventStore(), Cursors(), StreamNames())
    ready = asyncio.create_task(trust.ready())
    await asyncio.sleep(0)
    trust.settle(await trust.doubted(), now_s=0.0)
    trust.doubt()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not ready.done()
    trust.settle(await trust.doubted(), now_s=0.0)
    await ready
