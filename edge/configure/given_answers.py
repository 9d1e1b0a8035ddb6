"""Answers that stand on the status stream. After a lost or older database they are all that is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from edge.configure.case import Answers, history_item, stored_configuration
from edge.configure.judge import Decision, Outcome, raised
from edge.configure.reading import Unreadable, Update
from edge.configure.subscription import Chunk, find_resumption
from edge.contract.model import INTEGER_MAX
from edge.domain.author import Author, Reference
from edge.domain.configuration import Code, Stage, answer_event_id
from edge.domain.event import EventType, RecordedEvent
from edge.domain.event_store import NO_STREAM, CaughtUp, EventStore, StreamDeleted
from edge.domain.facts import DeviceConfigurationRestored
from edge.domain.foreign_json import read_object
from edge.domain.identifier import IDENTIFIER_LENGTH_MAX
from edge.storage.batch import OutboxTransaction
from edge.storage.configurations import (
    DeviceVersions,
    MissingConfiguration,
    add_answer,
    append_history,
    find_missing,
    find_version,
    find_versions,
    reposition_answer,
    reposition_history,
    save_configuration,
    save_missing,
    save_versions,
)
from edge.storage.database import OpenTransaction
from edge.storage.outbox import Outbox
from edge.storage.remembered import Checkpoint, add_checkpoint, load_checkpoints, remove_checkpoints

# An answer holds at most judge.MISTAKES_MAX errors: 12 KiB. Its `errors` are objects in a list in an object.
ANSWER_BYTES_MAX = 64 * 1024
ANSWER_DEPTH_MAX = 8

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """What became of an update, as the status stream tells it."""

    update_event_id: UUID
    # 0 where it is not told.
    update_revision: int
    outcome: Outcome
    # None where the update could not be read.
    device_id: str | None
    config_version: int | None


def is_answer(event: RecordedEvent, update_event_id: UUID) -> bool:
    """Whether a gateway wrote this event as its answer to an update: no other event has the answer's id.

    An answer that was set aside and tried again has an id of its own, and tells the first one.
    """
    answer_id = answer_event_id(update_event_id)
    if event.event_id == answer_id:
        return True
    metadata = read_object(event.metadata, bytes_max=ANSWER_BYTES_MAX, depth_max=ANSWER_DEPTH_MAX)
    return metadata.get("retryOf") == str(answer_id)


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
    after = NO_STREAM if resumption.after is None else resumption.after.revision
    if resumption.has_gone_back:
        log.warning("status_stream_went_back", stream=stream, to_revision=after)
        async with outbox.transaction() as transaction:
            await remove_checkpoints(transaction, stream, above_revision=after)
    chunk = Chunk()
    # Not read in pages: a page of the largest events that the server takes would fill our memory.
    async with event_store.subscribe(stream, after_revision=after) as items:
        async for item in items:
            if not isinstance(item, CaughtUp):
                chunk.add(item)
            if chunk.is_full or isinstance(item, CaughtUp):
                await _take_in_events(outbox, author, stream, chunk.take_out())
            if isinstance(item, CaughtUp):
                return


async def _take_in_events(outbox: Outbox, author: Author, stream: str, events: Sequence[RecordedEvent]) -> None:
    if not events:
        return
    async with outbox.transaction() as transaction:
        for event in events:
            given = read_given_answer(event, gateway_id=author.gateway_id)
            if given is not None:
                await _take_in(transaction, given, event.event_id, now_ms=author.clock.unix_ms())
        await add_checkpoint(transaction, stream, Checkpoint(events[-1].revision, events[-1].event_id))


async def _take_in(transaction: OpenTransaction, given: GivenAnswer, answer_event_id: UUID, *, now_ms: int) -> None:
    await add_answer(
        transaction,
        update_event_id=given.update_event_id,
        update_revision=given.update_revision,
        answer_event_id=answer_event_id,
        outcome=given.outcome,
        answered_at_ms=now_ms,
    )
    if given.outcome is Outcome.APPLIED and given.device_id is not None and given.config_version is not None:
        await _look_for(
            transaction,
            MissingConfiguration(
                device_id=given.device_id, version=given.config_version, update_event_id=given.update_event_id
            ),
        )


async def _look_for(transaction: OpenTransaction, applied: MissingConfiguration) -> None:
    """Have a configuration that was applied looked for on the configuration stream, unless this file knows it."""
    missing = await find_missing(transaction, applied.device_id)
    known = await find_version(transaction, applied.device_id) if missing is None else missing.version
    if applied.version <= known:
        return
    await save_missing(transaction, applied)
    # The version is used up even if the stream does not hold the update any more.
    versions = await find_versions(transaction, applied.device_id)
    stale = max(versions.stale, applied.version)
    await save_versions(transaction, applied.device_id, DeviceVersions(stale=stale, base=versions.base))


def read_given_answer(event: RecordedEvent, *, gateway_id: str) -> GivenAnswer | None:
    """Read an answer of this gateway; None for everything else, junk and the answers of others included.

    An answer that another writer wrote in our name must not prevent ours, nor restore what was never applied.
    """
    if event.type not in (EventType.DEVICE_CONFIGURATION_APPLIED, EventType.DEVICE_CONFIGURATION_REJECTED):
        return None
    data = read_object(event.data, bytes_max=ANSWER_BYTES_MAX, depth_max=ANSWER_DEPTH_MAX)
    update_event_id = _id(data.get("updateEventId"))
    if update_event_id is None or data.get("gatewayId") != gateway_id or not is_answer(event, update_event_id):
        log.warning("answer_not_ours", stream=event.stream, revision=event.revision)
        return None
    device_id = data.get("deviceId")
    return GivenAnswer(
        update_event_id=update_event_id,
        update_revision=_integer(data.get("updateRevision")) or 0,
        outcome=_outcome(event.type, data),
        device_id=device_id if isinstance(device_id, str) and len(device_id) <= IDENTIFIER_LENGTH_MAX else None,
        config_version=_integer(data.get("configVersion")),
    )


def _outcome(event_type: str, data: Mapping[str, object]) -> Outcome:
    if event_type == EventType.DEVICE_CONFIGURATION_APPLIED:
        return Outcome.APPLIED
    if data.get("stage") == Stage.APPLICATION:
        return Outcome.FAILED
    errors = data.get("errors")
    codes = [error.get("code") for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
    return Outcome.SUPERSEDED if codes == [Code.SUPERSEDED] else Outcome.REJECTED


def _id(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= INTEGER_MAX else None


async def replay(
    transaction: OutboxTransaction, update: Update | Unreadable, outcome: Outcome, answers: Answers
) -> bool:
    """Take in what an answered update did, if this database does not know: it is new, or an older copy.

    Also of a device that there is not: a group may adopt it again, or the site file name it again. Returns whether a
    configuration was restored.
    """
    await reposition_answer(transaction, update.event_id, update.revision)
    if isinstance(update, Unreadable):
        return False
    known = await find_versions(transaction, update.device_id)
    versions = raised(known, outcome, update.config_version)
    if versions != known:
        await save_versions(transaction, update.device_id, versions)
    if not await reposition_history(transaction, update.event_id, update.revision):
        decision = Decision(update=update, outcome=outcome)
        await append_history(transaction, history_item(decision, (), now_ms=answers.author.clock.unix_ms()))
    missing = await find_missing(transaction, update.device_id)
    if missing is None or missing.update_event_id != update.event_id:
        return False
    await _restore(transaction, update, answers)
    return True


async def _restore(transaction: OutboxTransaction, update: Update, answers: Answers) -> None:
    """Keep the configuration that the status stream says is in force; it is put into force once the stream is read."""
    before, author = await find_version(transaction, update.device_id), answers.author
    await save_configuration(transaction, stored_configuration(update, now_ms=author.clock.unix_ms()))
    if answers.fleet.device(update.device_id) is not None:
        fact = DeviceConfigurationRestored(
            device_id=update.device_id,
            update_event_id=update.event_id,
            update_revision=update.revision,
            config_version=update.config_version,
            from_version=before,
            reason="database_restored",
        )
        reference = Reference(config_version=update.config_version, causation_id=update.event_id)
        transaction.append(author.control(fact, reference=reference))
    log.warning(
        "configuration_restored",
        device_id=update.device_id,
        config_version=update.config_version,
        from_version=before,
        update_revision=update.revision,
    )
