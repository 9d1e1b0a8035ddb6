import asyncio
import inspect
import re
from pathlib import Path
from uuid import uuid4

import pytest

from edge.domain.settings import OutboxSettings
from edge.storage import upkeep
from edge.storage.outbox import Outbox
from edge.storage.upkeep import ROWS_MIN, Retention
from edge.storage.writer import Writer
from fakes.outbox_drafts import GATEWAY_STREAM, Drafting, all_entries, as_after_power_cut, virtual_outbox
from fakes.virtual_time import VirtualClock, run_virtual

SETTINGS = OutboxSettings(keep_forwarded_h=1)
HOUR_S = 3600.0
STREAM = "sensorReadings-g.d1"


async def fill(outbox: Outbox, drafting: Drafting, count: int) -> None:
    for _ in range(count):
        outbox.offer(drafting.sample())
        await outbox.flush()


def acknowledge(outbox: Outbox, position: int, stream: str = STREAM) -> None:
    number = outbox.streams.number(stream)
    outbox.cursors.acknowledge(number, revision=position, event_id=uuid4(), position=position)


async def positions(outbox: Outbox) -> list[int]:
    return [entry.position for entry in await all_entries(outbox)]


def test_forwarded_blocks_go_in_ranges_when_they_are_old_enough(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=SETTINGS) as outbox, asyncio.TaskGroup() as tasks:
            drafting = Drafting()
            writer = tasks.create_task(outbox.run())
            await fill(outbox, drafting, ROWS_MIN + 50)
            await asyncio.sleep(HOUR_S / 2)
            await fill(outbox, drafting, 30)
            acknowledge(outbox, ROWS_MIN + 80)
            await asyncio.sleep(HOUR_S / 2 - 60)
            assert len(await positions(outbox)) == ROWS_MIN + 80
            await asyncio.sleep(120)
            # Something must happen for anything to be written at all.
            await fill(outbox, drafting, 1)
            await asyncio.sleep(20)
            assert await positions(outbox) == list(range(ROWS_MIN + 51, ROWS_MIN + 82))
            writer.cancel()

    run_virtual(main)


def test_a_few_old_blocks_are_not_worth_a_write(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=SETTINGS) as outbox:
            await fill(outbox, Drafting(), ROWS_MIN - 1)
            acknowledge(outbox, ROWS_MIN - 1)
            await asyncio.sleep(2 * HOUR_S)
            await outbox.flush()
            assert len(await positions(outbox)) == ROWS_MIN - 1

    run_virtual(main)


def test_nothing_goes_that_any_stream_has_still_to_forward(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=SETTINGS) as outbox:
            drafting = Drafting()
            await fill(outbox, drafting, 150)
            await outbox.record(drafting.control())
            await fill(outbox, drafting, 150)
            # The control stream is parked: it keeps its entry, and what is after it.
            await outbox.park(outbox.streams.number(GATEWAY_STREAM), "deleted")
            acknowledge(outbox, 301)
            await asyncio.sleep(2 * HOUR_S)
            await outbox.flush()
            assert await positions(outbox) == list(range(151, 302))
            acknowledge(outbox, 151, GATEWAY_STREAM)
            await asyncio.sleep(10)
            await outbox.flush()
            # One control entry is not worth a range of its own.
            assert await positions(outbox) == [151]

    run_virtual(main)


def test_control_entries_go_like_blocks(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=SETTINGS) as outbox:
            drafting = Drafting()
            await outbox.record(*(drafting.control() for _ in range(ROWS_MIN + 1)))
            acknowledge(outbox, ROWS_MIN + 1, GATEWAY_STREAM)
            await asyncio.sleep(2 * HOUR_S)
            await outbox.flush()
            assert await positions(outbox) == []

    run_virtual(main)


def test_what_was_deleted_is_never_still_owed_after_a_crash(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=SETTINGS) as outbox:
            drafting = Drafting()
            await fill(outbox, drafting, 50)
            await asyncio.sleep(10)
            # Cursors are written here that owe all these.
            await outbox.flush()
            await fill(outbox, drafting, 100)
            await asyncio.sleep(2 * HOUR_S)
            acknowledge(outbox, 150)
            await outbox.flush()
            assert await positions(outbox) == []
            crashed = as_after_power_cut(tmp_path, tmp_path / "crashed")
        # The commit that deleted held the cursors that allowed it.
        async with virtual_outbox(crashed) as outbox:
            assert outbox.cursors.lagging() == {}
            assert outbox.last_position == 150

    run_virtual(main)


def test_nothing_goes_that_is_held_and_all_goes_afterwards(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=SETTINGS) as outbox:
            await fill(outbox, Drafting(), 300)
            acknowledge(outbox, 300)
            await asyncio.sleep(2 * HOUR_S)
            async with outbox.hold(after=120), outbox.hold(after=150):
                await outbox.flush()
                assert await positions(outbox) == list(range(121, 301))
            acknowledge(outbox, 300)
            await asyncio.sleep(10)
            await outbox.flush()
            assert await positions(outbox) == []

    run_virtual(main)


def test_a_hold_waits_for_the_delete_that_was_decided_before_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=SETTINGS) as outbox:
            retention = Retention(clock=VirtualClock(), settings=SETTINGS)
            holds: list[int] = []

            async def hold() -> None:
                async with retention.hold(after=0):
                    holds.append(0)

            async with retention.expired(outbox.database, through=1, everything=True):
                holding = asyncio.create_task(hold())
                await asyncio.sleep(1)
                assert not holds
            await holding
            assert holds

    run_virtual(main)


def test_an_entry_is_kept_for_its_whole_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=SETTINGS) as outbox:
            await fill(outbox, Drafting(), ROWS_MIN)
            await asyncio.sleep(1)
            await fill(outbox, Drafting(), 1)
            acknowledge(outbox, ROWS_MIN + 1)
            await asyncio.sleep(HOUR_S)
            await outbox.flush()
            assert await positions(outbox) == [ROWS_MIN + 1]

    run_virtual(main)


def test_only_the_owner_of_deletion_deletes_entries() -> None:
    delete = re.compile(r"sql\.DELETE_\w+|DELETE FROM (?:blocks|control_entries)")
    files = {file.name for file in Path(upkeep.__file__).parent.glob("*.py") if delete.search(file.read_text("utf-8"))}
    # The statements' texts, and their one user.
    assert files == {"sql.py", "upkeep.py"}


@pytest.mark.parametrize("owner", [Retention, Writer])
def test_what_a_class_says_of_itself_is_held_by_a_test(owner: type) -> None:
    said = re.split(r"^- ", inspect.getdoc(owner) or "", flags=re.MULTILINE)[1:]
    tests = "".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    assert said
    for fact in said:
        (name,) = re.findall(r"`(test_\w+)`", fact)
        assert f"def {name}(" in tests
