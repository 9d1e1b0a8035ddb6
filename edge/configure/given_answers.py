"""Answers that stand on the status stream. After a lost or older database they are all that is known of them."""

import json
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import structlog

from edge.configure.judge import Outcome
from edge.configure.subscription import find_resumption
from edge.domain.author import Author
from edge.domain.configuration import Code, Stage
from edge.domain.event import EventType, RecordedEvent
from edge.domain.event_store import NO_STREAM, EventStore, StreamDeleted, StreamNotFound
from edge.storage.answers import add_answer
from edge.storage.checkpoints import Checkpoint, add_checkpoint, load_checkpoints, remove_checkpoints
from edge.storage.database import Writer
from edge.storage.outbox import Outbox

# One page is one transaction and one answer of the event store.
PAGE_EVENTS_MAX = 200

log = structlog.get_logger()


class GivenAnswer(NamedTuple):
    """What became of an update, as the status stream tells it."""

    update_event_id: UUID
    outcome: Outcome


async def take_in_given_answers(event_store: EventStore, outbox: Outbox, author: Author) -> None:
    """Read what was answered since this was last done: answers given there stand.

    Nearly always they are our own and known. Raises EventStoreError, CommitFailed.
    """
    stream = author.stream(author.streams.configuration_status)
    try:
        await _take_in_stream(event_store, outbox, author, stream)
    except StreamDeleted:
        # The forwarder raises the alarm and keeps the answers; the devices are run all the same.
        log.warning("status_stream_deleted", stream=stream)


async def _take_in_stream(event_store: EventStore, outbox: Outbox, author: Author, stream: str) -> None:
    resumption = await find_resumption(event_store, stream, await load_checkpoints(outbox.database, stream))
    revision = NO_STREAM if resumption.after is None else resumption.after.revision
    while page := await _read(event_store, stream, revision + 1):
        async with outbox.transaction() as transaction:
            await remove_checkpoints(transaction, stream, above_revision=revision)
            for event in page:
                await _take_in(transaction, event, now_ms=author.clock.unix_ms())
            await add_checkpoint(transaction, stream, Checkpoint(page[-1].revision, page[-1].event_id))
        revision = page[-1].revision


async def _take_in(transaction: Writer, event: RecordedEvent, *, now_ms: int) -> None:
    given = read_answer(event)
    if given is not None:
        await add_answer(
            transaction,
            update_event_id=given.update_event_id,
            answer_event_id=event.event_id,
            outcome=given.outcome,
            answered_at_ms=now_ms,
        )


def read_answer(event: RecordedEvent) -> GivenAnswer | None:
    """Read an answer; None for everything else, junk included."""
    if event.type not in (EventType.DEVICE_CONFIGURATION_APPLIED, EventType.DEVICE_CONFIGURATION_REJECTED):
        return None
    data = _object(event.data)
    try:
        update_event_id = UUID(str(data.get("updateEventId")))
    except ValueError:
        log.warning("answer_not_readable", stream=event.stream, revision=event.revision)
        return None
    if event.type == EventType.DEVICE_CONFIGURATION_APPLIED:
        return GivenAnswer(update_event_id, Outcome.APPLIED)
    if data.get("stage") == Stage.APPLICATION:
        return GivenAnswer(update_event_id, Outcome.FAILED)
    return GivenAnswer(update_event_id, Outcome.SUPERSEDED if _is_superseded(data) else Outcome.REJECTED)


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        data: object = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _is_superseded(data: Mapping[str, object]) -> bool:
    errors = data.get("errors")
    codes = [error.get("code") for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
    return codes == [Code.SUPERSEDED]


async def _read(event_store: EventStore, stream: str, from_revision: int) -> list[RecordedEvent]:
    try:
        return await event_store.read_forward(stream, from_revision=from_revision, limit=PAGE_EVENTS_MAX)
    except StreamNotFound:
        return []
