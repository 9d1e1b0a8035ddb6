"""What must be true of the store at the end, whatever happened (P2): returns the violations as sentences."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from uuid import UUID

from edge.domain.event import EventType, NewEvent, RecordedEvent
from fakes.alarm_check import alarm_violations
from fakes.event_store import StreamState
from fakes.forwarding_world import GATEWAY, Accepted, World

# A sample with this text in it is refused by the stores of the tests that are about such events.
POISON = "poison"


def is_poison(event: NewEvent | Accepted) -> bool:
    return POISON.encode() in event.data


def set_aside_in_vain(world: World) -> list[str]:
    """Find what is in quarantine though the event store, once it is well, would take it."""
    return [
        f"event {event_id} is set aside, and there is nothing wrong with it"
        for event_id, accepted in world.accepted.items()
        if event_id in _quarantined(world.store.streams) and not is_poison(accepted)
    ]


def violations(world: World) -> list[str]:
    """Find everything that breaks the promise."""
    ours = {
        stream: [event for event in state.events if event.event_id in world.accepted or _claims_ours(event)]
        for stream, state in world.store.streams.items()
    }
    return [
        *_doubled(ours),
        *_missing(world, ours),
        *_invented(world, ours),
        *_strayed(world, ours),
        *_disordered(world, ours),
        *_gaps(world, ours),
        *_false_alarms(world, ours),
        *_alarms(world, ours),
    ]


Streams = dict[str, list[RecordedEvent]]


def _claims_ours(event: RecordedEvent) -> bool:
    return bool(json.loads(event.data).get("gatewayId") == GATEWAY)


def _metadata(event: RecordedEvent | Accepted) -> tuple[str, int]:
    metadata = json.loads(event.metadata)
    return metadata["run"], metadata["position"]


def _doubled(ours: Streams) -> Iterator[str]:
    counts = Counter(event.event_id for events in ours.values() for event in events)
    yield from (f"event {event_id} is there {count} times" for event_id, count in counts.items() if count > 1)


def _quarantined(streams: Mapping[str, StreamState]) -> set[UUID]:
    return {
        UUID(json.loads(event.data)["eventId"])
        for state in streams.values()
        for event in state.events
        if event.type == EventType.EVENT_QUARANTINED
    }


def _may_be_undeclared(world: World, event: Accepted) -> bool:
    """A database that was replaced by an older copy took with it that an event was set aside."""
    return bool(world.excused) and is_poison(event)


def _missing(world: World, ours: Streams) -> Iterator[str]:
    there = {event.event_id for events in ours.values() for event in events}
    quarantined = _quarantined(world.store.streams)
    may_be_missing = _declared_losses(world)
    for event_id, accepted in world.accepted.items():
        if accepted.stream in world.deleted or _may_be_undeclared(world, accepted):
            continue
        if event_id in there | world.excused | quarantined:
            continue
        may_be_missing[accepted.stream] -= 1
        if may_be_missing[accepted.stream] < 0:
            yield f"accepted event {event_id} (position {accepted.position} of {accepted.stream}) is missing"


def _declared_losses(world: World) -> Counter[str]:
    """How many events of each stream retention did not have any more when the event store was restored."""
    losses: Counter[str] = Counter()
    if world.retention_is_short:
        for accepted in world.accepted.values():
            body = json.loads(accepted.data)
            if "sentAgain" in body:
                losses[body["stream"]] += body["lost"]
    return losses


def _invented(world: World, ours: Streams) -> Iterator[str]:
    for stream, events in ours.items():
        for event in events:
            accepted = world.accepted.get(event.event_id)
            if accepted is None:
                yield f"event {event.event_id} in {stream} was never accepted"
            elif (accepted.stream, accepted.data, accepted.metadata) != (stream, event.data, event.metadata):
                yield f"event {event.event_id} in {stream} is not what was accepted"


def _strayed(world: World, ours: Streams) -> Iterator[str]:
    """Each event stands in the stream that it was written for, in the outbox as in the store."""
    for event_id in world.promised - world.accepted.keys():
        yield f"event {event_id} is in a transaction that ended well, and not on disk"
    for event_id, accepted in world.accepted.items():
        intended = world.intended.get(event_id, accepted.stream)
        if accepted.stream != intended:
            yield f"event {event_id} for {intended} was accepted into {accepted.stream}"
    for stream, events in ours.items():
        for event in events:
            if world.intended.get(event.event_id, stream) != stream:
                yield f"event {event.event_id} for {world.intended[event.event_id]} stands in {stream}"


def _disordered(world: World, ours: Streams) -> Iterator[str]:
    for stream, events in ours.items():
        if stream in world.grown_exactly:
            continue
        last: dict[str, int] = {}
        for event in events:
            run, position = _metadata(event)
            if position <= last.get(run, 0):
                yield f"{stream} revision {event.revision}: position {position} after {last[run]} of run {run}"
            last[run] = position


def _gaps(world: World, ours: Streams) -> Iterator[str]:
    """Within each run a device's numbers are 1, 2, 3, … without a hole; what a copy lost is the end of a run.

    A number that an EventQuarantined declares is no hole.
    """
    undeclared = {
        (body["deviceId"], _metadata(event)[0], body["sequence"])
        for event in world.accepted.values()
        if _may_be_undeclared(world, event) and "sequence" in (body := json.loads(event.data))
    }
    numbers: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    declared: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    losses = _declared_losses(world)
    for events in ours.values():
        for event in events:
            body = json.loads(event.data)
            if "sequence" in body and event.type == EventType.SENSOR_READING_RECEIVED:
                numbers[body["deviceId"], _metadata(event)[0]].append(body["sequence"])
            elif "sequence" in body and event.type == EventType.EVENT_QUARANTINED:
                declared[body["deviceId"], body["run"]].add(body["sequence"])
    for key in numbers.keys() | declared.keys():
        stream = f"sensorReadings-{GATEWAY}.{key[0]}"
        # What a deleted stream held cannot be counted any more; what was set aside before is still declared.
        if losses[stream] or stream in world.deleted:
            continue
        sequence = numbers[key]
        known = (*sequence, *declared[key])
        excused = {number for number in range(1, max(known)) if (*key, number) in undeclared}
        whole = sorted([*sequence, *(declared[key] | excused)])
        if (sequence != sorted(sequence) and not world.grown_exactly) or whole != list(range(1, len(whole) + 1)):
            yield f"{key[0]} in run {key[1]} has numbers {sequence}, and {declared[key]} set aside"


def _false_alarms(world: World, ours: Streams) -> Iterator[str]:
    if world.store_went_back:
        return
    for stream, events in ours.items():
        if any(event.type == EventType.EVENT_STORE_RESTORED for event in events):
            yield f"{stream} says that the event store went back, and it never did"


def _alarms(world: World, ours: Streams) -> Iterator[str]:
    """An older copy of the database does not know what was open, nor a consumer what the store has lost for good."""
    told = [(event.type, json.loads(event.data)) for event in ours.get(f"gateway-{GATEWAY}", [])]
    if not world.database_went_back and not any(data.get("lost") for _, data in told):
        yield from alarm_violations(told)
