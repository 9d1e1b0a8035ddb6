"""Runs are bounded, and no event of ours ever becomes one of an unknown run."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from edge.storage import ledger
from edge.storage.database import Statement
from edge.storage.ledger import RUNS_KEPT, load_runs
from edge.storage.outbox import Outbox
from fakes.inline_sqlite import InlineConnect
from fakes.outbox_drafts import Drafting, virtual_outbox
from fakes.virtual_time import run_virtual


async def run_rows(outbox: Outbox) -> list[tuple[int, UUID, int]]:
    rows = await outbox.database.fetch_all("SELECT number, run, last_position FROM runs ORDER BY number")
    return [(number, UUID(bytes=run), position) for number, run, position in rows]


def test_a_run_that_wrote_nothing_leaves_no_row(tmp_path: Path) -> None:
    async def main() -> None:
        for _ in range(3):
            async with virtual_outbox(tmp_path) as outbox:
                assert outbox.previous_run is None
        first, last = Drafting(), Drafting()
        async with virtual_outbox(tmp_path, run=first.run) as outbox:
            await outbox.record(first.control())
        for _ in range(3):
            async with virtual_outbox(tmp_path) as outbox:
                # What a consumer has events of.
                assert outbox.previous_run == first.run
        async with virtual_outbox(tmp_path, run=last.run) as outbox:
            assert [(run, position) for _, run, position in await run_rows(outbox)] == [(first.run, 1), (last.run, 1)]
            assert outbox.is_known(first.run, 1)
            assert not outbox.is_known(first.run, 2)
            assert not outbox.is_known(uuid4(), 1)

    run_virtual(main)


def test_a_run_whose_end_was_a_power_cut_is_no_empty_one(tmp_path: Path) -> None:
    async def main() -> None:
        first, second, third = Drafting(), Drafting(), Drafting()
        async with virtual_outbox(tmp_path, run=first.run) as outbox:
            await outbox.record(first.control())
        async with virtual_outbox(tmp_path, run=second.run) as outbox:
            outbox.offer(second.sample())
            await outbox.flush()
            # As if its end had written nothing: the row still has the position of its beginning.
            assert (await run_rows(outbox))[-1][1:] == (second.run, 1)
        connection = await InlineConnect()(tmp_path / "outbox.sqlite")
        await connection.fetch_all("UPDATE runs SET last_position = 1")
        await connection.close()
        async with virtual_outbox(tmp_path, run=third.run) as outbox:
            assert outbox.previous_run == second.run
            assert outbox.is_known(second.run, 2)
        async with virtual_outbox(tmp_path) as outbox:
            assert outbox.is_known(second.run, 2)

    run_virtual(main)


@pytest.mark.parametrize("rows_per_start", [1, 3, 1000])
def test_old_runs_become_one_and_their_events_stay_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_start: int
) -> None:
    monkeypatch.setattr(ledger, "RUNS_KEPT", 4)
    monkeypatch.setattr(ledger, "ROWS_PER_START", rows_per_start)

    async def main() -> None:
        drafting = [Drafting() for _ in range(12)]
        for position, each in enumerate(drafting, 1):
            async with virtual_outbox(tmp_path, run=each.run) as outbox:
                await outbox.record(each.control())
                for earlier, one in enumerate(drafting[:position], 1):
                    assert outbox.is_known(one.run, earlier)
                    assert not outbox.is_known(one.run, 0)
                # The newest are known exactly: an event beyond a run's end was written by a copy of this file.
                for earlier, one in list(enumerate(drafting[:position], 1))[-4:]:
                    assert not outbox.is_known(one.run, earlier + 1)
                assert not outbox.is_known(uuid4(), position)
                assert len(await run_rows(outbox)) <= 6

    run_virtual(main)


def test_hundreds_of_thousands_of_runs_cost_neither_memory_nor_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            # An earlier release kept them all; each of these wrote one event.
            rows = [(UUID(int=number).bytes, number) for number in range(1, 300_001)]
            insert = "INSERT INTO runs (run, started_at_ms, last_position) VALUES (?, 1, ?)"
            await outbox.database.write([Statement("DELETE FROM runs"), Statement(insert, rows)])
        starts = 0
        while True:
            async with virtual_outbox(tmp_path) as outbox:
                starts += 1
                known = await load_runs(outbox.database, outbox.last_position)
                assert len(known.last_positions) <= RUNS_KEPT
                assert outbox.last_position == 300_000
                for number in (1, 297_000, 299_000, 300_000):
                    assert outbox.is_known(UUID(int=number), number)
                assert not outbox.is_known(UUID(int=299_000), 299_001)
                assert not outbox.is_known(uuid4(), 299_001)
                row = await outbox.database.fetch_one("SELECT count(*) FROM runs")
                if row is not None and row[0] <= RUNS_KEPT + 1:
                    break
        assert starts <= 16

    run_virtual(main)


def test_a_restart_loop_keeps_a_bounded_number_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "RUNS_KEPT", 20)

    async def main() -> None:
        for start in range(100):
            drafting = Drafting()
            async with virtual_outbox(tmp_path, run=drafting.run) as outbox:
                if start % 3:
                    await outbox.record(drafting.control())
                rows = await run_rows(outbox)
        assert len(rows) == 21
        assert rows[0][0] == 0
        assert outbox.last_position == 66

    run_virtual(main)
