"""The calls of the wire. The method names are the wire's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

import grpc
from esdbclient.protos.Grpc import code_pb2, gossip_pb2, gossip_pb2_grpc, shared_pb2, streams_pb2, streams_pb2_grpc

from edge.domain.event_store import Right
from edge.event_store.embedded import wire
from edge.event_store.embedded.changes import Append, Delete, Outcome
from edge.event_store.embedded.faults import AppendFault, Faults, Refusal, Stage, suffer
from edge.event_store.embedded.log import EventLog, LogFailed
from edge.event_store.embedded.reading import Reading
from edge.event_store.embedded.rule import Deleted, NeverAnswered, WrongRevision

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

# One append in parts: the real server bounds each part only (16 MiB), not their sum.
PARTS_BYTES_MAX = 33_554_432


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller must show: the `authorization` header, or nothing at all."""

    authorization: str | None = None

    def check(self, context: "grpc.aio.ServicerContext") -> None:
        """Raise Refusal for a caller without the right header."""
        if self.authorization is None:
            return
        shown = dict(context.invocation_metadata() or ()).get("authorization")
        if shown != self.authorization:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "Unauthenticated")


async def _end(context: "grpc.aio.ServicerContext", refusal: Refusal) -> NoReturn:
    await context.abort(refusal.code, refusal.details, refusal.trailers)
    raise AssertionError("abort raises")


class _Unfinished:
    """Appends of one call of which only parts have come."""

    def __init__(self) -> None:
        self._parts: dict[str, list[streams_pb2.BatchAppendReq]] = {}
        self._held = 0

    def add(self, request: streams_pb2.BatchAppendReq) -> list[streams_pb2.BatchAppendReq] | None:
        """Take a part; gives all parts back with the last one. Raises Refusal, BadRequest."""
        self._held += request.ByteSize()
        if self._held > PARTS_BYTES_MAX:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many unfinished appends")
        part_of = wire.id_text(request.correlation_id)
        self._parts.setdefault(part_of, []).append(request)
        if not request.is_final:
            return None
        finished = self._parts.pop(part_of)
        self._held -= sum(part.ByteSize() for part in finished)
        return finished


class Streams(streams_pb2_grpc.StreamsServicer):
    """Appends, reads and deletions."""

    def __init__(
        self, log: EventLog, faults: Faults, access: Access, *, append_bytes_max: int, ticks: "Callable[[], int]"
    ) -> None:
        self._log = log
        self._faults = faults
        self._access = access
        self._append_bytes_max = append_bytes_max
        self._ticks = ticks

    async def BatchAppend(  # noqa: N802
        self, request_iterator: AsyncIterator[streams_pb2.BatchAppendReq], context: "grpc.aio.ServicerContext"
    ) -> "AsyncIterator[Message]":
        """Append, as many times as the client likes on one call; a refusal is a message, not an error of the call."""
        unfinished = _Unfinished()
        try:
            self._access.check(context)
            async for request in request_iterator:
                finished = unfinished.add(request)
                if finished is not None:
                    yield await self._append_batch(finished)
        except Refusal as refusal:
            await _end(context, refusal)
        except LogFailed as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except wire.BadRequest as error:
            await _end(context, wire.refusal_of(error))

    async def _append_batch(self, parts: list[streams_pb2.BatchAppendReq]) -> "Message":
        request = parts[0]

        def refused(details: "Message", code: int) -> "Message":
            return streams_pb2.BatchAppendResp(
                correlation_id=request.correlation_id,
                stream_identifier=request.options.stream_identifier,
                error=wire.status(details, code),
            )

        fault = self._faults.next_append()
        if (instead := await suffer(fault, Stage.BEFORE_COMMIT)) is not None:
            return refused(instead, code_pb2.UNKNOWN)
        try:
            append = wire.parse_append(parts, bytes_max=self._append_bytes_max)
        except wire.TooLarge:
            limit = shared_pb2.MaximumAppendSizeExceeded(maxAppendSize=self._append_bytes_max)
            return refused(limit, code_pb2.INVALID_ARGUMENT)
        except wire.BadRequest as error:
            return refused(shared_pb2.BadRequest(message=str(error)), code_pb2.INVALID_ARGUMENT)
        if (append.stream, Right.APPEND) in self._faults.denied:
            return refused(shared_pb2.AccessDenied(), code_pb2.PERMISSION_DENIED)
        outcome = await self._outcome_of(append)
        if (instead := await suffer(fault, Stage.AFTER_COMMIT)) is not None:
            return refused(instead, code_pb2.UNKNOWN)
        return wire.append_response(request, append, outcome)

    async def _outcome_of(self, append: Append) -> Outcome:
        outcome = await self._log.submit(append)
        if isinstance(outcome.decision, NeverAnswered):
            await asyncio.Event().wait()
        return outcome

    async def Append(  # noqa: N802
        self, request_iterator: AsyncIterator[streams_pb2.AppendReq], context: "grpc.aio.ServicerContext"
    ) -> "Message":
        """Append one batch: the older call, which clients in other languages still use."""
        try:
            self._access.check(context)
            fault: AppendFault | None = self._faults.next_append()
            await suffer(fault, Stage.BEFORE_COMMIT)
            requests = [request async for request in request_iterator]
            append = wire.parse_single_append(requests, bytes_max=self._append_bytes_max)
            self._faults.check_right(append.stream, Right.APPEND)
            outcome = await self._outcome_of(append)
            await suffer(fault, Stage.AFTER_COMMIT)
            return wire.single_append_response(append, outcome)
        except Refusal as refusal:
            await _end(context, refusal)
        except LogFailed as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except (wire.BadRequest, wire.TooLarge) as error:
            await _end(context, wire.refusal_of(error))

    async def Read(  # noqa: N802
        self, request: streams_pb2.ReadReq, context: "grpc.aio.ServicerContext"
    ) -> AsyncIterator[streams_pb2.ReadResp]:
        """Read or follow one stream, or `$all`."""
        try:
            self._access.check(context)
            self._faults.check_read()
            is_all = request.options.WhichOneof("stream_option") == "all"
            name = "$all" if is_all else wire.stream_name(request.options.stream.stream_identifier)
            self._faults.check_right(name, Right.READ)
            async for answer in Reading(self._log, self._faults, request.options, self._ticks).answers():
                yield answer
        except Refusal as refusal:
            await _end(context, refusal)
        except wire.BadRequest as error:
            await _end(context, wire.refusal_of(error))

    async def Delete(self, request: streams_pb2.DeleteReq, context: "grpc.aio.ServicerContext") -> "Message":  # noqa: N802
        """Delete softly."""
        response = streams_pb2.DeleteResp()
        wire.tell_position(response, await self._delete(request, context, for_ever=False))
        return response

    async def Tombstone(self, request: streams_pb2.TombstoneReq, context: "grpc.aio.ServicerContext") -> "Message":  # noqa: N802
        """Delete with a tombstone: the stream never takes events again."""
        response = streams_pb2.TombstoneResp()
        wire.tell_position(response, await self._delete(request, context, for_ever=True))
        return response

    async def _delete(
        self,
        request: streams_pb2.DeleteReq | streams_pb2.TombstoneReq,
        context: "grpc.aio.ServicerContext",
        *,
        for_ever: bool,
    ) -> int | None:
        """Delete, and return the position of what that wrote."""
        try:
            self._access.check(context)
            self._faults.check_available()
            name = wire.stream_name(request.options.stream_identifier)
            expected = wire.expected_of(request.options, "expected_stream_revision")
            outcome = await self._log.submit(Delete(stream=name, expected=expected, for_ever=for_ever))
            match outcome.decision:
                case Deleted():
                    raise wire.stream_deleted(name)
                case WrongRevision():
                    raise wire.wrong_version(name, expected, outcome.head.last_revision)
        except Refusal as refusal:
            await _end(context, refusal)
        except LogFailed as error:
            await _end(context, Refusal(grpc.StatusCode.UNAVAILABLE, str(error)))
        except wire.BadRequest as error:
            await _end(context, wire.refusal_of(error))
        return outcome.position


class Gossip(gossip_pb2_grpc.GossipServicer):
    """A cluster of one: what `esdb+discover://` asks first."""

    def __init__(self, faults: Faults, host: str, port: int, ticks: "Callable[[], int]") -> None:
        self._faults = faults
        self._ticks = ticks
        self._host = host
        self._port = port
        # Another one with each start: by it clients see that a node began anew.
        self._instance_id = str(uuid4())

    async def Read(self, request: shared_pb2.Empty, context: "grpc.aio.ServicerContext") -> "Message":  # noqa: ARG002, N802
        """Name the one member."""
        try:
            self._faults.check_available()
        except Refusal as refusal:
            await _end(context, refusal)
        member = gossip_pb2.MemberInfo(
            instance_id=shared_pb2.UUID(string=self._instance_id),
            time_stamp=self._ticks(),
            state=gossip_pb2.MemberInfo.Leader,
            is_alive=True,
            http_end_point=gossip_pb2.EndPoint(address=self._host, port=self._port),
        )
        return gossip_pb2.ClusterInfo(members=[member])
