"""A number means one stream for ever, whatever becomes of the transaction that gave it."""

import asyncio
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from edge.storage.batch import StreamNames, StreamRow
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox
from fakes.inline_sqlite import InlineConnect, disk_error
from fakes.outbox_drafts import GATEWAY_STREAM, Drafting, all_entries, virtual_outbox
from fakes.virtual_time import run_virtual

STATUS_STREAM = "deviceConfigurationStatus-g"
# More turns of the loop than a transaction takes.
TURNS_MAX = 50


async def streams_of_entries(outbox: Outbox) -> list[str]:
    return [outbox.streams.name(entry.stream) for entry in await all_entries(outbox)]


async def answer(outbox: Outbox, drafting: Drafting) -> None:
    async with outbox.transaction() as transaction:
        await transaction.fetch_one("SELECT 1")
        transaction.append(drafting.control(stream=STATUS_STREAM))
        await transaction.fetch_one("SELECT 1")


def test_a_transaction_that_opens_a_stream_may_be_cancelled_at_any_await(tmp_path: Path) -> None:
    async def main(directory: Path, turns: int) -> int:
        drafting = Drafting()
        async with virtual_outbox(directory) as outbox:
            await outbox.record(drafting.control())
            task = asyncio.create_task(answer(outbox, drafting))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            # A new device's first sample is committed by the same stop.
            outbox.offer(drafting.sample("roof"))
        for device in ("door", "bench"):
            async with virtual_outbox(directory) as outbox:
                await answer(outbox, drafting)
                outbox.offer(drafting.sample(device))
                await outbox.flush()
                streams = await streams_of_entries(outbox)
        assert [stream for stream in streams if stream != STATUS_STREAM] == [
            GATEWAY_STREAM,
            *(f"sensorReadings-g.{device}" for device in ("roof", "door", "bench")),
        ]
        return streams.count(STATUS_STREAM)

    answers = {run_virtual(partial(main, tmp_path / f"{turns}", turns)) for turns in range(TURNS_MAX)}
    # The first one was given up, or it was committed.
    assert answers == {2, 3}


@pytest.mark.parametrize("although_done", [False, True])
def test_a_stream_opened_by_a_commit_of_unknown_outcome_is_opened_once(tmp_path: Path, although_done: bool) -> None:
    async def main() -> None:
        connect, drafting = InlineConnect(), Drafting()
        async with virtual_outbox(tmp_path, connect=connect) as outbox:
            await outbox.record(drafting.control())
            fail_next_commit(connect, although_done=although_done)
            with pytest.raises(CommitFailed):
                await answer(outbox, drafting)
            # A stream that is not known to be in the table is not told.
            assert len(outbox.streams.numbers()) == 1
            outbox.offer(drafting.sample("roof"))
            outbox.offer(drafting.control(stream=STATUS_STREAM))
            await outbox.flush()
            landed = [STATUS_STREAM] if although_done else []
            expected = [GATEWAY_STREAM, *landed, "sensorReadings-g.roof", STATUS_STREAM]
            assert await streams_of_entries(outbox) == expected
        async with virtual_outbox(tmp_path) as outbox:
            assert await streams_of_entries(outbox) == expected

    run_virtual(main)


def fail_next_commit(connect: InlineConnect, *, although_done: bool) -> None:
    def fail(sql: str) -> None:
        if sql == "COMMIT":
            connect.before = connect.after = lambda _sql: None
            raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

    if although_done:
        connect.after = fail
    else:
        connect.before = fail


def test_a_stream_parked_by_a_commit_of_unknown_outcome_is_known_to_be_parked(tmp_path: Path) -> None:
    async def main() -> None:
        connect, drafting = InlineConnect(), Drafting()
        async with virtual_outbox(tmp_path, connect=connect) as outbox:
            await outbox.record(drafting.control())
            number = outbox.streams.number(GATEWAY_STREAM)
            fail_next_commit(connect, although_done=True)
            with pytest.raises(CommitFailed):
                await outbox.park(number, "deleted", drafting.control())
            await outbox.record(drafting.control())
            assert outbox.streams.parked() == {number: "deleted"}
            fail_next_commit(connect, although_done=True)
            with pytest.raises(CommitFailed):
                await outbox.unpark(number)
            await outbox.record(drafting.control())
            assert not outbox.streams.is_parked(number)

    run_virtual(main)


def test_a_row_that_memory_does_not_know_fails_the_commit_loudly(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            await outbox.database.fetch_all("INSERT INTO streams (number, name) VALUES (1, 'other')")
            outbox.offer(drafting.sample("roof"))
            with pytest.raises(sqlite3.IntegrityError):
                await outbox.flush()
            assert drafting.accepted == []
            with pytest.raises(sqlite3.IntegrityError):
                await outbox.flush()
            await outbox.database.fetch_all("DELETE FROM streams")

    run_virtual(main)


def test_a_new_stream_gets_a_higher_number_than_anything_in_the_file() -> None:
    rows = [StreamRow(1, "a"), StreamRow(5, "e")]
    assert StreamNames(rows).number("f") == 6
    assert StreamNames(rows, named_elsewhere=[9]).number("f") == 10
    assert StreamNames(named_elsewhere=[2, 9]).number("f") == 10
    assert StreamNames().number("f") == 1


def test_a_number_that_was_given_stays_with_its_name() -> None:
    streams = StreamNames([StreamRow(1, "a")])
    assert [streams.number(name) for name in ("x", "y", "x", "a")] == [2, 3, 2, 1]
    assert streams.numbers() == [1]
    with pytest.raises(KeyError):
        streams.name(2)
    [statement] = streams.unwritten([3])
    assert statement.rows == [(3, "y")]
    streams.mark_written([3])
    assert streams.unwritten([1, 3]) == []
    # The file was opened anew, and a commit of unknown outcome had written the other one.
    streams.take_in([StreamRow(1, "a"), StreamRow(2, "x"), StreamRow(3, "y", "deleted")])
    assert streams.unwritten([2]) == []
    assert streams.parked() == {3: "deleted"}
    assert streams.number("z") == 4
