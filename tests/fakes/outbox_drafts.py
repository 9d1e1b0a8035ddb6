"""Events for the outbox as the collector and the author draft them, only shorter; and an outbox on virtual time."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from edge.domain.event import Draft, EventType, Numbers
from edge.domain.settings import OutboxSettings
from edge.storage.connection import Connect
from edge.storage.database import open_database
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox, open_outbox
from edge.storage.placement import Placement
from edge.storage.writer import Intake
from fakes.inline_sqlite import connect_inline
from fakes.virtual_time import VirtualClock

GATEWAY_STREAM = "gateway-g"


@dataclass
class Drafting:
    """Drafts events of one run, and remembers which were accepted, in order."""

    run: UUID = field(default_factory=uuid4)
    accepted: list[UUID] = field(default_factory=list)

    def sample(
        self, device_id: str = "d1", *, source_key: bytes = b"", delivery: bytes = b"", padding: int = 0
    ) -> Draft:
        def encode(numbers: Numbers) -> tuple[bytes, bytes]:
            previous = ""
            if numbers.previous is not None:
                run, sequence = numbers.previous
                previous = f',"previous":{{"run":"{run}","sequence":{sequence}}}'
            data = f'{{"deviceId":"{device_id}","sequence":{numbers.sequence}{previous},"padding":"{os.urandom(padding).hex()}"}}'
            return data.encode(), self._metadata(numbers)

        return self._draft(
            f"sensorReadings-g.{device_id}",
            EventType.SENSOR_READING_RECEIVED,
            encode,
            device_id,
            source_key=source_key,
            delivery=delivery,
        )

    def control(self, event_type: EventType = EventType.SITE_FILE_LOADED, stream: str = GATEWAY_STREAM) -> Draft:
        return self._draft(stream, event_type, lambda numbers: (b'{"siteId":"s"}', self._metadata(numbers)))

    def _draft(
        self,
        stream: str,
        event_type: EventType,
        encode: Callable[[Numbers], tuple[bytes, bytes]],
        device_id: str | None = None,
        *,
        source_key: bytes = b"",
        delivery: bytes = b"",
    ) -> Draft:
        event_id = uuid4()
        return Draft(
            stream=stream,
            event_id=event_id,
            type=event_type,
            encode=encode,
            device_id=device_id,
            source_key=source_key,
            delivery=delivery,
            on_accepted=lambda: self.accepted.append(event_id),
        )

    def _metadata(self, numbers: Numbers) -> bytes:
        return f'{{"run":"{self.run}","position":{numbers.position}}}'.encode()


@asynccontextmanager
async def virtual_outbox(
    directory: Path,
    *,
    run: UUID | None = None,
    settings: OutboxSettings | None = None,
    connect: Connect = connect_inline,
    intake: Intake | None = None,
    placement: Placement | None = None,
) -> AsyncIterator[Outbox]:
    """Open an outbox on the running virtual-time loop; nothing commits but what the test asks for."""
    settings = settings or OutboxSettings()
    async with (
        open_database(directory, settings=settings, connect=connect) as database,
        open_outbox(
            database,
            run=run or uuid4(),
            clock=VirtualClock(),
            settings=settings,
            intake=intake,
            placement=placement,
        ) as outbox,
    ):
        yield outbox


async def all_entries(outbox: Outbox) -> list[Entry]:
    """Read the whole log back."""
    last = outbox.last_position
    page = await outbox.read_after(0, bytes_max=1 << 30)
    assert page.scanned_to == last
    return page.entries


def as_after_power_cut(directory: Path, copy: Path) -> Path:
    """Copy what is in an open outbox's files right now, as a machine that lost power would find them."""
    copy.mkdir()
    for file in directory.glob("outbox.sqlite*"):
        (copy / file.name).write_bytes(file.read_bytes())
    return copy
