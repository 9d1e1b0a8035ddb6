"""The desk where updates wait and are answered: every step is one transaction, so that a crash finds all or nothing.

What stands here in memory is a copy of the database, made when the subscription began. When a transaction fails the desk
is thrown away, and the next subscription begins with a new one.

An update is judged when it is read. Of each device at most one waits, the last valid one: so what is held grows with the
devices of the site, and the work with the updates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from edge.configure.announce import Announcer
from edge.configure.answer import answer_event_id, draft_answer, draft_restored, history_item
from edge.configure.effective import stored_configuration
from edge.configure.judge import Decision, Outcome, Verdict, judge, raised, reject_unknown_device, reject_unreadable
from edge.configure.reading import Unreadable, Update, read_update
from edge.domain.author import Author
from edge.domain.configuration import Change, DeviceFleet, changes
from edge.domain.event import EventType, RecordedEvent
from edge.storage.answers import (
    PendingUpdate,
    add_answer,
    add_pending,
    find_outcome,
    load_pending,
    remove_old_answers,
    reposition_answer,
)
from edge.storage.batch import OutboxTransaction
from edge.storage.configurations import (
    append_history,
    find_missing,
    find_version,
    find_versions,
    load_missing,
    reposition_history,
    save_configuration,
    save_versions,
)
from edge.storage.database import Writer
from edge.storage.outbox import Outbox
from edge.storage.remembered import Checkpoint, add_checkpoint

log = structlog.get_logger()


@dataclass(kw_only=True)
class Waiting:
    """What has been read of the stream, and what of it has no answer yet."""

    # The event before each unanswered update: the checkpoint must not pass it. None = the stream's first event.
    before: dict[UUID, Checkpoint | None] = field(default_factory=dict)
    # In the order of the stream.
    revisions: dict[UUID, int] = field(default_factory=dict)
    # The newest event that was read.
    last: Checkpoint | None

    def add(self, event_id: UUID, revision: int, before: Checkpoint | None) -> bool:
        """Let an update wait; False if it does already. Updates come in the order of the stream."""
        is_new = event_id not in self.revisions
        self.before.setdefault(event_id, before)
        self.revisions.setdefault(event_id, revision)
        return is_new

    def remove(self, event_id: UUID) -> None:
        """Let go of an update that is answered."""
        self.before.pop(event_id, None)
        self.revisions.pop(event_id, None)

    def checkpoint(self) -> Checkpoint | None:
        """Return the last event before everything unanswered; None if there is none, or it is not known."""
        if not self.revisions:
            return self.last
        return self.before.get(next(iter(self.revisions)))


class Desk:
    """Takes in what the configuration stream says, and settles it."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        author: Author,
        fleet: DeviceFleet,
        announcer: Announcer,
        resumed_at: Checkpoint | None,
    ) -> None:
        self._outbox = outbox
        self._author = author
        self._fleet = fleet
        self._announcer = announcer
        self._stream = author.stream(author.streams.configuration)
        self._waiting = Waiting(last=resumed_at)
        # The last valid update of each device, until the stream has been read to its end.
        self._undecided: dict[str, Update] = {}
        self._checkpoint = resumed_at
        # Whether the fleet is to be told what was restored, or could not be.
        self._has_news = False

    async def open(self) -> None:
        """Judge what an earlier run read and did not answer."""
        pending = await load_pending(self._outbox.database)
        self._has_news = bool(await load_missing(self._outbox.database))
        if not pending:
            return
        async with self._outbox.transaction() as transaction:
            for item in pending:
                self._waiting.revisions[item.event_id] = item.revision
                await self._judge(transaction, _recorded(item, self._stream))

    async def take(self, events: Sequence[RecordedEvent]) -> None:
        """Take in events in the order of the stream: judge the updates, and answer all that need not wait."""
        if not events:
            return
        async with self._outbox.transaction() as transaction:
            for event in events:
                before, self._waiting.last = self._waiting.last, Checkpoint(event.revision, event.event_id)
                await self._take_one(transaction, event, before)
            await self._save_checkpoint(transaction)

    async def _take_one(self, transaction: OutboxTransaction, event: RecordedEvent, before: Checkpoint | None) -> None:
        if event.type != EventType.DEVICE_CONFIGURATION_UPDATED:
            log.info("event_skipped", stream=event.stream, revision=event.revision, type=event.type[:100])
            return
        outcome = await find_outcome(transaction, event.event_id)
        if outcome is not None:
            await self._replay(transaction, event, Outcome(outcome))
        elif self._waiting.add(event.event_id, event.revision, before):
            await self._judge(transaction, event)

    async def _judge(self, transaction: OutboxTransaction, event: RecordedEvent) -> None:
        update = read_update(event)
        decision = self._decide_unread(update)
        if decision is not None:
            await self._answer(transaction, decision)
        elif isinstance(update, Update):
            held = self._undecided.get(update.device_id)
            verdict = await self._carry_out(transaction, [update] if held is None else [held, update], is_final=False)
            if verdict.undecided is not None:
                self._undecided[update.device_id] = verdict.undecided
            elif held is not None:
                # Its time has passed meanwhile.
                del self._undecided[update.device_id]
            if verdict.undecided is update:
                await add_pending(transaction, _pending(event, read_at_ms=self._author.clock.unix_ms()))

    async def settle(self) -> None:
        """Apply the last valid update of each device: the stream was read to its end."""
        if self._has_news:
            await self._announcer.announce()
            self._has_news = False
        while self._undecided:
            update = self._undecided[next(iter(self._undecided))]
            async with self._outbox.transaction() as transaction:
                await self._carry_out(transaction, [update], is_final=True)
                await self._save_checkpoint(transaction)
            del self._undecided[update.device_id]

    async def _carry_out(self, transaction: OutboxTransaction, updates: Sequence[Update], *, is_final: bool) -> Verdict:
        """Judge updates of one device, and answer those that are decided."""
        device_id = updates[0].device_id
        device = self._fleet.device(device_id)
        assert device is not None, "devices never leave while the gateway runs"
        versions = await find_versions(transaction, device_id)
        verdict = judge(updates, device, versions, now_ms=self._author.clock.unix_ms(), is_final=is_final)
        for decision in verdict.decisions:
            await self._answer(transaction, decision)
        if verdict.versions != versions:
            await save_versions(transaction, device_id, verdict.versions)
        return verdict

    async def _answer(self, transaction: OutboxTransaction, decision: Decision) -> None:
        update, now_ms = decision.update, self._author.clock.unix_ms()
        made: tuple[Change, ...] = ()
        if decision.configuration is not None:
            assert isinstance(update, Update), "what cannot be read is never applied"
            made = changes(self._fleet.configuration(update.device_id), decision.configuration)
            await save_configuration(transaction, stored_configuration(update, now_ms=now_ms))
        transaction.append(draft_answer(self._author, decision, made))
        await add_answer(
            transaction,
            update_event_id=update.event_id,
            update_revision=update.revision,
            answer_event_id=answer_event_id(update.event_id),
            outcome=decision.outcome,
            answered_at_ms=now_ms,
        )
        await append_history(transaction, history_item(decision, made, now_ms=now_ms))
        if decision.configuration is not None:
            await self._announcer.write(transaction, decision.configuration)
        self._waiting.remove(update.event_id)
        log.info(
            "configuration_answered",
            outcome=decision.outcome.value,
            device_id=update.device_id,
            config_version=update.config_version,
            update_revision=update.revision,
            errors=[mistake.message for mistake in decision.mistakes[:5]],
        )

    def _decide_unread(self, update: Update | Unreadable) -> Decision | None:
        if isinstance(update, Unreadable):
            return reject_unreadable(update)
        return reject_unknown_device(update) if self._fleet.device(update.device_id) is None else None

    async def _replay(self, transaction: OutboxTransaction, event: RecordedEvent, outcome: Outcome) -> None:
        """Take in what an answered update did, if this database does not know: it is new, or an older copy.

        Also of a device that there is not: a group may adopt it again, or the site file name it again.
        """
        await reposition_answer(transaction, event.event_id, event.revision)
        update = read_update(event)
        if isinstance(update, Unreadable):
            return
        known = await find_versions(transaction, update.device_id)
        versions = raised(known, outcome, update.config_version)
        if versions != known:
            await save_versions(transaction, update.device_id, versions)
        if not await reposition_history(transaction, update.event_id, update.revision):
            decision = Decision(update=update, outcome=outcome)
            await append_history(transaction, history_item(decision, (), now_ms=self._author.clock.unix_ms()))
        missing = await find_missing(transaction, update.device_id)
        if missing is not None and missing.update_event_id == update.event_id:
            await self._restore(transaction, update)

    async def _restore(self, transaction: OutboxTransaction, update: Update) -> None:
        """Keep the configuration that the status stream says is in force; `settle` puts it into force."""
        before = await find_version(transaction, update.device_id)
        await save_configuration(transaction, stored_configuration(update, now_ms=self._author.clock.unix_ms()))
        if self._fleet.device(update.device_id) is not None:
            transaction.append(draft_restored(self._author, update, from_version=before))
        log.warning(
            "configuration_restored",
            device_id=update.device_id,
            config_version=update.config_version,
            from_version=before,
            update_revision=update.revision,
        )
        self._has_news = True

    async def _save_checkpoint(self, transaction: Writer) -> None:
        checkpoint = self._waiting.checkpoint()
        if checkpoint is not None and checkpoint != self._checkpoint:
            await add_checkpoint(transaction, self._stream, checkpoint)
            await remove_old_answers(transaction, checkpoint_revision=checkpoint.revision)
            self._checkpoint = checkpoint


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
