"""One device's updates: judged in the order of the stream, applied, answered. Each answer is one transaction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from edge.configure.announce import Announcer
from edge.configure.judge import (
    Decision,
    Demands,
    Outcome,
    Verdict,
    failed,
    judge,
    overtaken,
    raised,
    reject_unknown_device,
)
from edge.configure.reading import Unreadable, Update
from edge.domain.author import Author, Reference, encode_json
from edge.domain.clock import Clock
from edge.domain.configuration import (
    ApplicationFailed,
    Change,
    DeviceFleet,
    EffectiveConfiguration,
    answer_event_id,
    changes,
)
from edge.domain.event import Json, RecordedEvent
from edge.domain.facts import DeviceConfigurationApplied, DeviceConfigurationRejected
from edge.domain.json_form import json_of
from edge.storage.batch import OutboxTransaction
from edge.storage.configurations import (
    DeviceVersions,
    HistoryItem,
    PendingUpdate,
    StoredConfiguration,
    add_answer,
    add_pending,
    append_history,
    find_missing,
    find_outcome,
    find_version,
    find_versions,
    load_pending,
    remove_old_answers,
    remove_pending,
    save_configuration,
    save_versions,
)
from edge.storage.database import OpenTransaction, Reader
from edge.storage.outbox import Outbox
from edge.storage.remembered import Checkpoint, add_checkpoint

# What a producer says of itself is kept for people to read.
TEXT_LENGTH_MAX = 1000

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Open:
    """An update without an answer."""

    # As it was read; None as soon as it is pending on disk.
    event: RecordedEvent | None
    # The event before it on the stream; None = it is the first.
    before: Checkpoint | None


class Unanswered:
    """The updates without an answer, and how far the checkpoint may go.

    - An update is in here from the moment it was read until its answer is written.
    - A commit moves the checkpoint past an update only if it answers the update, or keeps it as pending, or an earlier
      commit did. Answers may come in any order.
    - What is in here is a copy of the database. A commit that fails ends it: the next one is read from the database.
    """

    def __init__(self, stream: str, *, clock: Clock) -> None:
        self.stream = stream
        # The newest event that was read.
        self.last: Checkpoint | None = None
        self._clock = clock
        # In the order of the stream.
        self._open: dict[UUID, _Open] = {}
        self._saved: Checkpoint | None = None

    async def open(self, reader: Reader, resumed_at: Checkpoint | None) -> list[RecordedEvent]:
        """Begin after an event; return the updates that an earlier run read and did not answer."""
        self.last = self._saved = resumed_at
        pending = await load_pending(reader)
        self._open = {item.event_id: _Open(event=None, before=None) for item in pending}
        return [_recorded(item, self.stream) for item in pending]

    def __contains__(self, event_id: UUID) -> bool:
        return event_id in self._open

    def note(self, event: RecordedEvent, *, is_unanswered: bool) -> None:
        """Take in the next event of the stream.

        The event must be answered, or in here, when the next commit moves the checkpoint: no await may come between.
        """
        if is_unanswered:
            self._open[event.event_id] = _Open(event=event, before=self.last)
        self.last = Checkpoint(event.revision, event.event_id)

    async def remove(self, transaction: OpenTransaction, event_id: UUID) -> None:
        """Let go of an update, within the transaction that holds its answer."""
        await remove_pending(transaction, event_id)
        self._open.pop(event_id, None)

    async def save(self, transaction: OpenTransaction, *, before_revision: int | None = None) -> None:
        """Move the checkpoint as far as it may go; what stands before a revision (None: everything) is kept as pending.

        So an update that takes long holds up the checkpoint until a later one is answered, and one that is answered at
        once is never written as pending.
        """
        # A copy: the next event may be noted meanwhile.
        for item in list(self._open.values()):
            if item.event is not None and (before_revision is None or item.event.revision < before_revision):
                await add_pending(transaction, _pending(item.event, read_at_ms=self._clock.unix_ms()))
                item.event = None
        checkpoint = next((item.before for item in self._open.values() if item.event is not None), self.last)
        if checkpoint is not None and checkpoint != self._saved:
            await add_checkpoint(transaction, self.stream, checkpoint)
            await remove_old_answers(transaction, checkpoint_revision=checkpoint.revision)
            self._saved = checkpoint


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Writes the answers to updates, and what an answer brings with it."""

    outbox: Outbox
    author: Author
    fleet: DeviceFleet
    announcer: Announcer
    demands: Demands
    unanswered: Unanswered

    async def write(self, transaction: OutboxTransaction, decision: Decision) -> None:
        """Answer an update. What it puts into force is stored and described now, and in force with the commit."""
        update, now_ms = decision.update, self.author.clock.unix_ms()
        made: tuple[Change, ...] = ()
        if decision.configuration is not None:
            assert isinstance(update, Update), "what cannot be read is never applied"
            made = changes(self.fleet.configuration(update.device_id), decision.configuration)
            await save_configuration(transaction, stored_configuration(update, now_ms=now_ms))
        answer_id = answer_event_id(update.event_id)
        transaction.append(self.author.control(_fact(decision, made), reference=_reference(update), event_id=answer_id))
        await add_answer(
            transaction,
            update_event_id=update.event_id,
            update_revision=update.revision,
            answer_event_id=answer_id,
            outcome=decision.outcome,
            answered_at_ms=now_ms,
        )
        await append_history(transaction, history_item(decision, made, now_ms=now_ms))
        if decision.configuration is not None:
            await self.announcer.write(transaction, decision.configuration)
        await self.unanswered.remove(transaction, update.event_id)
        log.info(
            "configuration_answered",
            outcome=decision.outcome.value,
            device_id=update.device_id,
            config_version=update.config_version,
            update_revision=update.revision,
            errors=[mistake.message for mistake in decision.mistakes[:5]],
        )


class Case:
    """The updates of one device.

    - At most two have no answer: the one that is being applied, and of those after it the last valid one.
    - The one that waits was judged as if the one before it were applied; it is judged again when its turn comes.
    """

    def __init__(self, device_id: str, answers: Answers) -> None:
        self.device_id = device_id
        # Whether its task runs, or is about to.
        self.is_running = False
        self.waiting: Update | None = None
        self._answers = answers
        self._applied: Update | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.is_running and self.waiting is None

    async def take(self, transaction: OutboxTransaction, update: Update, *, was_valid: bool = False) -> None:
        """Judge the next update, and answer what is decided by it.

        `was_valid`: an earlier run judged it already. It can be overtaken since, but not come too late.
        """
        known = await find_versions(transaction, self.device_id)
        # No await until `waiting` is set: in one, the case's task may begin with the update that waits.
        if self._applied is not None:
            known = raised(known, Outcome.APPLIED, self._applied.config_version)
        updates = [update] if self.waiting is None else [self.waiting, update]
        verdict = self._judged(updates, known, is_final=False)
        self.waiting = verdict.undecided
        for decision in verdict.decisions:
            is_overtaken = was_valid and decision.update is update
            await self._answers.write(transaction, overtaken(decision, known) if is_overtaken else decision)
        if verdict.versions != known:
            await save_versions(transaction, self.device_id, verdict.versions)

    def begins_with(self, update: Update, known: DeviceVersions) -> bool:
        """Whether the first update of this case is valid; then it waits."""
        self.waiting = self._judged([update], known, is_final=False).undecided
        return self.waiting is not None

    async def run_one(self) -> None:
        """Bring the update that waits into force, however long its device takes, and answer it."""
        answers = self._answers
        known = await find_versions(answers.outbox.database, self.device_id)
        # No await until `_applied` is set: what is read meanwhile is judged as if this one were applied, if it is
        # valid.
        update, self.waiting = self.waiting, None
        if update is None:
            return
        device = answers.fleet.device(self.device_id)
        decision = self._decided(update, known)
        if decision.configuration is not None:
            self._applied = update
            decision = await self._apply(decision, decision.configuration)
        async with answers.outbox.transaction() as transaction:
            known = await find_versions(transaction, self.device_id)
            # Devices leave and come with commits, so none does within this one.
            is_other = answers.fleet.device(self.device_id) is not device
            if is_other or await self._is_passed(transaction, update, known):
                # It left while it was asked, or has other limits or a later version now.
                decision = self._decided(update, known)
            await self._finish(transaction, decision, update, known)
        self._applied = None

    def _decided(self, update: Update, known: DeviceVersions) -> Decision:
        if self._answers.fleet.device(self.device_id) is None:
            return reject_unknown_device(update)
        (decision,) = self._judged([update], known, is_final=True).decisions
        # It was valid when it was read.
        return overtaken(decision, known)

    async def _is_passed(self, transaction: OutboxTransaction, update: Update, known: DeviceVersions) -> bool:
        """Whether a later version was applied by somebody else who runs as this gateway: the status stream told."""
        if known.stale <= update.config_version:
            return False
        missing = await find_missing(transaction, self.device_id)
        applied = await find_version(transaction, self.device_id) if missing is None else missing.version
        return applied > update.config_version

    async def _apply(self, decision: Decision, configuration: EffectiveConfiguration) -> Decision:
        try:
            await self._answers.fleet.apply(configuration)
        except ApplicationFailed as error:
            return failed(decision, error.mistakes)
        return decision

    async def _finish(
        self, transaction: OutboxTransaction, decision: Decision, update: Update, known: DeviceVersions
    ) -> None:
        if await find_outcome(transaction, update.event_id) is None:
            await self._answers.write(transaction, decision)
            now_known = raised(known, decision.outcome, update.config_version)
            if now_known != known:
                await save_versions(transaction, self.device_id, now_known)
        else:
            # Meanwhile an answer has come to the status stream: another process runs as this gateway.
            await self._answers.unanswered.remove(transaction, update.event_id)
        await self._answers.unanswered.save(transaction, before_revision=update.revision)

    def _judged(self, updates: Sequence[Update], known: DeviceVersions, *, is_final: bool) -> Verdict:
        device = self._answers.fleet.device(self.device_id)
        assert device is not None, "asked for just before"
        now_ms, demands = self._answers.author.clock.unix_ms(), self._answers.demands
        return judge(updates, device, known, now_ms=now_ms, is_final=is_final, demands=demands)


def stored_configuration(update: Update, *, now_ms: int) -> StoredConfiguration:
    """Return what is kept of an update that comes into force."""
    return StoredConfiguration(
        device_id=update.device_id,
        version=update.config_version,
        update_event_id=update.event_id,
        update_revision=update.revision,
        correlation_id=update.correlation_id,
        document=encode_json(_finite(update.document)),
        applied_at_ms=now_ms,
    )


def history_item(decision: Decision, changes: Sequence[Change], *, now_ms: int) -> HistoryItem:
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


def _reference(update: Update | Unreadable) -> Reference:
    """Return the update that an event speaks of, for its metadata."""
    return Reference(
        config_version=update.config_version, causation_id=update.event_id, correlation_id=update.correlation_id
    )


def _fact(decision: Decision, changes: tuple[Change, ...]) -> DeviceConfigurationApplied | DeviceConfigurationRejected:
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


def _finite(value: object) -> Json:
    """Return JSON as it was read; what is not a number becomes null, which is as if it were absent."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    assert isinstance(value, bool | int | float | str) or value is None
    return value


def _text(text: str | None) -> str | None:
    return None if text is None else text[:TEXT_LENGTH_MAX]


def _pending(event: RecordedEvent, *, read_at_ms: int) -> PendingUpdate:
    return PendingUpdate(
        event_id=event.event_id,
        revision=event.revision,
        type=event.type,
        data=event.data,
        metadata=event.metadata,
        read_at_ms=read_at_ms,
    )


def _recorded(pending: PendingUpdate, stream: str) -> RecordedEvent:
    return RecordedEvent(
        event_id=pending.event_id,
        type=pending.type,
        data=pending.data,
        metadata=pending.metadata,
        stream=stream,
        revision=pending.revision,
    )
