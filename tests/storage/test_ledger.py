import asyncio
import json
import sqlite3
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from edge.domain.settings import OutboxSettings
from edge.storage import ledger
from edge.storage.cursors import Cursor
from edge.storage.database import Statement
from edge.storage.ledger import RUNS_KEPT, load_runs
from edge.storage.outbox import Outbox
from fakes.inline_sqlite import InlineConnect, disk_error, ignore
from fakes.outbox_drafts import Drafting, all_entries, as_after_power_cut, virtual_outbox
from fakes.virtual_time import run_virtual

STREAM_A = "sensorReadings-g.a"
STREAM_B = "sensorReadings-g.b"


async def fill(outbox: Outbox, drafting: Drafting, devices: str) -> None:
    for device in devices:
        outbox.offer(drafting.sample(device))
    await outbox.flush()


def cursor(outbox: Outbox, name: str) -> Cursor:
    return outbox.cursors[outbox.streams.number(name)]


def acknowledge(outbox: Outbox, name: str, *, revision: int, position: int) -> None:
    stream = outbox.streams.number(name)
    outbox.cursors.acknowledge(stream, revision=revision, event_id=UUID(int=position), position=position)


def test_start_decodes_only_what_was_committed_after_the_cursors_were_written(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            for _ in range(200):
                for _ in range(500):
                    outbox.offer(drafting.sample("a"))
                await outbox.flush()
            await asyncio.sleep(11)
            # This commit takes the cursors along, as they were before it.
            await fill(outbox, drafting, "a")
            await fill(outbox, drafting, "bb")
            crashed = as_after_power_cut(tmp_path, tmp_path / "crashed")
        async with virtual_outbox(crashed) as outbox:
            assert outbox.last_position == 100_003
            assert outbox._backlog.blocks_decoded == 0
            assert cursor(outbox, STREAM_A).pending == 100_001
            assert cursor(outbox, STREAM_B) == Cursor(forwarded_position=100_001, last_position=100_003, pending=2)
            assert outbox.statistics().blocks_replayed == 2

    run_virtual(main)


def test_cursors_are_at_most_ten_seconds_late_and_cost_no_commit_of_their_own(tmp_path: Path) -> None:
    async def main() -> None:
        statements: list[str] = []
        connect = InlineConnect(before=statements.append)
        drafting = Drafting()
        async with virtual_outbox(tmp_path, connect=connect) as outbox, asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(outbox.run())
            statements.clear()
            for _ in range(400):
                outbox.offer(drafting.sample("a"))
                await asyncio.sleep(0.1)
            writer.cancel()
            cursors_written = [index for index, sql in enumerate(statements) if "INTO cursors" in sql]
            assert len(cursors_written) == 4
            commits = statements.count("COMMIT")
            assert commits == outbox.statistics().commits
            assert commits == sum("INTO blocks" in sql for sql in statements)

    run_virtual(main)


def test_an_idle_outbox_writes_its_cursors_within_ten_seconds_and_then_rests(tmp_path: Path) -> None:
    async def main() -> None:
        statements: list[str] = []
        connect = InlineConnect(before=statements.append)
        drafting = Drafting()
        async with virtual_outbox(tmp_path, connect=connect) as outbox, asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(outbox.run())
            await fill(outbox, drafting, "a")
            await asyncio.sleep(60)
            statements.clear()
            acknowledge(outbox, STREAM_A, revision=0, position=1)
            await asyncio.sleep(10)
            assert statements.count("COMMIT") == 1
            crashed = as_after_power_cut(tmp_path, tmp_path / "crashed")
            await asyncio.sleep(1000)
            assert statements.count("COMMIT") == 1
            writer.cancel()
        async with virtual_outbox(crashed) as outbox:
            assert cursor(outbox, STREAM_A).acked_revision == 0

    run_virtual(main)


def test_a_commit_takes_cursors_along_that_would_soon_need_one_of_their_own(tmp_path: Path) -> None:
    async def main() -> None:
        statements: list[str] = []
        drafting = Drafting()
        async with virtual_outbox(tmp_path, connect=InlineConnect(before=statements.append)) as outbox:
            await fill(outbox, drafting, "a")
            writer = asyncio.create_task(outbox.run())
            await asyncio.sleep(60)
            statements.clear()
            acknowledge(outbox, STREAM_A, revision=0, position=1)
            await asyncio.sleep(8.1)
            outbox.offer(drafting.sample("a"))
            await asyncio.sleep(1.5)
            assert statements.count("COMMIT") == 1
            assert len([sql for sql in statements if "INTO cursors" in sql]) == 1
            writer.cancel()

    run_virtual(main)


def test_cursors_whose_commit_failed_are_written_by_the_next_try(tmp_path: Path) -> None:
    async def main() -> None:
        connect = InlineConnect()

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                connect.before = ignore
                raise disk_error(sqlite3.SQLITE_BUSY)

        async with virtual_outbox(tmp_path, connect=connect) as outbox:
            await fill(outbox, Drafting(), "a")
            writer = asyncio.create_task(outbox.run())
            await asyncio.sleep(60)
            acknowledge(outbox, STREAM_A, revision=0, position=1)
            connect.before = fail
            await asyncio.sleep(11)
            assert outbox.statistics().commits_failed == 1
            crashed = as_after_power_cut(tmp_path, tmp_path / "crashed")
            writer.cancel()
        async with virtual_outbox(crashed) as outbox:
            assert cursor(outbox, STREAM_A).acked_revision == 0

    run_virtual(main)


def test_cursors_survive_a_stop(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            await fill(outbox, drafting, "aab")
            acknowledge(outbox, STREAM_A, revision=4, position=1)
        async with virtual_outbox(tmp_path) as outbox:
            assert cursor(outbox, STREAM_A) == Cursor(
                acked_revision=4, acked_event_id=UUID(int=1), forwarded_position=1, last_position=2, pending=2
            )
            assert cursor(outbox, STREAM_B).pending == 1

    run_virtual(main)


@pytest.mark.parametrize("loss", ["DELETE FROM cursors", "UPDATE cursors SET body = substr(body, 2)"])
def test_lost_cursors_cost_a_reconcile_and_nothing_else(tmp_path: Path, loss: str) -> None:
    async def main() -> None:
        drafting, later = Drafting(), Drafting()
        async with virtual_outbox(tmp_path, run=drafting.run) as outbox:
            await fill(outbox, drafting, "aba")
            await outbox.record(drafting.control())
            acknowledge(outbox, STREAM_A, revision=1, position=3)
        await _damage(tmp_path, loss)
        with capture_logs() as logs:
            async with virtual_outbox(tmp_path, run=later.run) as outbox:
                # Nobody knows what the store holds: adopt, and find out from the tail.
                assert cursor(outbox, STREAM_A) == Cursor(forwarded_position=0, last_position=3, pending=2)
                assert cursor(outbox, STREAM_B) == Cursor(forwarded_position=1, last_position=2, pending=1)
                assert cursor(outbox, "gateway-g") == Cursor(forwarded_position=3, last_position=4, pending=1)
                assert outbox.is_known(drafting.run, 4)
                await fill(outbox, later, "a")
                [*_, newest] = await all_entries(outbox)
        assert newest.position == 5
        assert json.loads(newest.data)["previous"] == {"run": str(drafting.run), "sequence": 2}
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["cursors_lost"]

    run_virtual(main)


def test_positions_go_on_after_everything_is_gone_but_the_runs(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await fill(outbox, Drafting(), "aaa")
        for table in ("blocks", "control_entries", "cursors"):
            await _damage(tmp_path, f"DELETE FROM {table}")
        async with virtual_outbox(tmp_path) as outbox:
            assert await all_entries(outbox) == []
            await fill(outbox, Drafting(), "a")
            assert [entry.position for entry in await all_entries(outbox)] == [4]

    run_virtual(main)


def test_a_run_that_crashed_is_known_up_to_its_last_block(tmp_path: Path) -> None:
    async def main() -> None:
        first, second, third = Drafting(), Drafting(), Drafting()
        async with virtual_outbox(tmp_path, run=first.run) as outbox:
            await fill(outbox, first, "aaa")
            crashed = as_after_power_cut(tmp_path, tmp_path / "crashed")
        async with virtual_outbox(crashed, run=second.run) as outbox:
            assert outbox.is_known(first.run, 3)
            assert not outbox.is_known(first.run, 4)
            await fill(outbox, second, "aa")
        async with virtual_outbox(crashed, run=third.run) as outbox:
            known = [outbox.is_known(run, position) for run in (first.run, second.run) for position in (3, 4, 5, 6)]
            assert known == [True, False, False, False, True, True, True, False]

    run_virtual(main)


def test_a_damaged_block_after_the_cursors_is_passed_over_at_start(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path, run=drafting.run) as outbox:
            for _ in range(3):
                await fill(outbox, drafting, "ab")
            crashed = as_after_power_cut(tmp_path, tmp_path / "crashed")
        await _damage(crashed, "UPDATE blocks SET body = x'00' WHERE last_position = 4")
        async with virtual_outbox(crashed) as outbox:
            assert outbox.last_position == 6
            assert cursor(outbox, STREAM_A).pending == 2
            assert [entry.position for entry in await all_entries(outbox)] == [1, 2, 5, 6]
            assert outbox.statistics().blocks_damaged == 1

    run_virtual(main)


def test_streams_keep_their_numbers(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await fill(outbox, Drafting(), "ab")
            assert [outbox.streams.name(number) for number in outbox.streams.numbers()] == [STREAM_A, STREAM_B]
        async with virtual_outbox(tmp_path) as outbox:
            await fill(outbox, Drafting(), "cb")
            assert [outbox.streams.name(number) for number in (1, 2, 3)] == [STREAM_A, STREAM_B, "sensorReadings-g.c"]

    run_virtual(main)


async def _damage(directory: Path, sql: str) -> None:
    connection = await InlineConnect()(directory / "outbox.sqlite")
    await connection.fetch_all(sql)
    await connection.close()


def test_keeping_forwarded_entries_is_not_a_matter_of_the_cursors(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=OutboxSettings(keep_forwarded_h=1)) as outbox:
            await fill(outbox, Drafting(), "aaa")
            acknowledge(outbox, STREAM_A, revision=2, position=3)
        async with virtual_outbox(tmp_path) as outbox:
            assert len(await all_entries(outbox)) == 3

    run_virtual(main)


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
