import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.domain.settings import OutboxSettings
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox
from edge.storage.writer import CONTROL_WAITING_RESERVE, ENTRIES_MAX, Intake
from fakes.outbox_drafts import Drafting, all_entries, virtual_outbox
from fakes.virtual_time import run_virtual


def test_drafts_are_given_in_the_order_they_came() -> None:
    intake = Intake()
    drafts = [Drafting().sample() for _ in range(5)]
    assert all(intake.offer(draft) for draft in drafts)
    assert intake.give(3) + intake.give(3) == drafts
    assert (intake.taken, intake.given, len(intake)) == (5, 5, 0)


def test_a_full_queue_refuses_samples_but_still_takes_control_events() -> None:
    intake = Intake(entries_max=2)
    assert [intake.offer(Drafting().sample()) for _ in range(3)] == [True, True, False]
    assert [intake.offer(Drafting().control()) for _ in range(CONTROL_WAITING_RESERVE)] == [
        True
    ] * CONTROL_WAITING_RESERVE
    assert not intake.offer(Drafting().control())
    assert intake.refused == 2


def test_who_can_wait_leaves_room_for_who_cannot() -> None:
    intake = Intake(entries_max=4)
    waiting = [intake.offer(Drafting().sample(), can_wait=True) for _ in range(3)]
    asked = [intake.offer(Drafting().sample()) for _ in range(3)]
    assert (waiting, asked) == ([True, True, False], [True, True, False])
    # What is offered again is not lost.
    assert intake.refused == 1


def test_what_an_author_waits_for_is_never_refused() -> None:
    intake = Intake(entries_max=0)
    for _ in range(CONTROL_WAITING_RESERVE + 1):
        intake.put(Drafting().control())
    assert len(intake) == CONTROL_WAITING_RESERVE + 1


@pytest.mark.parametrize(("event_bytes", "places"), [(500, 100), (10_000, 10), (1, 100)])
def test_long_events_make_the_queue_shorter(event_bytes: int, places: int) -> None:
    intake = Intake(entries_max=100, bytes_max=100_000)
    for _ in range(200):
        intake.learn_size(10, 10 * event_bytes)
    taken = sum(intake.offer(Drafting().sample()) for _ in range(200))
    assert taken == pytest.approx(places, abs=1)


def test_room_comes_back_when_drafts_are_given_out() -> None:
    intake = Intake(entries_max=1)
    assert intake.offer(Drafting().sample())
    assert not intake.offer(Drafting().sample())
    intake.give(1)
    assert intake.offer(Drafting().sample())


INTERVAL_S = OutboxSettings().commit_interval_ms / 1000


class Commits:
    """When each commit came, and the positions in it."""

    def __init__(self, outbox: Outbox) -> None:
        self.seen: list[tuple[float, list[int]]] = []
        outbox.attach(self._note)

    def _note(self, entries: Sequence[Entry]) -> None:
        self.seen.append((asyncio.get_running_loop().time(), [entry.position for entry in entries]))


def test_what_comes_within_an_interval_is_committed_together(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox, asyncio.TaskGroup() as tasks:
            commits = Commits(outbox)
            writer = tasks.create_task(outbox.run())
            await asyncio.sleep(3)
            for _ in range(4):
                outbox.offer(drafting.sample())
                await asyncio.sleep(0.12)
            await asyncio.sleep(0.1)
            outbox.offer(drafting.sample())
            await asyncio.sleep(2)
            writer.cancel()
            assert commits.seen == [(3 + INTERVAL_S, [1, 2, 3, 4]), (3.58 + INTERVAL_S, [5])]

    run_virtual(main)


def test_a_full_commit_does_not_wait_for_the_interval(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox, asyncio.TaskGroup() as tasks:
            commits = Commits(outbox)
            writer = tasks.create_task(outbox.run())
            await asyncio.sleep(1)
            for _ in range(ENTRIES_MAX + 1):
                outbox.offer(drafting.sample())
            await asyncio.sleep(0.001)
            writer.cancel()
            assert [(at, len(positions)) for at, positions in commits.seen] == [(1, ENTRIES_MAX), (1, 1)]

    run_virtual(main)


def test_hurry_commits_at_once_but_only_what_waits(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox, asyncio.TaskGroup() as tasks:
            commits = Commits(outbox)
            writer = tasks.create_task(outbox.run())
            await asyncio.sleep(1)
            # Nothing waits: this must not hurry the next one.
            outbox.hurry()
            outbox.offer(drafting.sample())
            await asyncio.sleep(1)
            outbox.offer(drafting.sample())
            outbox.hurry()
            await asyncio.sleep(1)
            writer.cancel()
            assert commits.seen == [(1 + INTERVAL_S, [1]), (2, [2])]

    run_virtual(main)


def test_positions_become_visible_in_order_whoever_writes(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox, asyncio.TaskGroup() as tasks:
            commits = Commits(outbox)
            writer = tasks.create_task(outbox.run())

            async def transact() -> None:
                for _ in range(20):
                    async with outbox.transaction() as transaction:
                        transaction.append(drafting.control())
                        await asyncio.sleep(0.03)
                        transaction.append(drafting.control())
                    await asyncio.sleep(0.01)

            async def offer() -> None:
                for _ in range(100):
                    outbox.offer(drafting.sample())
                    await asyncio.sleep(0.007)

            await asyncio.gather(transact(), transact(), offer())
            await outbox.flush()
            writer.cancel()
            positions = [position for _, commit in commits.seen for position in commit]
            assert positions == list(range(1, 181))
            assert positions == [entry.position for entry in await all_entries(outbox)]

    run_virtual(main)
