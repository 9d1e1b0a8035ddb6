import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from edge.storage import backlog
from edge.storage.backlog import (
    KEY_BLOCKS_MAX,
    Identities,
    Identity,
    add_quarantined,
    count_quarantined,
    load_quarantined,
    newest_keyed,
)
from edge.storage.connection import Connection
from edge.storage.database import Statement, open_database
from edge.storage.entries import Entry
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox
from edge.storage.writer import ENTRIES_MAX
from fakes.inline_sqlite import InlineConnect, InlineConnection, disk_error, ignore
from fakes.outbox_drafts import Drafting, all_entries, as_after_power_cut, virtual_outbox
from fakes.virtual_time import run_virtual


async def fill(outbox: Outbox, drafting: Drafting, commits: Sequence[str]) -> None:
    """Commit once per text; `t` is a sample, `c` a control event."""
    for commit in commits:
        for kind in commit:
            outbox.offer(drafting.sample() if kind == "t" else drafting.control())
        await outbox.flush()


def identity(entry: Entry) -> Identity:
    return Identity(entry.position, entry.stream, entry.event_id)


async def paged(outbox: Outbox, *, bytes_max: int, position: int = 0) -> list[Entry]:
    entries = []
    while True:
        page = await outbox.read_after(position, bytes_max=bytes_max)
        assert page.scanned_to > position
        assert all(position < entry.position <= page.scanned_to for entry in page.entries)
        entries += page.entries
        position = page.scanned_to
        if position == outbox.last_position:
            return entries


@pytest.mark.parametrize("seed", range(12))
def test_pages_of_any_size_hold_everything_in_order(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    # A commit of these tests has at most 5 entries.
    monkeypatch.setattr(backlog, "CONTROL_ENTRIES_PER_READ", chance.choice([6, 10, 1000]))
    monkeypatch.setattr(backlog, "BLOCKS_PER_READ_MAX", chance.choice([1, 2, 5, 256]))

    async def main() -> None:
        kinds = chance.choice(["tc", "tttc", "tccc", "c", "t"])
        commits = ["".join(chance.choices(kinds, k=chance.randint(1, 5))) for _ in range(40)]
        live: list[Entry] = []
        async with virtual_outbox(tmp_path) as outbox:
            outbox.attach(live.extend)
            await fill(outbox, Drafting(), commits)
            assert await all_entries(outbox) == live
            for bytes_max in (1, 500, 3000):
                assert await paged(outbox, bytes_max=bytes_max) == live
            for position in chance.sample(range(len(live)), k=10):
                assert await paged(outbox, bytes_max=700, position=position) == live[position:]
                assert await outbox.find_entry(position + 1) == identity(live[position])

    run_virtual(main)


def test_a_page_ends_with_the_block_that_fills_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await fill(outbox, Drafting(), ["tttt"] * 5)
            page = await outbox.read_after(0, bytes_max=1)
            assert [entry.position for entry in page.entries] == [1, 2, 3, 4]
            assert page.scanned_to == 4
            size = sum(len(entry.data) + len(entry.metadata) for entry in page.entries)
            page = await outbox.read_after(4, bytes_max=size + 10)
            assert page.scanned_to == 12

    run_virtual(main)


def test_the_end_of_an_empty_log_is_the_last_position(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            assert await outbox.read_after(0, bytes_max=100) == ([], 0)
            await fill(outbox, Drafting(), ["tc"])
            assert await outbox.read_after(2, bytes_max=100) == ([], 2)
            assert await outbox.find_entry(3) is None

    run_virtual(main)


def test_a_damaged_block_is_passed_over_logged_once_and_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await fill(outbox, Drafting(), ["tt", "tct", "tt", "c"])
            await outbox.database.fetch_all("UPDATE blocks SET body = zeroblob(50) WHERE last_position = 5")
            await outbox.database.fetch_all("UPDATE control_entries SET data = x'7b7d' WHERE position = 8")
            with capture_logs() as logs:
                for _ in range(2):
                    entries = await all_entries(outbox)
                    # The control event among the damaged block's entries is a row of its own.
                    assert [entry.position for entry in entries] == [1, 2, 4, 6, 7]
                assert await outbox.find_entry(5) is None
                assert await outbox.find_entry(8) is None
            assert [(line["event"], line["position"]) for line in logs] == [("block_damaged", 5), ("block_damaged", 8)]
            assert outbox.statistics().blocks_damaged == 2

    run_virtual(main)


@pytest.mark.parametrize("column", ["stream", "event_id", "type", "metadata"])
def test_every_column_of_a_control_event_is_under_its_checksum(tmp_path: Path, column: str) -> None:
    changed = {"stream": "7", "event_id": "zeroblob(16)", "type": "'Other'", "metadata": "x'00'"}

    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await fill(outbox, Drafting(), ["c"])
            await outbox.database.fetch_all(f"UPDATE control_entries SET {column} = {changed[column]}")
            assert await all_entries(outbox) == []

    run_virtual(main)


def test_what_is_in_quarantine_is_left_out_but_can_be_found(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            await fill(outbox, drafting, ["ttc"])
            _, entry, control = await all_entries(outbox)
            declaration = drafting.control()
            await outbox.quarantine(entry, reason="too large", declarations=(declaration,))
            await outbox.quarantine(control, reason="refused")
            assert [entry.position for entry in await all_entries(outbox)] == [1, 4]
            assert await outbox.find_entry(2) == identity(entry)
        async with virtual_outbox(tmp_path) as outbox:
            assert [entry.position for entry in await all_entries(outbox)] == [1, 4]
            assert outbox.statistics().quarantined == 2

    run_virtual(main)


def test_a_source_key_and_a_delivery_come_back_with_their_sample(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            sent = [(b"", b""), (b"0123456789abcdef", b"delivery"), (b"k", b"")]
            for key, delivery in sent:
                outbox.offer(drafting.sample(source_key=key, delivery=delivery))
            await outbox.flush()
            assert [(entry.source_key, entry.delivery) for entry in await all_entries(outbox)] == sent

    run_virtual(main)


@pytest.mark.parametrize("devices", [10, 1000])
@pytest.mark.parametrize("commits", [0, 200])
def test_reading_streams_back_decodes_each_block_once(tmp_path: Path, devices: int, commits: int) -> None:
    async def main() -> None:
        drafting = Drafting()
        streams: dict[int, list[Entry]] = {}

        def note(entries: Sequence[Entry]) -> None:
            for entry in entries:
                streams.setdefault(entry.stream, []).append(entry)

        async with virtual_outbox(tmp_path) as outbox:
            outbox.attach(note)
            for commit in range(commits):
                for number in range(ENTRIES_MAX):
                    outbox.offer(drafting.sample(f"d{(commit * ENTRIES_MAX + number) % devices}"))
                await outbox.flush()
            assert await outbox.find_entry(outbox.last_position + 1) is None
            # One stream after the other, as they are compared with the event store.
            for entries in streams.values():
                for entry in entries:
                    assert await outbox.find_entry(entry.position) == identity(entry)
            assert outbox.last_position == 500 * commits
            assert outbox._backlog.blocks_decoded == commits

    run_virtual(main)


def test_what_is_remembered_of_blocks_is_bounded() -> None:
    blocks = [
        [Entry(position, position % 3, uuid4(), "T", b"", b"") for position in range(first, first + 10, 2)]
        for first in range(1, 1000, 10)
    ]
    identities = Identities(entries_max=50)
    assert identities.find(1) is None
    for block in blocks:
        identities.add(block)
        identities.add(block)
        assert len(identities) <= 50
        # The first one is asked for again and again, and stays.
        assert identities.find(1) == identity(blocks[0][0])
    assert identities.find(blocks[-1][-1].position) == identity(blocks[-1][-1])
    for position in (0, 2, 11, blocks[-1][0].position + 1, 2000):
        assert identities.find(position) is None
    # A block larger than everything is remembered alone.
    large = [Entry(position, 1, uuid4(), "T", b"", b"") for position in range(5000, 5100)]
    identities.add(large)
    assert len(identities) == 100
    assert identities.find(5099) == identity(large[-1])


@pytest.mark.parametrize("devices", [10, 1000])
def test_finding_what_many_streams_retain_decodes_each_block_once(tmp_path: Path, devices: int) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            for commit in range(40):
                outbox.offer(drafting.control())
                for number in range(ENTRIES_MAX - 1):
                    outbox.offer(drafting.sample(f"d{(commit * ENTRIES_MAX + number) % devices}"))
                await outbox.flush()
            entries = await all_entries(outbox)
            for entry in (entries[3], entries[500]):
                await outbox.quarantine(entry, reason="refused")
            decoded = outbox._backlog.blocks_decoded
            after, through = 2, outbox.last_position - 3
            left = [entry for entry in await all_entries(outbox) if after < entry.position <= through]
            for stream in outbox.streams.numbers():
                parts = [part async for part in outbox.positions_of(stream, after=after, through=through)]
                expected = [entry.position for entry in left if entry.stream == stream]
                assert [position for part in parts for position in part] == expected
            # Once for the page that the test compares with.
            assert outbox._backlog.blocks_decoded - decoded == 2 * 40

    run_virtual(main)


def test_finding_what_is_not_retained_looks_at_one_block(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        connections: list[sqlite3.Connection] = []

        async def connect(file: Path) -> Connection:
            opened = InlineConnection(sqlite3.connect(file, isolation_level=None), InlineConnect())
            connections.append(opened.connection)
            return opened

        async with virtual_outbox(tmp_path, connect=connect) as outbox:
            for _ in range(500):
                outbox.offer(drafting.sample())
                await outbox.flush()
            await outbox.database.write([Statement("DELETE FROM blocks WHERE last_position <= 20")])
            steps = 0

            def step() -> int:
                nonlocal steps
                steps += 1
                return 0

            connections[-1].set_progress_handler(step, 1)
            assert await outbox.find_entry(20) is None
            assert steps < 100

    run_virtual(main)


ENTRY = Entry(7, 2, UUID(int=7), "SensorReadingReceived", b"{}", b'{"position":7}', b"key")


async def test_an_entry_set_aside_is_kept_whole_with_its_reason(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            assert await add_quarantined(transaction, ENTRY, reason="too large", now_ms=1000)
            # A caller that does not know whether it came to disk says it again.
            assert not await add_quarantined(transaction, ENTRY, reason="said again", now_ms=2000)
        [quarantined] = await load_quarantined(database)
        assert quarantined == (ENTRY, "too large", 1000)
        assert await count_quarantined(database) == 1


def test_an_entry_set_aside_by_a_commit_of_unknown_outcome_is_declared_once(tmp_path: Path) -> None:
    async def main() -> None:
        connect, drafting = InlineConnect(), Drafting()

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                connect.after = ignore
                raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

        async with virtual_outbox(tmp_path, connect=connect) as outbox:
            outbox.offer(drafting.sample())
            await outbox.flush()
            [entry] = await all_entries(outbox)
            connect.after = fail
            with pytest.raises(CommitFailed):
                await outbox.quarantine(entry, reason="refused", declarations=(drafting.control(),))
            await outbox.quarantine(entry, reason="refused", declarations=(drafting.control(),))
            assert [entry.position for entry in await all_entries(outbox)] == [2]

    run_virtual(main)


def test_the_newest_keyed_are_found_in_forwarded_blocks_as_well(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        keys = [b"%d" % number for number in range(100)]
        async with virtual_outbox(tmp_path) as outbox:
            for start in range(0, 100, 5):
                for key in keys[start : start + 5]:
                    outbox.offer(drafting.sample("a", source_key=key, delivery=b"%08d" % int(key)))
                    # What a wire was asked has none.
                    outbox.offer(drafting.sample("b"))
                await outbox.flush()
            outbox.cursors.acknowledge(
                outbox.streams.number("sensorReadings-g.a"), revision=99, event_id=UUID(int=200), position=200
            )
            crashed = as_after_power_cut(tmp_path, tmp_path / "crashed")
        async with virtual_outbox(crashed) as outbox:
            found = await newest_keyed(outbox.database, count_max=1000)
            assert [keyed.source_key for keyed in found] == keys
            assert [keyed.delivery for keyed in found] == [b"%08d" % number for number in range(100)]
            assert [keyed.event_id for keyed in found] == drafting.accepted[::2]
            assert await newest_keyed(outbox.database, count_max=7) == found[-7:]
            await outbox.database.write([Statement("UPDATE blocks SET body = x'00' WHERE last_position = 190")])
            assert await newest_keyed(outbox.database, count_max=1000) == [*found[:90], *found[95:]]

    run_virtual(main)


def test_looking_for_source_keys_ends_where_a_site_has_hardly_any(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            assert await newest_keyed(outbox.database, count_max=10) == []
            outbox.offer(drafting.sample("a", source_key=b"old"))
            for _ in range(KEY_BLOCKS_MAX + 16):
                await outbox.flush()
                outbox.offer(drafting.sample("b"))
            await outbox.flush()
            assert await newest_keyed(outbox.database, count_max=10) == []

    run_virtual(main)
