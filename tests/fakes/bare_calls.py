"""The calls of the event store's wire without a client library, which hides what it does not need and others do."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import grpc
import grpc.aio
import pytest
from esdbclient.protos.Grpc import shared_pb2, streams_pb2, streams_pb2_grpc
from google.protobuf.json_format import MessageToDict

ANY, EXISTS, NO_STREAM = "any", "stream_exists", "no_stream"
DELETED_FROM = 2**63 - 1
Fields = dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """How a call ended that did not succeed."""

    code: str
    details: str
    trailers: dict[str, str]


async def refusal_of(call: Any) -> Refused:
    """Make a call of which a refusal is expected."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _made(call)
    error = caught.value
    return Refused(
        error.code().name, error.details() or "", {str(key): str(value) for key, value in error.trailing_metadata()}
    )


async def _made(call: Any) -> None:
    if hasattr(call, "__aiter__"):
        _ = [item async for item in call]
    else:
        await call


def deleted(stream: str) -> Refused:
    trailers = {"exception": "stream-deleted", "stream-name": stream}
    return Refused("FAILED_PRECONDITION", f"Event stream '{stream}' is deleted.", trailers)


@dataclass(frozen=True)
class Calls:
    """The bare calls of one connection."""

    channel: grpc.aio.Channel

    @property
    def streams(self) -> Any:
        return streams_pb2_grpc.StreamsStub(self.channel)  # type: ignore[no-untyped-call]

    async def batch(self, stream: str, expected: int | str, events: Sequence[Fields]) -> Fields:
        """Append by BatchAppend; what comes back, without the correlation id."""
        request = streams_pb2.BatchAppendReq(is_final=True, correlation_id=shared_pb2.UUID(string=str(uuid4())))
        request.options.stream_identifier.stream_name = stream.encode()
        expect(request.options, "stream_position", expected)
        for event in events:
            request.proposed_messages.add(**event)
        async for response in self.streams.BatchAppend(iter([request])):
            assert response.stream_identifier.stream_name == stream.encode()
            return fields_of(response)
        raise AssertionError("no answer")

    async def single(self, stream: str, expected: int | str, events: Sequence[Fields]) -> Fields:
        """Append by the older call."""
        first = streams_pb2.AppendReq()
        first.options.stream_identifier.stream_name = stream.encode()
        expect(first.options, "revision", expected)
        requests = [first, *(_with_event(event) for event in events)]
        return fields_of(await self.streams.Append(iter(requests)))

    async def delete(self, stream: str, expected: int | str = ANY, *, for_ever: bool = False) -> Fields:
        request = streams_pb2.TombstoneReq() if for_ever else streams_pb2.DeleteReq()
        request.options.stream_identifier.stream_name = stream.encode()
        expect(request.options, "revision", expected)
        call = self.streams.Tombstone if for_ever else self.streams.Delete
        return fields_of(await call(request))

    async def read(
        self, stream: str | None, *, backwards: bool = False, limit: int = 100, start: int | str | None = None
    ) -> list[Any]:
        """Read a stream, or all (None): (revision, type) of each event, other answers as they are."""
        return [told(answer) async for answer in self.streams.Read(read_request(stream, backwards, limit, start))]

    async def documents(self, stream: str) -> list[Fields]:
        """The data of all events of a stream."""
        answers = [answer async for answer in self.streams.Read(read_request(stream, False, 100, None))]
        return [json.loads(answer.event.event.data) for answer in answers if answer.HasField("event")]


def read_request(stream: str | None, backwards: bool, limit: int | None, start: int | str | None) -> Any:
    """Read from the beginning in that direction, if nothing else is said; limit None follows."""
    request = streams_pb2.ReadReq()
    options = request.options
    options.uuid_option.string.SetInParent()
    options.no_filter.SetInParent()
    if backwards:
        options.read_direction = streams_pb2.ReadReq.Options.Backwards
    place = options.all if stream is None else options.stream
    if stream is not None:
        options.stream.stream_identifier.stream_name = stream.encode()
    if isinstance(start, int):
        options.stream.revision = start
    else:
        getattr(place, start or ("end" if backwards else "start")).SetInParent()
    if limit is None:
        options.subscription.SetInParent()
    else:
        options.count = limit
    return request


def filtered_request(type_prefix: str, window: int, multiplier: int) -> Any:
    """Follow the events of all streams whose type begins so, with a checkpoint after each window * multiplier."""
    request = read_request(None, False, None, None)
    chosen = request.options.filter
    chosen.event_type.prefix.append(type_prefix)
    chosen.max, chosen.checkpointIntervalMultiplier = window, multiplier
    return request


def told(answer: Any) -> Any:
    if answer.HasField("event"):
        return answer.event.event.stream_revision, answer.event.event.metadata["type"]
    return next(iter(fields_of(answer).items()))


def expect(options: Any, number_field: str, expected: int | str) -> None:
    if isinstance(expected, int):
        setattr(options, number_field, expected)
    else:
        getattr(options, expected).SetInParent()


def event(
    event_id: UUID | None = None,
    *,
    data: bytes = b"{}",
    event_type: str = "Noted",
    content_type: str = "application/json",
) -> Fields:
    metadata = {"type": event_type, "content-type": content_type}
    return {"id": shared_pb2.UUID(string=str(event_id or uuid4())), "metadata": metadata, "data": data}


def _with_event(fields: Fields) -> streams_pb2.AppendReq:
    return streams_pb2.AppendReq(proposed_message=streams_pb2.AppendReq.ProposedMessage(**fields))


def fields_of(message: Any) -> Fields:
    fields: Fields = MessageToDict(message, preserving_proto_field_name=True)
    return fields


def described(document: object) -> Fields:
    return event(data=json.dumps(document).encode(), event_type="$metadata")


def position(number: int) -> Fields:
    return {"commit_position": str(number), "prepare_position": str(number)}
