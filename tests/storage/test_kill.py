"""Accepted means on disk, also for a process that is killed at any instant. Real processes, real signals."""

import asyncio
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from edge.domain.settings import OutboxSettings
from edge.storage.database import open_database
from edge.storage.entries import Entry
from edge.storage.outbox import open_outbox
from fakes import killed_writer
from fakes.killed_writer import HastyClock
from fakes.outbox_drafts import all_entries

KILLS = 20


async def test_every_sample_said_to_be_accepted_survives_kill_minus_nine(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    # Shown when the test fails; the kernel has its own chance besides.
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    said: list[str] = []
    for _ in range(KILLS):
        said += await _life_of_a_writer(tmp_path, accepted_min=chance.randint(1, 400), delay_s=chance.random() * 0.02)
    async with (
        open_database(tmp_path) as database,
        open_outbox(database, run=uuid4(), clock=HastyClock(), settings=OutboxSettings()) as outbox,
    ):
        entries = await all_entries(outbox)
        assert outbox.statistics().blocks_damaged == 0
        assert outbox.last_position == entries[-1].position
        # The cursors that were written now and then, and the blocks after them, account for all.
        assert outbox.statistics().pending == len(entries)
    on_disk = [_said_of(entry) for entry in entries]
    assert len(said) > KILLS
    # Nothing that was said to be accepted is missing, and the order is that of acceptance.
    assert [line for line in on_disk if line in set(said)] == said
    assert len(set(on_disk)) == len(on_disk)
    _check_sequences(entries)


async def _life_of_a_writer(directory: Path, *, accepted_min: int, delay_s: float) -> list[str]:
    """Start a writer, kill it some time after it has accepted so many samples, return what it had said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, killed_writer.__file__, str(directory), stdout=subprocess.PIPE, limit=1 << 20
    )
    lines: list[bytes] = []
    try:
        assert child.stdout is not None
        while len(lines) < accepted_min:
            line = await child.stdout.readline()
            assert line, "the writer ended by itself"
            lines.append(line)
        # Not to be in step with its commits.
        await asyncio.sleep(delay_s)
    finally:
        child.kill()
        rest, _ = await child.communicate()
    lines += rest.splitlines(keepends=True)
    # A log line, or the last line cut short, is nobody's acceptance.
    return [line.decode().strip() for line in lines if line.endswith(b"\n") and line.count(b" ") == 2]


def _said_of(entry: Entry) -> str:
    data = json.loads(entry.data)
    return f"{entry.event_id} {data['deviceId']} {data['sequence']}"


def _check_sequences(entries: Sequence[Entry]) -> None:
    """Each device counts without a gap in each run, and the first of a run names the last before it."""
    last: dict[str, tuple[str, int]] = {}
    counts: dict[str, int] = defaultdict(int)
    for entry in entries:
        data, run = json.loads(entry.data), json.loads(entry.metadata)["run"]
        device_id, sequence = data["deviceId"], data["sequence"]
        before = last.get(device_id)
        if before is not None and before[0] == run:
            assert sequence == before[1] + 1
            assert "previous" not in data
        else:
            assert sequence == 1
            assert data.get("previous") == (None if before is None else f"{before[0]} {before[1]}")
        last[device_id] = (run, sequence)
        counts[device_id] += 1
    assert len(counts) == killed_writer.DEVICES
