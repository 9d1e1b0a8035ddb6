"""The other side: how a producer asks a gateway for a configuration, as the verb `configure` does.

Take the newest document that was not rejected, change it, append it with the exact revision, and wait for the answer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from pydantic import ValidationError

from edge.configure.given_answers import ANSWER_BYTES_MAX, ANSWER_DEPTH_MAX, is_answer
from edge.configure.reading import Document, Unreadable, read_update
from edge.contract.model import INTEGER_MAX, read_written
from edge.domain.author import encode_json
from edge.domain.event import SCHEMA_VERSION, EventType, Json, NewEvent, RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    EventStore,
    EventStoreUnavailable,
    OutcomeUnknown,
    StreamNotFound,
    WrongExpectedRevision,
)
from edge.domain.facts import Answer, DeviceConfigurationApplied, DeviceConfigurationRejected
from edge.domain.foreign_json import read_object

# One answer of the event store; well below its limit with documents of some KiB.
PAGE_EVENTS_MAX = 200
# Another producer appended in between, so often in a row: no person does that.
ATTEMPTS_MAX = 10
# Between two looks for a store that is away; the time-out ends them.
RETRY_S = 1.0

ANSWERS: Mapping[str, type[Answer]] = {
    EventType.DEVICE_CONFIGURATION_APPLIED: DeviceConfigurationApplied,
    EventType.DEVICE_CONFIGURATION_REJECTED: DeviceConfigurationRejected,
}


class RequestContested(Exception):  # noqa: N818 - says what happened
    """Other producers appended each time in between. Nothing was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The two streams of a gateway's configuration."""

    configuration: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for."""

    device_id: str
    # Gives the new document from the one it is based on.
    edit: Callable[[Document], Mapping[str, Json]]
    # changedBy, reason, validUntil.
    remarks: Mapping[str, Json]
    event_id: UUID
    correlation_id: UUID
    producer: str


@dataclass(slots=True, kw_only=True)
class Known:
    """What the streams say of one device."""

    # The newest document that was not rejected, and its version.
    document: Document = field(default_factory=dict)
    version: int = 0
    highest_version: int = 0
    # Of the configuration stream and the status stream.
    revision: int = NO_STREAM
    status_revision: int = NO_STREAM

    def use_up(self, version: int) -> None:
        """Take in that a version was used. The last one that JSON can count to is not: none could follow it."""
        if version < INTEGER_MAX:
            self.highest_version = max(self.highest_version, version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An update as it was (or would be) appended."""

    data: Mapping[str, Json]
    event: NewEvent
    expected_revision: int
    # The answer comes after this one.
    status_revision: int


async def compose(event_store: EventStore, streams: Streams, request: Request) -> Asked:
    """Make the update that would be appended now. Raises EventStoreError."""
    known = await read_known(event_store, streams, request.device_id)
    data: dict[str, Json] = {
        "deviceId": request.device_id,
        "configVersion": known.highest_version + 1,
        "basedOn": known.version,
        **request.remarks,
        "configuration": request.edit(known.document),
    }
    metadata: dict[str, Json] = {
        "schemaVersion": SCHEMA_VERSION,
        "producer": request.producer,
        "$correlationId": str(request.correlation_id),
    }
    event = NewEvent(
        event_id=request.event_id,
        type=EventType.DEVICE_CONFIGURATION_UPDATED,
        data=encode_json(data).encode(),
        metadata=encode_json(metadata).encode(),
    )
    return Asked(data=data, event=event, expected_revision=known.revision, status_revision=known.status_revision)


async def ask(event_store: EventStore, streams: Streams, request: Request) -> Asked:
    """Append the update, behind those of other producers in between. Raises EventStoreError, RequestContested."""
    last = NO_STREAM
    for _ in range(ATTEMPTS_MAX):
        asked = await compose(event_store, streams, request)
        # Of a stream whose last events are truncated only a refusal tells how far it has come.
        asked = replace(asked, expected_revision=max(asked.expected_revision, last))
        refused = await _append(event_store, streams.configuration, asked)
        if refused is None:
            return asked
        last = NO_STREAM if refused.actual is None else refused.actual
    raise RequestContested(f"{ATTEMPTS_MAX} times somebody else appended to {streams.configuration} in between")


async def _append(event_store: EventStore, stream: str, asked: Asked) -> WrongExpectedRevision | None:
    """Append exactly once; return the refusal if the stream is elsewhere. Raises EventStoreError."""
    unknown: OutcomeUnknown | None = None
    for _ in range(ATTEMPTS_MAX):
        try:
            await event_store.append(stream, [asked.event], expected_revision=asked.expected_revision)
        except (OutcomeUnknown, EventStoreUnavailable) as error:
            # That this attempt had no effect tells nothing of an earlier one.
            unknown = error if isinstance(error, OutcomeUnknown) else unknown
            if unknown is None:
                raise
            # The same event at the same place: if it stands there already, that is success.
            await asyncio.sleep(RETRY_S)
        except WrongExpectedRevision as error:
            return error
        else:
            return None
    assert unknown is not None, "the last attempt returned or raised"
    raise unknown


async def wait_for_answer(event_store: EventStore, streams: Streams, asked: Asked) -> Answer:
    """Wait for the gateway's answer, over losses of the link. Cancelled from outside when it took too long."""
    after = asked.status_revision
    while True:
        try:
            async with event_store.subscribe(streams.status, after_revision=after) as items:
                return await _find_answer(items, asked.event.event_id)
        except EventStoreUnavailable:
            await asyncio.sleep(RETRY_S)


async def _find_answer(items: AsyncIterator[RecordedEvent | CaughtUp], update_event_id: UUID) -> Answer:
    async for item in items:
        answer = None if isinstance(item, CaughtUp) else read_answer(item)
        if answer is not None and answer.update_event_id == update_event_id:
            return answer
    raise EventStoreUnavailable("the subscription ended")


def read_answer(event: RecordedEvent) -> Answer | None:
    """Read a gateway's answer; None for everything else, answers of other writers in its name included."""
    fact_class = ANSWERS.get(event.type)
    if fact_class is None:
        return None
    data = read_object(event.data, bytes_max=ANSWER_BYTES_MAX, depth_max=ANSWER_DEPTH_MAX)
    try:
        answer = read_written(fact_class, data)
    except ValidationError:
        return None
    return answer if is_answer(event, answer.update_event_id) else None


async def read_known(event_store: EventStore, streams: Streams, device_id: str) -> Known:
    """Read both streams to their ends. Raises EventStoreError."""
    known = Known()
    rejected: set[UUID] = set()
    async for event in _read_all(event_store, streams.status):
        known.status_revision = event.revision
        answer = read_answer(event)
        if answer is None:
            continue
        if isinstance(answer, DeviceConfigurationRejected):
            rejected.add(answer.update_event_id)
        if answer.device_id == device_id:
            known.use_up(_version_told(answer))
    async for event in _read_all(event_store, streams.configuration):
        known.revision = event.revision
        if event.type == EventType.DEVICE_CONFIGURATION_UPDATED:
            _take_in(known, event, device_id, is_rejected=event.event_id in rejected)
    return known


def _take_in(known: Known, event: RecordedEvent, device_id: str, *, is_rejected: bool) -> None:
    update = read_update(event)
    if update.device_id != device_id:
        return
    known.use_up(update.config_version or 0)
    if not isinstance(update, Unreadable) and not is_rejected and _can_be_written(update.document):
        known.document, known.version = update.document, update.config_version


def _can_be_written(document: Document) -> bool:
    """Whether an update can be based on a document. One with NaN or Infinity will be rejected."""
    try:
        json.dumps(document, allow_nan=False)
    except ValueError:
        return False
    return True


def _version_told(answer: Answer) -> int:
    """Return the version an answer shows to be used up: a store restored from a backup may have lost the update."""
    if isinstance(answer, DeviceConfigurationApplied):
        return answer.config_version
    limits = [error.limit for error in answer.errors if error.code == "stale_version" and error.limit is not None]
    return max((int(limit) for limit in limits), default=0)


async def _read_all(event_store: EventStore, stream: str) -> AsyncIterator[RecordedEvent]:
    revision = 0
    while True:
        try:
            page = await event_store.read_forward(stream, from_revision=revision, limit=PAGE_EVENTS_MAX)
        except StreamNotFound:
            return
        for event in page:
            yield event
        if not page:
            return
        revision = page[-1].revision + 1
