"""The one answer to an update: its event, and the row of the history."""

import uuid
from collections.abc import Iterable
from uuid import UUID

from edge.configure.judge import Decision, Outcome
from edge.configure.reading import Unreadable, Update
from edge.domain.author import Author, Reference, encode_json
from edge.domain.configuration import Change
from edge.domain.event import Draft, Json, RecordedEvent
from edge.domain.facts import (
    Answer,
    DeviceConfigurationApplied,
    DeviceConfigurationRejected,
    DeviceConfigurationRestored,
)
from edge.domain.foreign_json import read_object
from edge.domain.json_form import json_of
from edge.storage.configurations import HistoryItem

# An answer holds at most validate.MISTAKES_MAX errors: 12 KiB. Its `errors` are objects in a list in an object.
ANSWER_BYTES_MAX = 64 * 1024
ANSWER_DEPTH_MAX = 8
# What a producer says of itself is kept for people to read.
TEXT_LENGTH_MAX = 1000


def answer_event_id(update_event_id: UUID) -> UUID:
    """Return the answer's id: the same however often it is made, so that it is never in the stream twice."""
    return uuid.uuid5(update_event_id, "answer")


def is_answer(event: RecordedEvent, update_event_id: UUID) -> bool:
    """Whether a gateway wrote this event as its answer to an update: no other event has the answer's id.

    An answer that was set aside and tried again has an id of its own, and tells the first one.
    """
    answer_id = answer_event_id(update_event_id)
    if event.event_id == answer_id:
        return True
    metadata = read_object(event.metadata, bytes_max=ANSWER_BYTES_MAX, depth_max=ANSWER_DEPTH_MAX)
    return metadata.get("retryOf") == str(answer_id)


def draft_answer(author: Author, decision: Decision, changes: Iterable[Change]) -> Draft:
    """Draft the answer to an update."""
    update = decision.update
    reference = Reference(
        config_version=update.config_version,
        causation_id=update.event_id,
        correlation_id=update.correlation_id,
    )
    fact = _answer(decision, tuple(changes))
    return author.control(fact, reference=reference, event_id=answer_event_id(update.event_id))


def _answer(decision: Decision, changes: tuple[Change, ...]) -> Answer:
    update = decision.update
    if decision.outcome is Outcome.APPLIED:
        assert isinstance(update, Update), "what is applied could be read"
        return DeviceConfigurationApplied(
            update_event_id=update.event_id,
            update_revision=update.revision,
            device_id=update.device_id,
            config_version=update.config_version,
            changes=changes,
        )
    return DeviceConfigurationRejected(
        update_event_id=update.event_id,
        update_revision=update.revision,
        device_id=update.device_id,
        config_version=update.config_version,
        stage=decision.stage,
        errors=decision.mistakes,
    )


def draft_restored(author: Author, update: Update, *, from_version: int) -> Draft:
    """Draft the event that says that a configuration, lost here, is in force again. The update has its answer already."""
    fact = DeviceConfigurationRestored(
        device_id=update.device_id,
        update_event_id=update.event_id,
        update_revision=update.revision,
        config_version=update.config_version,
        from_version=from_version,
        reason="database_restored",
    )
    reference = Reference(config_version=update.config_version, causation_id=update.event_id)
    return author.control(fact, reference=reference)


def history_item(decision: Decision, changes: Iterable[Change], *, now_ms: int) -> HistoryItem:
    """Return what the history keeps of an update."""
    update = decision.update
    body: dict[str, Json] = {}
    if not isinstance(update, Unreadable):
        body |= {"changedBy": _text(update.changed_by), "reason": _text(update.reason)}
    if decision.outcome is Outcome.APPLIED:
        body["changes"] = [json_of(change) for change in changes]
    else:
        body |= {"stage": decision.stage.value, "errors": [json_of(mistake) for mistake in decision.mistakes]}
    return HistoryItem(
        device_id=update.device_id,
        version=update.config_version,
        outcome=decision.outcome,
        update_event_id=update.event_id,
        update_revision=update.revision,
        happened_at_ms=now_ms,
        body=encode_json(body),
    )


def _text(text: str | None) -> str | None:
    return None if text is None else text[:TEXT_LENGTH_MAX]
