import asyncio
import json
from pathlib import Path
from uuid import uuid4

import pytest

from edge.domain.event import EventType
from edge.domain.settings import OutboxSettings
from edge.storage.outbox import Outbox
from edge.storage.writer import ENTRIES_MAX, Intake
from fakes.outbox_drafts import GATEWAY_STREAM, Drafting, all_entries, virtual_outbox
from fakes.virtual_time import run_virtual


def test_nothing_is_accepted_before_it_is_on_disk(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            assert outbox.offer(drafting.sample())
            assert drafting.accepted == []
            assert await all_entries(outbox) == []
            await outbox.flush()
            assert [entry.event_id for entry in await all_entries(outbox)] == drafting.accepted

    run_virtual(main)


def test_acceptance_is_told_in_the_order_of_arrival(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        drafts = [drafting.sample("a"), drafting.control(), drafting.sample("b"), drafting.sample("a")]
        async with virtual_outbox(tmp_path) as outbox:
            for draft in drafts:
                outbox.offer(draft)
            await outbox.flush()
            assert drafting.accepted == [draft.event_id for draft in drafts]
            entries = await all_entries(outbox)
            assert [entry.event_id for entry in entries] == drafting.accepted
            assert [entry.position for entry in entries] == [1, 2, 3, 4]
            names = [outbox.streams.name(entry.stream) for entry in entries]
            assert names == ["sensorReadings-g.a", GATEWAY_STREAM, "sensorReadings-g.b", "sensorReadings-g.a"]

    run_virtual(main)


def test_each_device_counts_its_samples_from_one_and_names_its_last_of_the_run_before(tmp_path: Path) -> None:
    async def main() -> None:
        first, second, third = Drafting(), Drafting(), Drafting()
        for drafting, devices in ((first, "aab"), (second, "bc"), (third, "abc")):
            async with virtual_outbox(tmp_path, run=drafting.run) as outbox:
                for device in devices:
                    outbox.offer(drafting.sample(device))
                outbox.offer(drafting.control())
                await outbox.flush()
                entries = await all_entries(outbox)
        telemetry = [json.loads(entry.data) for entry in entries if entry.type == EventType.SENSOR_READING_RECEIVED]
        assert [(event["deviceId"], event["sequence"], event.get("previous")) for event in telemetry] == [
            ("a", 1, None),
            ("a", 2, None),
            ("b", 1, None),
            ("b", 1, {"run": str(first.run), "sequence": 1}),
            ("c", 1, None),
            ("a", 1, {"run": str(first.run), "sequence": 2}),
            ("b", 1, {"run": str(second.run), "sequence": 1}),
            ("c", 1, {"run": str(second.run), "sequence": 1}),
        ]
        assert [entry.position for entry in entries] == list(range(1, 12))

    run_virtual(main)


def test_a_refused_sample_gets_no_number(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path, intake=Intake(entries_max=1)) as outbox:
            assert outbox.offer(drafting.sample())
            assert not outbox.offer(drafting.sample())
            await outbox.flush()
            assert outbox.offer(drafting.sample())
            await outbox.flush()
            assert [json.loads(entry.data)["sequence"] for entry in await all_entries(outbox)] == [1, 2]
            assert outbox.statistics().refused == 1

    run_virtual(main)


def test_recording_at_once_does_not_wait_for_the_commit_interval(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path, settings=OutboxSettings(commit_interval_ms=60_000)) as outbox:
            writer = asyncio.create_task(outbox.run())
            await asyncio.sleep(0)
            began_s = asyncio.get_running_loop().time()
            await outbox.record(Drafting().control(), at_once=True)
            assert asyncio.get_running_loop().time() - began_s < 1
            writer.cancel()

    run_virtual(main)


@pytest.mark.parametrize("with_writer", [True, False])
def test_recording_returns_when_the_events_are_on_disk(tmp_path: Path, with_writer: bool) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox, asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(outbox.run()) if with_writer else None
            await asyncio.sleep(0)
            drafts = [drafting.control(), drafting.control()]
            await outbox.record(*drafts)
            assert drafting.accepted == [draft.event_id for draft in drafts]
            assert [entry.event_id for entry in await all_entries(outbox)] == drafting.accepted
            if writer is not None:
                writer.cancel()

    run_virtual(main)


def test_a_recorded_event_is_written_even_if_its_author_is_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox, asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(outbox.run())
            author = tasks.create_task(outbox.record(drafting.control()))
            await asyncio.sleep(0.1)
            author.cancel()
            await asyncio.sleep(1)
            writer.cancel()
            assert len(drafting.accepted) == 1

    run_virtual(main)


def test_the_live_head_gets_every_committed_entry_once_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            live = await all_entries(outbox)
            outbox.attach(live.extend)
            for round_ in range(3):
                outbox.offer(drafting.sample(f"d{round_}", source_key=b"k"))
                outbox.offer(drafting.control())
                async with outbox.transaction() as transaction:
                    transaction.append(drafting.control())
            assert live == await all_entries(outbox)
            assert len(live) == 9

    run_virtual(main)


def test_a_transaction_writes_statements_and_events_together_or_not_at_all(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            async with outbox.transaction() as transaction:
                await transaction.execute("INSERT INTO rollups VALUES (1, x'', x'')")
                assert transaction.append(drafting.control()) == 1
            with pytest.raises(ZeroDivisionError):
                await _failing(outbox, drafting)
            assert await outbox.database.fetch_all("SELECT minute FROM rollups") == [(1,)]
            assert [entry.position for entry in await all_entries(outbox)] == [1]
            # A number that was once given is not given again, and the stream that was rolled back is written anew.
            await outbox.record(drafting.control(stream="new-stream"))
            assert [entry.position for entry in await all_entries(outbox)] == [1, 3]
            assert await outbox.database.fetch_all("SELECT name FROM streams") == [(GATEWAY_STREAM,), ("new-stream",)]

    async def _failing(outbox: Outbox, drafting: Drafting) -> None:
        async with outbox.transaction() as transaction:
            await transaction.execute("INSERT INTO rollups VALUES (2, x'', x'')")
            transaction.append(drafting.control(stream="new-stream"))
            raise ZeroDivisionError

    run_virtual(main)


def test_what_was_offered_before_a_transaction_is_committed_before_it(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            before = drafting.control()
            outbox.offer(before)
            async with outbox.transaction() as transaction:
                transaction.append(drafting.control())
            assert [entry.event_id for entry in await all_entries(outbox)] == drafting.accepted
            assert drafting.accepted[0] == before.event_id

    run_virtual(main)


def test_only_positions_that_this_file_gave_are_known(tmp_path: Path) -> None:
    async def main() -> None:
        first, second = Drafting(), Drafting()
        for drafting, count in ((first, 3), (second, 2)):
            async with virtual_outbox(tmp_path, run=drafting.run) as outbox:
                await outbox.record(*(drafting.control() for _ in range(count)))
                known = [(run, position) for run in (first.run, second.run) for position in (1, 3, 4, 5, 6)]
                answers = [position for run, position in known if run == first.run and outbox.is_known(run, position)]
                assert answers == [1, 3]
                assert not outbox.is_known(uuid4(), 1)
        assert outbox.is_known(second.run, 5)
        assert not outbox.is_known(second.run, 6)

    run_virtual(main)


def test_what_waits_is_committed_when_the_outbox_is_closed(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            for _ in range(ENTRIES_MAX + 10):
                outbox.offer(drafting.sample())
        assert len(drafting.accepted) == ENTRIES_MAX + 10
        async with virtual_outbox(tmp_path) as outbox:
            assert [entry.event_id for entry in await all_entries(outbox)] == drafting.accepted

    run_virtual(main)


def test_statistics_say_what_is_pending_and_how_fresh_the_last_commit_is(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            assert outbox.statistics().committed_age_s is None
            outbox.offer(drafting.sample("a"))
            outbox.offer(drafting.sample("a"))
            outbox.offer(drafting.sample("b"))
            assert outbox.statistics().waiting == 3
            await outbox.flush()
            await asyncio.sleep(7)
            outbox.cursors.acknowledge(
                outbox.streams.number("sensorReadings-g.b"), revision=0, event_id=None, position=3
            )
            statistics = outbox.statistics()
        assert statistics.pending_by_stream == {"sensorReadings-g.a": 2}
        assert (statistics.pending, statistics.last_position, statistics.waiting) == (2, 3, 0)
        assert (statistics.committed_age_s, statistics.commits, statistics.entries_committed) == (7, 1, 3)

    run_virtual(main)


def test_a_stream_stays_parked_until_it_is_unparked(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path) as outbox:
            await outbox.record(drafting.control())
            stream = outbox.streams.number(GATEWAY_STREAM)
            await outbox.park(stream, "the stream was deleted", drafting.control(EventType.ALARM_RAISED))
            assert outbox.statistics().parked == {GATEWAY_STREAM: "the stream was deleted"}
        async with virtual_outbox(tmp_path) as outbox:
            assert outbox.streams.parked() == {stream: "the stream was deleted"}
            assert [entry.type for entry in await all_entries(outbox)] == ["SiteFileLoaded", "AlarmRaised"]
            await outbox.unpark(stream)
            assert not outbox.streams.is_parked(stream)
        async with virtual_outbox(tmp_path) as outbox:
            assert outbox.streams.parked() == {}

    run_virtual(main)
