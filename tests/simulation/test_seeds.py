"""The seeded simulation. A failure names its seed; the same seed plays the same story.

GREENHOUSE_EDGE_SEEDS says how many seeds (300), GREENHOUSE_EDGE_FIRST_SEED where they begin (0).
"""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest

from edge.domain.event import Draft, NewEvent
from edge.forward.stream import Stream, new_events
from edge.storage import ledger
from edge.storage.cursors import Cursors
from edge.storage.outbox import Outbox
from fakes.colliding_streams import CollidingStreams
from fakes.event_store import FakeEventStore, Weak
from fakes.forwarding_check import set_aside_in_vain, violations
from fakes.forwarding_story import Story, play_seed
from fakes.forwarding_world import Seam, World
from fakes.virtual_time import run_virtual

SEEDS = int(os.environ.get("GREENHOUSE_EDGE_SEEDS", "300"))
FIRST_SEED = int(os.environ.get("GREENHOUSE_EDGE_FIRST_SEED", "0"))
SEEDS_PER_TEST = 10
# A broken forwarder must be caught within so many.
TEETH_SEEDS = 60


def found_in(directory: Path, seed: int, seam: Callable[..., Seam] = Seam) -> list[str]:
    world = World(directory=directory / f"{seed}" / "state", rng=Random(seed), seam=seam)
    run_virtual(partial(play_seed, directory, seed, world))
    return [*violations(world), *set_aside_in_vain(world)]


@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + SEEDS, SEEDS_PER_TEST))
def test_whatever_happens_every_event_is_there_once_and_in_order(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + SEEDS_PER_TEST):
        found = found_in(tmp_path, seed)
        assert not found, f"seed {seed}: " + "\n".join(found)


def test_a_seed_plays_the_same_story_each_time(tmp_path: Path) -> None:
    stories = []
    for folder in ("first", "second"):
        world = World(directory=tmp_path / folder / "state", rng=Random(11))
        run_virtual(partial(play_seed, tmp_path, 11, world))
        stories.append({stream: [e.event_id for e in state.events] for stream, state in world.store.streams.items()})
    assert stories[0] == stories[1]


class AnySeam(Seam):
    """An append that does not say where it belongs."""

    async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> int | None:
        del expected_revision
        self._point()
        position = await self._store.append_as(stream, events, Weak.ANY)
        self._point()
        return position


async def append_marked_first(stream: Stream) -> int:
    """Notes the success before it has one."""
    batch = list(stream.entries)[:500]
    if batch:
        revision = stream.cursor.acked_revision
        assert revision is not None
        stream.shared.outbox.cursors.acknowledge(
            stream.number,
            revision=revision + len(batch),
            event_id=batch[-1].event_id,
            position=batch[-1].position,
            count=len(batch),
        )
        stream.forwarded(batch[-1].position)
        await stream.shared.event_store.append(stream.name, new_events(batch), expected_revision=revision)
    return len(batch)


def test_the_simulation_finds_appends_without_a_revision(tmp_path: Path) -> None:
    def seam(store: FakeEventStore, point: Callable[[], None]) -> Seam:
        return AnySeam(store, point)

    assert any(found_in(tmp_path, seed, seam) for seed in range(TEETH_SEEDS))


def test_the_simulation_finds_a_mark_before_its_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stream, "append", append_marked_first)
    assert any(found_in(tmp_path, seed) for seed in range(TEETH_SEEDS))


def test_the_simulation_finds_two_streams_with_one_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "StreamNames", CollidingStreams)
    assert any(found_in(tmp_path, seed) for seed in range(TEETH_SEEDS))


async def record_and_move_later(outbox: Outbox, declaration: Draft, *, move: Callable[[Cursors], None]) -> None:
    """Say what will be sent again, and only then keep it from being deleted."""
    await outbox.record(declaration)
    move(outbox.cursors)


@asynccontextmanager
async def hold_nothing(_outbox: Outbox, *, after: int) -> AsyncIterator[None]:
    del after
    yield


def test_the_simulation_finds_a_deletion_of_what_is_to_be_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outbox, "record_move", record_and_move_later)
    monkeypatch.setattr(Outbox, "hold", hold_nothing)

    def lost(seed: int) -> bool:
        world = World(directory=tmp_path / f"{seed}" / "state", rng=Random(seed))
        story = Story(world)
        story.press_retention()
        run_virtual(story.tell)
        return any("is missing" in found for found in violations(world))

    assert any(lost(seed) for seed in range(TEETH_SEEDS))
