"""Messages of the wire to what the log knows, and back. No I/O."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from esdbclient.protos.Grpc import code_pb2, shared_pb2, status_pb2, streams_pb2
from google.protobuf import empty_pb2

from edge.event_store.embedded.changes import METADATA_PREFIX, Append
from edge.event_store.embedded.database import Batch
from edge.event_store.embedded.rule import NO_STREAM, AlreadyWritten, Deleted, Expected, Head, Weak, Write

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from edge.event_store.embedded.changes import Outcome

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class BadRequest(Exception):  # noqa: N818 - the wire's word
    """The request itself is wrong."""


class TooLarge(Exception):  # noqa: N818
    """The append holds more than the server takes."""


def id_text(identifier: shared_pb2.UUID) -> str:
    """Return an id in its one canonical spelling. Raises BadRequest."""
    if identifier.WhichOneof("value") == "structured":
        bits = identifier.structured
        return str(UUID(int=(bits.most_significant_bits % 2**64) << 64 | bits.least_significant_bits % 2**64))
    if _UUID.fullmatch(identifier.string) is None:
        raise BadRequest(f"{identifier.string!r} is no UUID")
    return identifier.string.lower()


def stream_name(identifier: shared_pb2.StreamIdentifier) -> str:
    """Return a stream's name. Raises BadRequest."""
    try:
        name = identifier.stream_name.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("a stream's name is UTF-8") from error
    if not name:
        raise BadRequest("a stream needs a name")
    return name


def expected_of(options: "Message", oneof: str) -> Expected:
    """Read the expected revision out of a request's options."""
    choice = options.WhichOneof(oneof)
    match choice:
        case "no_stream":
            return NO_STREAM
        case "any":
            return Weak.ANY
        case "stream_exists":
            return Weak.EXISTS
        case "stream_position" | "revision":
            return int(getattr(options, choice))
        case _:
            raise BadRequest("an append needs an expected revision")


def parse_append(requests: Sequence[streams_pb2.BatchAppendReq], *, bytes_max: int) -> Append:
    """Join the parts of one append. Raises BadRequest, TooLarge."""
    options = requests[0].options
    messages = [message for request in requests for message in request.proposed_messages]
    return _append(
        stream_name(options.stream_identifier), expected_of(options, "expected_stream_position"), messages, bytes_max
    )


def parse_single_append(requests: Sequence[streams_pb2.AppendReq], *, bytes_max: int) -> Append:
    """Join the parts of the older call that other languages' clients use. Raises BadRequest, TooLarge."""
    if not requests or requests[0].WhichOneof("content") != "options":
        raise BadRequest("the options come first")
    options = requests[0].options
    messages = []
    for request in requests[1:]:
        message = streams_pb2.BatchAppendReq.ProposedMessage()
        # The two messages have the same fields with the same numbers.
        message.ParseFromString(request.proposed_message.SerializeToString())
        messages.append(message)
    return _append(
        stream_name(options.stream_identifier), expected_of(options, "expected_stream_revision"), messages, bytes_max
    )


def _append(
    stream: str, expected: Expected, messages: "list[streams_pb2.BatchAppendReq.ProposedMessage]", bytes_max: int
) -> Append:
    body = streams_pb2.BatchAppendReq(proposed_messages=messages).SerializeToString()
    # The counted size is never more than twice the encoded one; only near the limit is it worth counting.
    if 2 * len(body) > bytes_max and sum(map(_counted_bytes, messages)) > bytes_max:
        raise TooLarge(f"an append takes at most {bytes_max} bytes")
    if not all(message.metadata.get("type") for message in messages):
        raise BadRequest("an event needs a type")
    document = None
    if stream.startswith(METADATA_PREFIX) and messages and messages[-1].metadata["type"] == "$metadata":
        document = messages[-1].data
    return Append(
        stream=stream,
        expected=expected,
        ids=[id_text(message.id) for message in messages],
        body=body,
        document=document,
    )


def _counted_bytes(message: "streams_pb2.BatchAppendReq.ProposedMessage") -> int:
    return len(message.data) + len(message.custom_metadata) + 2 * len(message.metadata["type"])


def ids_of(body: bytes) -> list[str]:
    """Return the ids of a stored append."""
    return [id_text(message.id) for message in streams_pb2.BatchAppendReq.FromString(body).proposed_messages]


def append_response(request: streams_pb2.BatchAppendReq, append: Append, outcome: "Outcome") -> "Message":
    """Answer an append that was judged."""
    response = streams_pb2.BatchAppendResp(
        correlation_id=request.correlation_id, stream_identifier=request.options.stream_identifier
    )
    match outcome.decision:
        case Deleted():
            deleted = shared_pb2.StreamDeleted(stream_identifier=request.options.stream_identifier)
            response.error.CopyFrom(status(deleted, code_pb2.NOT_FOUND))
        case decision if (last := last_revision(append, outcome)) is not None:
            response.success.current_revision = max(0, last)
            if isinstance(decision, AlreadyWritten) or outcome.position is None:
                response.success.no_position.CopyFrom(empty_pb2.Empty())
            else:
                response.success.position.commit_position = outcome.position
                response.success.position.prepare_position = outcome.position
        case _:
            wrong = shared_pb2.WrongExpectedVersion()
            if outcome.head.last_revision == NO_STREAM:
                wrong.current_no_stream.CopyFrom(empty_pb2.Empty())
            else:
                wrong.current_stream_revision = outcome.head.last_revision
            response.error.CopyFrom(status(wrong, code_pb2.FAILED_PRECONDITION))
    return response


def last_revision(append: Append, outcome: "Outcome") -> int | None:
    """Return the last revision of a successful append; None where it was refused."""
    match outcome.decision:
        case AlreadyWritten(last_revision=last):
            return last
        case Write():
            return outcome.head.last_revision + len(append.ids)
        case _:
            return None


def status(details: "Message", code: int) -> status_pb2.Status:
    """Wrap a refusal as appends tell it: as a message, not as an error of the call."""
    wrapped = status_pb2.Status(code=code, message=type(details).__name__)  # type: ignore[arg-type]
    wrapped.details.Pack(details)
    return wrapped


def read_responses(
    batch: Batch, head: Head, indices: Sequence[int], *, structured_ids: bool
) -> Iterator[tuple[str, streams_pb2.ReadResp]]:
    """Make the answers that hold some events of a stored append, each with the event's type."""
    messages = streams_pb2.BatchAppendReq.FromString(batch.body).proposed_messages
    identifier = shared_pb2.StreamIdentifier(stream_name=head.name.encode())
    created = str(batch.created)
    for index in indices:
        message = messages[index]
        event_type = message.metadata["type"]
        position = batch.position + index
        recorded = streams_pb2.ReadResp.ReadEvent.RecordedEvent(
            id=_structured(message.id) if structured_ids else shared_pb2.UUID(string=id_text(message.id)),
            stream_identifier=identifier,
            stream_revision=batch.first_revision + index,
            prepare_position=position,
            commit_position=position,
            metadata={
                "type": event_type,
                "content-type": message.metadata.get("content-type", "application/octet-stream"),
                "created": created,
            },
            custom_metadata=message.custom_metadata,
            data=message.data,
        )
        event = streams_pb2.ReadResp.ReadEvent(event=recorded, commit_position=position)
        yield event_type, streams_pb2.ReadResp(event=event)


def _structured(identifier: shared_pb2.UUID) -> shared_pb2.UUID:
    value = UUID(id_text(identifier)).int

    def signed(bits: int) -> int:
        return bits - 2**64 if bits >= 2**63 else bits

    return shared_pb2.UUID(
        structured=shared_pb2.UUID.Structured(
            most_significant_bits=signed(value >> 64), least_significant_bits=signed(value % 2**64)
        )
    )
