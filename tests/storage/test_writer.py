import asyncio
from collections.abc import Sequence
from pathlib import Path

from edge.domain.settings import OutboxSettings
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox
from edge.storage.writer import ENTRIES_MAX
from fakes.outbox_drafts import Drafting, all_entries, virtual_outbox
from fakes.virtual_time import run_virtual

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
