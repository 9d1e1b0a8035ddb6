"""Whether an entry stands in the stream it belongs to.

A fault of an earlier release gave one number to two streams: what was written for one of them was forwarded into the
other. Such an entry is recognised by what it says of itself, and never forwarded.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from edge.domain.author import STATUS_TYPES, Author, encode_json
from edge.domain.event import Draft, EventType
from edge.domain.facts import EventQuarantined
from edge.storage import sql
from edge.storage.batch import LOST, StreamNames
from edge.storage.database import Reader
from edge.storage.entries import DEVICE, Entry, run_of, sampled

# Start looks at so many of the newest control entries: enough for days of an ordinary site, read in some milliseconds.
CONTROL_ENTRIES_LOOKED_AT = 2000

# A plain text: comparing with a member of the enumeration takes three times as long.
_TELEMETRY = EventType.SENSOR_READING_RECEIVED.value
_OWN_TYPES = frozenset(EventType) - {EventType.SENSOR_READING_RECEIVED, EventType.DEVICE_CONFIGURATION_UPDATED}


class Damage(NamedTuple):
    """Something that is wrong with the file, and cannot be mended without a person."""

    stream: str
    message: str


class Stray(NamedTuple):
    """An entry in the wrong stream, and how it is set aside."""

    entry: Entry
    fact: EventQuarantined
    reason: str
    declarations: tuple[Draft, ...]


class Placement:
    """Knows where each kind of event belongs under the site's templates.

    The site may have had other templates when an entry was written. So an entry is called a stray only where its stream
    is, under the templates of today, the stream of another kind or of another device.
    """

    def __init__(self, author: Author) -> None:
        self._author = author
        templates = author.streams
        self._gateway = author.stream(templates.gateway)
        self._status = author.stream(templates.configuration_status)
        # Matches the names of all devices' streams. A template may leave the device out, or name it twice.
        device = re.escape(author.stream(templates.sensor_readings, "\0")).split(re.escape("\0"))
        self._sensor_readings = re.compile(
            "([a-z0-9_-]+)".join(device[:2]) + "".join(rf"\1{rest}" for rest in device[2:])
        )
        # How the last sample of each stream that was in its place began, up to the end of its device's id. The next one
        # begins in the same way: comparing costs a tenth of looking for the id.
        self._beginnings: dict[int, bytes] = {}

    def find_strays(self, entries: Iterable[Entry], name: Callable[[int], str]) -> Iterator[Stray]:
        """Find entries that certainly do not belong to the stream they stand in, and say what to do about each."""
        for entry in entries:
            beginning = self._beginnings.get(entry.stream)
            if beginning is not None and entry.type == _TELEMETRY and entry.data.startswith(beginning):
                continue
            stands_in = name(entry.stream)
            home = self._home_of_stray(entry, stands_in)
            if home is not None:
                yield self._stray(entry, stands_in, home)

    def _home_of_stray(self, entry: Entry, stands_in: str) -> str | None:
        if entry.type != _TELEMETRY:
            return self._certain(self._home_of_control(entry.type), stands_in)
        device = DEVICE.search(entry.data)
        if device is None:
            return None
        home = self._certain(self._author.stream(self._author.streams.sensor_readings, device[1].decode()), stands_in)
        if home is None:
            self._beginnings[entry.stream] = entry.data[: device.end()]
        return home

    def _stray(self, entry: Entry, stands_in: str, home: str) -> Stray:
        sample = sampled(entry)
        detail = f"it was written into {stands_in} and belongs to {home}"
        fact = EventQuarantined(
            device_id=None if sample is None else sample.device_id,
            stream=stands_in,
            event_id=entry.event_id,
            event_type=entry.type,
            position=entry.position,
            run=run_of(entry.metadata),
            sequence=None if sample is None else sample.sequence,
            reason="misplaced",
            detail=detail,
        )
        return Stray(
            entry=entry,
            fact=fact,
            reason=encode_json(["misplaced", detail]),
            declarations=(self._author.control(fact),),
        )

    def _home_of_control(self, event_type: str) -> str | None:
        if event_type in STATUS_TYPES:
            return self._status
        # Nothing is certain of a type that only a newer release knows.
        return self._gateway if event_type in _OWN_TYPES else None

    def _certain(self, home: str | None, stands_in: str) -> str | None:
        if home is None or home == stands_in:
            return None
        is_anothers = stands_in in {self._gateway, self._status} or self._sensor_readings.fullmatch(stands_in)
        return home if is_anothers else None

    def control_damage(self, event_type: str, stands_in: str, *, count: int, newest: int) -> Damage | None:
        """Say what is wrong with control events of a type in a stream; None if nothing is."""
        home = self._certain(self._home_of_control(event_type), stands_in)
        if home is None:
            return None
        message = (
            f"{count} events {event_type} stand in {stands_in} and belong to {home}, the newest at position {newest}"
        )
        return Damage(stands_in, message)


async def newest_control_places(reader: Reader) -> list[tuple[int, str, int, int]]:
    """Return (stream, type, how many, position of the newest) of the newest control entries."""
    rows = await reader.fetch_all(sql.CONTROL_PLACES, (CONTROL_ENTRIES_LOOKED_AT,))
    return [(number, event_type, count, newest) for number, event_type, count, newest in rows]


async def find_damage(reader: Reader, streams: StreamNames, placement: Placement | None) -> Sequence[Damage]:
    """Look for streams whose name is lost, and for control events in streams of another kind."""
    damage = [Damage(streams.name(number), LOST) for number in streams.lost()]
    if placement is not None:
        for number, event_type, count, newest in await newest_control_places(reader):
            found = placement.control_damage(event_type, streams.name(number), count=count, newest=newest)
            damage += [] if found is None else [found]
    return damage
