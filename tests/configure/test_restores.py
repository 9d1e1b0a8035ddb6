"""What was lost, copied or set back: the database, the event store, or both."""

import asyncio
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from edge.domain.event import EventType
from edge.storage import configurations
from edge.storage.remembered import load_checkpoints
from fakes.configure_world import ANSWERS, STATUS_STREAM, STREAM, World, update, update_event
from fakes.event_store import FakeEventStore
from fakes.virtual_time import run_virtual


async def run_once(world: World) -> list[tuple[str, int | None, str]]:
    """Start, settle, forward; return the answers this database holds."""
    async with world.started() as gateway:
        await gateway.settle()
        await world.forward(gateway.outbox)
        return await gateway.answers()


def all_answers(world: World) -> list[str]:
    return [str(event.event_id) for event in world.store.events(STATUS_STREAM)]


def test_after_a_lost_database_the_answers_on_the_status_stream_stand(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 5})
        world.ask(2, {"pollIntervalS": 1})
        await run_once(world)
        world.ask(3, {"pollIntervalS": 6})
        await run_once(world)
        shutil.rmtree(world.directory)
        world.ask(3, {"pollIntervalS": 9})
        async with world.started() as gateway:
            assert gateway.fleet.in_force["bench"].version == 0
            await gateway.settle()
            assert await gateway.answers() == [("bench", 3, "stale_version")]
            assert [(c.version, c.poll_interval_s) for c in gateway.fleet.configured] == [(3, 6.0)]
            described = await gateway.written(EventType.DEVICE_DESCRIBED)
            assert [d["configVersion"] for d in described if d["deviceId"] == "bench"] == [0, 3]
            await world.forward(gateway.outbox)
        assert len(set(all_answers(world))) == len(all_answers(world)) == 4

    run_virtual(main)


def test_after_a_lost_database_versions_go_on_where_they_were(world: World) -> None:
    async def main() -> None:
        world.ask(4)
        world.ask(5)
        await run_once(world)
        shutil.rmtree(world.directory)
        world.ask(6, basedOn=4)
        world.ask(7, basedOn=5)
        assert await run_once(world) == [("bench", 6, "conflict"), ("bench", 7, "applied")]

    run_virtual(main)


def test_what_was_restored_is_replaced_by_a_newer_update_at_once(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 5})
        await run_once(world)
        shutil.rmtree(world.directory)
        world.ask(2, {"pollIntervalS": 6}, basedOn=1)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [("bench", 2, "applied")]
            assert gateway.fleet.in_force["bench"].version == 2

    run_virtual(main)


def test_an_older_copy_of_the_database_learns_what_was_answered_since(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 5})
        await run_once(world)
        shutil.copytree(world.directory, tmp_path / "copy")
        world.ask(2, {"pollIntervalS": 6})
        await run_once(world)
        shutil.rmtree(world.directory)
        shutil.copytree(tmp_path / "copy", world.directory)
        world.ask(3, {"pollIntervalS": 7}, basedOn=2)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [("bench", 1, "applied"), ("bench", 3, "applied")]
            await world.forward(gateway.outbox)
        assert len(set(all_answers(world))) == len(all_answers(world)) == 3

    run_virtual(main)


def test_a_checkpoint_ahead_of_a_restored_stream_is_noticed(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 5})
        await run_once(world)
        backup = world.store.snapshot()
        for version in (2, 3, 4):
            world.ask(version)
        await run_once(world)
        world.store.restore(backup)
        # The stream holds version 1 only: whoever reads it bases on that, and must not be refused for ever.
        world.ask(5, {"pollIntervalS": 6}, basedOn=1)
        async with world.started() as gateway:
            await gateway.settle()
            assert (await gateway.answers())[-1] == ("bench", 5, "applied")
            assert gateway.fleet.in_force["bench"].version == 5

    run_virtual(main)


def test_a_restored_stream_that_grew_again_is_read_from_where_it_still_matches(world: World) -> None:
    async def main() -> None:
        world.ask(1)
        await run_once(world)
        backup = world.store.snapshot()
        world.ask(2)
        world.ask(3)
        await run_once(world)
        world.store.restore(backup)
        # Longer than it was: only the ids tell.
        for version in (7, 8, 9):
            world.ask(version)
        world.store.reads.clear()
        answers = await run_once(world)
        assert answers[-3:] == [("bench", 7, "superseded"), ("bench", 8, "superseded"), ("bench", 9, "applied")]
        assert [a for a in answers if a[1] == 1] == [("bench", 1, "applied")], "answered once"

    run_virtual(main)


def test_versions_used_before_a_restore_are_not_used_again(world: World) -> None:
    async def main() -> None:
        backup = world.store.snapshot()
        world.ask(1)
        await run_once(world)
        world.store.restore(backup)
        world.ask(1)
        answers = await run_once(world)
        assert answers == [("bench", 1, "applied"), ("bench", 1, "stale_version")]

    run_virtual(main)


def test_a_replaced_event_store_is_read_from_its_start(world: World) -> None:
    async def main() -> None:
        for version in (1, 2):
            world.ask(version)
        await run_once(world)
        world.store = FakeEventStore()
        world.ask(3, basedOn=0)
        assert (await run_once(world))[-1] == ("bench", 3, "applied")

    run_virtual(main)


YEAR_MS = 365 * 86_400_000


@pytest.mark.parametrize("error_ms", [-3 * YEAR_MS, 3 * YEAR_MS])
def test_a_wrong_clock_makes_no_answer_forgotten(world: World, error_ms: int) -> None:
    async def main() -> None:
        world.clock_error_ms = error_ms
        world.ask(1)
        world.ask(2)
        backup = world.store.snapshot()
        await run_once(world)
        world.clock_error_ms = 0
        await run_once(world)
        # The backup holds the updates, and no answer yet.
        world.store.restore(backup)
        assert await run_once(world) == [("bench", 1, "superseded"), ("bench", 2, "applied")]
        world.clock_error_ms = error_ms
        world.store.restore(backup)
        assert await run_once(world) == [("bench", 1, "superseded"), ("bench", 2, "applied")]

    run_virtual(main)


def test_forgotten_answers_are_taken_from_the_status_stream_when_updates_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configurations, "REVISIONS_KEPT", 3)

    async def main() -> None:
        world.ask(1)
        await run_once(world)
        backup = world.store.snapshot()
        for version in range(2, 10):
            world.ask(version)
        given = await run_once(world)
        async with world.started() as gateway:
            [(kept,)] = await gateway.outbox.database.fetch_all("SELECT count(*) FROM answers")
            assert kept == 3, "one for each of the last revisions"
            [(pairs,)] = await gateway.outbox.database.fetch_all("SELECT count(*) FROM checkpoints")
            assert pairs > 1
            # No pair is left of before the backup: the stream is read from its start.
            async with gateway.outbox.transaction() as transaction:
                await transaction.execute("DELETE FROM checkpoints WHERE stream = ? AND revision < 8", (STREAM,))
        world.store.restore(backup)
        assert await run_once(world) == given
        assert len(set(all_answers(world))) == len(all_answers(world))
        world.ask(10)
        assert (await run_once(world))[-1] == ("bench", 10, "applied")

    run_virtual(main)


def test_the_answers_that_are_kept_do_not_grow_with_the_stream_while_the_gateway_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configurations, "REVISIONS_KEPT", 50)

    async def main() -> None:
        async with world.started() as gateway:
            following = asyncio.create_task(gateway.configurator.run())
            for _ in range(200):
                world.publish(update_event(b"junk"))
                await asyncio.sleep(1)
            following.cancel()
            assert len(await gateway.answers()) == 200
            [(kept,)] = await gateway.outbox.database.fetch_all("SELECT count(*) FROM answers")
            assert kept == 50

    run_virtual(main)


def test_an_answer_is_kept_for_where_its_update_stands_now(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configurations, "REVISIONS_KEPT", 5)

    async def main() -> None:
        event = update_event(update(1))
        world.publish(event)
        await run_once(world)
        world.store = FakeEventStore()
        world.publish(*[update_event({}, event_type="Other") for _ in range(3)], event)
        await run_once(world)
        world.publish(*[update_event({}, event_type="Other") for _ in range(4)])
        await run_once(world)
        # Its first place is far behind; its second is not.
        world.publish(event)
        assert await run_once(world) == [("bench", 1, "applied")]

    run_virtual(main)


def test_no_pair_of_a_status_stream_that_went_back_is_kept(world: World) -> None:
    async def main() -> None:
        world.ask(1)
        await run_once(world)
        await run_once(world)
        backup = world.store.snapshot()
        for version in (2, 3):
            world.ask(version)
            await run_once(world)
        await run_once(world)
        world.store.restore(backup)
        # Also where the stream has grown beyond what it was.
        for _ in range(4):
            world.publish(update_event(b"junk", event_type="Other"), stream=STATUS_STREAM)
        async with world.started() as gateway:
            await gateway.settle()
            on_stream = {(event.revision, event.event_id) for event in world.store.events(STATUS_STREAM)}
            pairs = await load_checkpoints(gateway.outbox.database, STATUS_STREAM)
            assert pairs[0].revision == 4
            assert set(pairs) <= on_stream

    run_virtual(main)


def test_a_status_stream_that_alone_went_back_leaves_no_pair_behind(world: World) -> None:
    async def main() -> None:
        world.ask(1)
        await run_once(world)
        world.ask(2)
        # Both updates are in it, and only the first answer.
        backup = world.store.snapshot()
        await run_once(world)
        async with world.started() as gateway:
            await gateway.settle()
            pairs = await load_checkpoints(gateway.outbox.database, STATUS_STREAM)
            assert [pair.revision for pair in pairs] == [1, 0]
        world.store.restore(backup)
        async with world.started() as gateway:
            await gateway.settle()
            pairs = await load_checkpoints(gateway.outbox.database, STATUS_STREAM)
            assert [pair.revision for pair in pairs] == [0]

    run_virtual(main)


@pytest.mark.parametrize("stream", [STREAM, STATUS_STREAM])
def test_a_stream_that_went_back_and_did_not_grow_leaves_no_pair_behind(world: World, stream: str) -> None:
    async def main() -> None:
        world.ask(1)
        await run_once(world)
        await run_once(world)
        backup = world.store.snapshot()
        world.ask(2)
        await run_once(world)
        await run_once(world)
        world.store.restore(backup)
        async with world.started() as gateway:
            await gateway.settle()
            pairs = await load_checkpoints(gateway.outbox.database, stream)
            assert [pair.revision for pair in pairs] == [0]

    run_virtual(main)


def test_a_truncated_stream_has_not_gone_back(world: World) -> None:
    async def main() -> None:
        world.ask(1)
        world.ask(2)
        await run_once(world)
        world.ask(3, basedOn=2)
        world.store.truncate(STREAM, 2)
        answers = await run_once(world)
        assert answers[-1] == ("bench", 3, "applied"), "what a stream does not show any more is still known"
        world.store.truncate(STREAM, 3)
        assert await run_once(world) == answers
        world.ask(4, basedOn=3)
        assert (await run_once(world))[-1] == ("bench", 4, "applied")

    run_virtual(main)


def test_an_update_that_stands_twice_on_the_stream_is_answered_once(world: World) -> None:
    async def main() -> None:
        event = update_event(update(1))
        world.publish(event)
        world.publish(event)
        junk = update_event(b"junk", event_id=uuid4())
        world.publish(junk)
        world.publish(junk)
        async with world.started() as gateway:
            await gateway.settle()
            world.publish(event)
            await gateway.settle()
            assert len(await gateway.written(*ANSWERS)) == 2

    run_virtual(main)


def test_junk_on_the_status_stream_stops_nothing(world: World) -> None:
    async def main() -> None:
        for data in (b"", b"\xff", b"[]", b"{}", b'{"updateEventId": 7}', b'{"updateEventId": "x", "errors": 3}'):
            for event_type in (*ANSWERS, "Other"):
                world.publish(update_event(data, event_type=event_type), stream=STATUS_STREAM)
        world.ask(1)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [("bench", 1, "applied")]

    run_virtual(main)
