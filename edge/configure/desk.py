"""The desk where updates wait and are answered: every step is one transaction, so that a crash finds all or nothing.

What stands here in memory is a copy of the database, made when the subscription began. When a transaction fails the desk
is thrown away, and the next subscription begins with a new one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from edge.configure.announce import Announcer
from edge.configure.answer import answer_event_id, draft_answer, history_item
from edge.configure.effective import stored_configuration
from edge.configure.judge import Decision, Outcome, Verdict, judge, raised, reject_unknown_device, reject_unreadable
from edge.configure.plan import changes
from edge.configure.reading import Unreadable, Update, read_update
from edge.domain.author import Author
from edge.domain.configuration import Change, DeviceFleet
from edge.domain.event import EventType, RecordedEvent
from edge.storage.answers import PendingUpdate, add_answer, add_pending, find_outcome, load_pending
from edge.storage.checkpoints import Checkpoint, add_checkpoint
from edge.storage.configurations import (
    DeviceVersions,
    append_history,
    load_configurations,
    load_versions,
    reposition_history,
    save_configuration,
    save_versions,
)
from edge.storage.database import Writer
from edge.storage.outbox import Outbox
from edge.storage.transaction import OutboxTransaction

log = structlog.get_logger()


@dataclass(kw_only=True)
class Waiting:
    """What has been read of the stream, and what of it has no answer yet."""

    # The event before each unanswered update: the checkpoint must not pass it. None = the stream's first event.
    before: dict[UUID, Checkpoint | None] = field(default_factory=dict)
    revisions: dict[UUID, int] = field(default_factory=dict)
    # The newest event that was read.
    last: Checkpoint | None

    def add(self, event_id: UUID, revision: int, before: Checkpoint | None) -> None:
        """Let an update wait."""
        self.before.setdefault(event_id, before)
        self.revisions.setdefault(event_id, revision)

    def remove(self, event_id: UUID) -> None:
        """Let go of an update that is answered."""
        self.before.pop(event_id, None)
        self.revisions.pop(event_id, None)

    def checkpoint(self) -> Checkpoint | None:
        """Return the last event before everything unanswered; None if there is none, or it is not known."""
        if not self.revisions:
            return self.last
        return self.before.get(min(self.revisions, key=lambda event_id: self.revisions[event_id]))


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
        self._checkpoint = resumed_at
        self._has_restored = False

    @property
    def waiting_count(self) -> int:
        """How many updates wait for their answer."""
        return len(self._waiting.revisions)

    async def open(self) -> None:
        """Find what an earlier run left."""
        for pending in await load_pending(self._outbox.database):
            self._waiting.revisions[pending.event_id] = pending.revision

    async def take(self, events: Sequence[RecordedEvent]) -> None:
        """Take in events in the order of the stream: keep what must be judged, answer what cannot be, skip the rest."""
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
        update = read_update(event)
        outcome = await find_outcome(transaction, event.event_id)
        if outcome is not None:
            self._waiting.remove(event.event_id)
            await self._replay(transaction, update, outcome)
            return
        decision = self._decide_unread(update)
        if decision is not None:
            await self._answer(transaction, decision)
            return
        self._waiting.add(event.event_id, event.revision, before)
        await add_pending(transaction, [_pending(event, read_at_ms=self._author.clock.unix_ms())])

    async def settle(self, *, is_final: bool) -> None:
        """Judge what waits. `is_final`: the stream was read to its end, so the last valid update of a device applies."""
        if is_final and self._has_restored:
            await self._announcer.announce()
            self._has_restored = False
            log.warning("configurations_restored", stream=self._stream)
        if not self._waiting.revisions:
            return
        by_device: defaultdict[str, list[Update]] = defaultdict(list)
        for pending in await load_pending(self._outbox.database):
            update = read_update(_recorded(pending, self._stream))
            decision = self._decide_unread(update)
            if decision is not None:
                # Only after the site file has lost the device since the update was read.
                await self._carry_out([decision], None)
            elif isinstance(update, Update):
                by_device[update.device_id].append(update)
        versions = await load_versions(self._outbox.database)
        for device_id, updates in by_device.items():
            device = self._fleet.device(device_id)
            assert device is not None, "devices never leave while the gateway runs"
            verdict = judge(
                updates,
                device,
                versions.get(device_id, DeviceVersions()),
                now_ms=self._author.clock.unix_ms(),
                is_final=is_final,
            )
            await self._carry_out(verdict.decisions, verdict)

    async def _carry_out(self, decisions: Sequence[Decision], verdict: Verdict | None) -> None:
        if not decisions:
            return
        async with self._outbox.transaction() as transaction:
            for decision in decisions:
                await self._answer(transaction, decision)
            if verdict is not None and decisions[0].update.device_id is not None:
                await save_versions(transaction, decisions[0].update.device_id, verdict.versions)
            await self._save_checkpoint(transaction)

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

    async def _replay(self, transaction: Writer, update: Update | Unreadable, outcome: str) -> None:
        """Take in what an answered update did, if this database does not know: it is new, or an older copy."""
        if isinstance(update, Unreadable) or self._fleet.device(update.device_id) is None:
            return
        device_id, version = update.device_id, update.config_version
        known = (await load_versions(transaction)).get(device_id, DeviceVersions())
        versions = raised(known, Outcome(outcome), version)
        if versions != known:
            await save_versions(transaction, device_id, versions)
        decision = Decision(update=update, outcome=Outcome(outcome))
        if not await reposition_history(transaction, update.event_id, update.revision):
            await append_history(transaction, history_item(decision, (), now_ms=self._author.clock.unix_ms()))
        in_force = (await load_configurations(transaction)).get(device_id)
        if outcome == Outcome.APPLIED and (in_force is None or in_force.version < version):
            await save_configuration(transaction, stored_configuration(update, now_ms=self._author.clock.unix_ms()))
            self._has_restored = True

    async def _save_checkpoint(self, transaction: Writer) -> None:
        checkpoint = self._waiting.checkpoint()
        if checkpoint is not None and checkpoint != self._checkpoint:
            await add_checkpoint(transaction, self._stream, checkpoint)
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
