"""A small site for the tests of collecting: settings with few words, an author, and an outbox one can look into."""

import asyncio
import itertools
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from edge.domain.author import Author
from edge.domain.clock import Clock
from edge.domain.event import Draft, EventType, Numbers
from edge.domain.quantity import IDENTITY
from edge.domain.settings import (
    ConnectionSettings,
    DeviceGroup,
    DeviceSettings,
    PointSettings,
    Range,
    StreamTemplates,
    ValueType,
)
from edge.storage.remembered import OpenAlarms
from fakes.contract_check import breaches

RUN = UUID("018f0000-0000-7000-8000-000000000001")
BOOT_ID = UUID("018f0000-0000-7000-8000-000000000002")


def point(point_id: str = "air_temperature", **changes: Any) -> PointSettings:
    given: dict[str, Any] = {
        "id": point_id,
        "quantity": "air_temperature",
        "type": ValueType.NUMBER,
        "unit": "Cel",
        "conversion": IDENTITY,
        "options": None,
        "range": Range(low=-40, high=80),
    }
    return PointSettings(**given | changes)


def device(device_id: str, *points: PointSettings, **changes: Any) -> DeviceSettings:
    given: dict[str, Any] = {
        "id": device_id,
        "points": points or (point(),),
        "poll_interval_s": 1.0,
        "max_silence_s": 6.0,
        "options": None,
    }
    return DeviceSettings(**given | changes)


def connection(
    *devices: DeviceSettings, connection_id: str = "line-a", groups: tuple[DeviceGroup, ...] = ()
) -> ConnectionSettings:
    return ConnectionSettings(id=connection_id, driver="fake", options=None, devices=devices, groups=groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Device options that know groups."""

    topic: str

    def for_member(self, name: str) -> "Topic":
        return Topic(topic=self.topic.replace("{name}", name))

    def is_same_device(self, other: object) -> bool:
        return self == other


def group(group_id: str = "radio-{name}", **changes: Any) -> DeviceGroup:
    """A group that adopts."""
    given: dict[str, Any] = {
        "template": device(group_id, options=Topic(topic="radio/{name}")),
        "adopt": True,
        "devices_max": 10,
    }
    return DeviceGroup(**given | changes)


def author(clock: Clock) -> Author:
    counter = itertools.count(1)
    return Author(
        site_id="north-1",
        gateway_id="north-1",
        run=RUN,
        boot_id=BOOT_ID,
        streams=StreamTemplates(),
        clock=clock,
        new_id=lambda: UUID(int=next(counter)),
    )


@dataclass(frozen=True, kw_only=True)
class Written:
    """An event as the fake outbox has it on its disk."""

    type: EventType
    stream: str
    data: dict[str, Any]
    metadata: dict[str, Any]
    source_key: bytes
    event_id: UUID


class FakeOutbox:
    """Takes drafts into a bounded queue and commits them when told, or every `commit_interval_s`."""

    def __init__(self, *, room: int = 1_000_000, commit_interval_s: float = 0.5) -> None:
        self.room = room
        self.commit_interval_s = commit_interval_s
        self.is_stuck = False
        # How often somebody asked for a commit at once.
        self.hurried = 0
        self._hurried = asyncio.Event()
        self.events: list[Written] = []
        self.alarms = OpenAlarms()
        self._queue: list[Draft] = []
        self._sequences: dict[str, int] = {}

    def offer(self, draft: Draft, *, can_wait: bool = False) -> bool:
        if not self.alarms.is_news(draft):
            return True
        if len(self._queue) >= (self.room / 2 if can_wait else self.room):
            return False
        self.alarms.note(draft)
        self._queue.append(draft)
        return True

    def hurry(self) -> None:
        self.hurried += 1
        self._hurried.set()

    def commit(self) -> None:
        queue, self._queue = self._queue, []
        for draft in queue:
            sequence = None
            if draft.device_id is not None:
                sequence = self._sequences[draft.device_id] = self._sequences.get(draft.device_id, 0) + 1
            data, metadata = draft.encode(Numbers(position=len(self.events) + 1, sequence=sequence))
            # What does not fit the published contract must not pass any test.
            assert breaches(draft.type, data, metadata) == []
            self.events.append(
                Written(
                    type=draft.type,
                    stream=draft.stream,
                    data=json.loads(data),
                    metadata=json.loads(metadata),
                    source_key=draft.source_key,
                    event_id=draft.event_id,
                )
            )
        for draft in queue:
            if draft.on_accepted is not None:
                draft.on_accepted()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.commit_interval_s):
                    await self._hurried.wait()
            self._hurried.clear()
            if not self.is_stuck:
                self.commit()

    def of(self, event_type: EventType, device_id: str | None = None) -> Sequence[Written]:
        return [
            event
            for event in self.events
            if event.type is event_type and device_id in {None, event.data.get("deviceId")}
        ]

    def samples(self, device_id: str | None = None) -> Sequence[Written]:
        return self.of(EventType.SENSOR_READING_RECEIVED, device_id)

    def control_types(self) -> list[str]:
        return [event.type.value for event in self.events if event.type is not EventType.SENSOR_READING_RECEIVED]


def values(events: Iterable[Written], point_id: str = "air_temperature") -> list[object]:
    return [event.data["readings"][point_id]["value"] for event in events]
