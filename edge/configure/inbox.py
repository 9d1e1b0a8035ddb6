"""Takes in the configuration stream: each update goes to the case of its device, each case is a task of its own."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from edge.configure.case import Answers, Case
from edge.configure.given_answers import replay
from edge.configure.judge import Outcome, reject_unknown_device, reject_unreadable
from edge.configure.reading import Unreadable, Update, read_update
from edge.domain.event import EventType, RecordedEvent
from edge.storage.batch import OutboxTransaction
from edge.storage.configurations import find_outcome, find_versions, load_missing
from edge.storage.remembered import Checkpoint

log = structlog.get_logger()


class Inbox:
    """Takes in events, and starts cases. Nothing in here waits for a device.

    - What is not decided by judging alone waits until the stream was read to its end.
    - There are at most as many cases, and tasks, as devices with an update that waits or is being applied.
    - A commit that fails ends the inbox and its cases: the next inbox is read from the database.
    """

    def __init__(self, answers: Answers, tasks: asyncio.TaskGroup, *, on_settled: Callable[[], None]) -> None:
        self._answers = answers
        self._outbox = answers.outbox
        self._unanswered = answers.unanswered
        self._tasks = tasks
        # Nothing is left to apply of what was read.
        self._on_settled = on_settled
        self._cases: dict[str, Case] = {}
        self._is_open = False
        # Whether the stream was read to its end.
        self._is_live = False
        # Whether the fleet is to be told what was restored, or could not be.
        self._has_news = False

    @property
    def last(self) -> Checkpoint | None:
        """The newest event that was taken in; None before the first."""
        return self._unanswered.last if self._is_open else None

    async def open(self, resumed_at: Checkpoint | None) -> None:
        """Begin, or begin again, to read the stream. At first, judge what an earlier run read and did not answer."""
        self._is_live = False
        self._has_news = self._has_news or bool(await load_missing(self._outbox.database))
        if self._is_open:
            return
        pending = await self._unanswered.open(self._outbox.database, resumed_at)
        if pending:
            async with self._outbox.transaction() as transaction:
                for event in pending:
                    await self._take_pending(transaction, event)
        self._is_open = True

    async def take(self, events: Sequence[RecordedEvent]) -> None:
        """Take in events in the order of the stream, before its end: what may be superseded waits."""
        if not events:
            return
        async with self._outbox.transaction() as transaction:
            for event in events:
                await self._take(transaction, event, None)
            await self._unanswered.save(transaction)

    async def caught_up(self) -> None:
        """Apply the last valid update of each device: the stream was read to its end."""
        await self._say_what_is_restored()
        self._is_live = True
        for device_id in list(self._cases):
            self._start(device_id)
        self._tell_if_settled()

    async def take_one(self, event: RecordedEvent) -> None:
        """Take in the next event after the stream's end, and go on at once.

        A valid update whose device has none yet is written once, with its answer.
        """
        update = read_update(event) if event.type == EventType.DEVICE_CONFIGURATION_UPDATED else None
        if not isinstance(update, Update) or not await self._begins(update, event):
            async with self._outbox.transaction() as transaction:
                await self._take(transaction, event, update)
                await self._unanswered.save(transaction)
        await self._say_what_is_restored()
        if isinstance(update, Update):
            self._start(update.device_id)

    async def _begins(self, update: Update, event: RecordedEvent) -> bool:
        """Whether an update begins a new case."""
        device_id, database = update.device_id, self._outbox.database
        if event.event_id in self._unanswered or await find_outcome(database, event.event_id) is not None:
            return False
        known = await find_versions(database, device_id)
        # No await from here on: no other commit may move the checkpoint before the update is noted.
        if device_id in self._cases or self._answers.fleet.device(device_id) is None:
            return False
        case = Case(device_id, self._answers)
        if not case.begins_with(update, known):
            return False
        self._cases[device_id] = case
        self._unanswered.note(event, is_unanswered=True)
        return True

    async def _take(
        self, transaction: OutboxTransaction, event: RecordedEvent, update: Update | Unreadable | None
    ) -> None:
        if event.type != EventType.DEVICE_CONFIGURATION_UPDATED:
            self._unanswered.note(event, is_unanswered=False)
            log.info("event_skipped", stream=event.stream, revision=event.revision, type=event.type[:100])
            return
        outcome = await find_outcome(transaction, event.event_id)
        is_new = outcome is None and event.event_id not in self._unanswered
        self._unanswered.note(event, is_unanswered=is_new)
        if is_new:
            await self._judge(transaction, update or read_update(event))
        elif outcome is not None:
            await self._replay(transaction, update or read_update(event), outcome)

    async def _take_pending(self, transaction: OutboxTransaction, event: RecordedEvent) -> None:
        outcome = await find_outcome(transaction, event.event_id)
        if outcome is None:
            await self._judge(transaction, read_update(event), was_valid=True)
            return
        # This database is an older copy: the status stream told. The checkpoint has passed the update.
        await self._replay(transaction, read_update(event), outcome)
        await self._unanswered.remove(transaction, event.event_id)

    async def _replay(self, transaction: OutboxTransaction, update: Update | Unreadable, outcome: str) -> None:
        is_restored = await replay(transaction, update, Outcome(outcome), self._answers)
        self._has_news = self._has_news or is_restored

    async def _judge(
        self, transaction: OutboxTransaction, update: Update | Unreadable, *, was_valid: bool = False
    ) -> None:
        if isinstance(update, Unreadable):
            await self._answers.write(transaction, reject_unreadable(update))
        elif self._answers.fleet.device(update.device_id) is None:
            await self._answers.write(transaction, reject_unknown_device(update))
        else:
            await self._case(update.device_id).take(transaction, update, was_valid=was_valid)

    def _case(self, device_id: str) -> Case:
        return self._cases.setdefault(device_id, Case(device_id, self._answers))

    async def _say_what_is_restored(self) -> None:
        if self._has_news:
            await self._answers.announcer.announce()
            self._has_news = False

    def _start(self, device_id: str) -> None:
        """Have a device's case go on, if one waits."""
        case = self._cases.get(device_id)
        if case is not None and case.is_idle:
            del self._cases[device_id]
        elif case is not None and not case.is_running:
            case.is_running = True
            self._tasks.create_task(self._run(case), name=f"case of {device_id}")

    async def _run(self, case: Case) -> None:
        while self._is_live and case.waiting is not None:
            await case.run_one()
        case.is_running = False
        if case.is_idle:
            del self._cases[case.device_id]
        self._tell_if_settled()

    def _tell_if_settled(self) -> None:
        if self._is_live and not self._cases:
            self._on_settled()
