"""Messages of the wire to what the log knows, and back. No I/O."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import grpc
from esdbclient.protos.Grpc import code_pb2, shared_pb2, status_pb2, streams_pb2

from edge.event_store.embedded.changes import METADATA_TYPE, Append
from edge.event_store.embedded.database import Batch
from edge.event_store.embedded.faults import Refusal
from edge.event_store.embedded.rule import (
    NO_STREAM,
    AlreadyWritten,
    Deleted,
    Expected,
    Head,
    Weak,
    Write,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from edge.event_store.embedded.changes import Outcome

JSON = "application/json"
OCTETS = "application/octet-stream"
# What an event must say of itself.
_REQUIRED = ("type", "content-type")

# As the server's messages have the expected revisions that are no numbers: in its old field, and in words.
_EXPECTED_NUMBERS = {Weak.ANY: -2, Weak.EXISTS: -4}

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NIL = str(UUID(int=0))


class BadRequest(Exception):  # noqa: N818 - the wire's word
    """The request itself is wrong."""


class TooLarge(Exception):  # noqa: N818
    """The append holds more than the server takes: `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"Maximum Append Size of {bytes_max} Exceeded.")
        self.bytes_max = bytes_max


class PropertyMissing(BadRequest):
    """An event does not say its type or its content type."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Required Metadata Property '{name}' is missing")


def refusal_of(error: BadRequest | TooLarge) -> Refusal:
    """End a call with what is wrong with its request: clients know the kind by the trailers."""
    trailers: tuple[tuple[str, str], ...] = ()
    match error:
        case TooLarge(bytes_max=bytes_max):
            trailers = (("exception", "maximum-append-size-exceeded"), ("maximum-append-size", str(bytes_max)))
        case PropertyMissing():
            named = ("required-metadata-properties", ",".join(_REQUIRED))
            trailers = (("exception", "missing-required-metadata-property"), named)
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, str(error), *trailers)


def stream_deleted(name: str) -> Refusal:
    """End a call on a stream that is deleted."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Event stream '{name}' is deleted.",
        ("exception", "stream-deleted"),
        ("stream-name", _in_trailer(name)),
    )


def wrong_version(name: str, expected: Expected, actual: int) -> Refusal:
    """End a deletion that expected another revision."""
    number = _EXPECTED_NUMBERS[expected] if isinstance(expected, Weak) else expected
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "Delete failed due to WrongExpectedVersion."
        f" Stream: {name}, Expected version: {number}, Actual version: {actual}",
        ("exception", "wrong-expected-version"),
        ("stream-name", _in_trailer(name)),
        ("expected-version", str(number)),
        ("actual-version", str(actual)),
    )


def _in_trailer(name: str) -> str:
    """Return a name as a trailer can hold it: printable ASCII."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in name)


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
        raise TooLarge(bytes_max)
    for message in messages:
        for name in _REQUIRED:
            if name not in message.metadata:
                raise PropertyMissing(name)
        if not message.metadata["type"]:
            raise BadRequest("an event needs a type")
    ids = [id_text(message.id) for message in messages]
    if _NIL in ids:
        raise BadRequest("an event needs an id that is not nil")
    return Append(stream=stream, expected=expected, ids=ids, body=body)


def _counted_bytes(message: "streams_pb2.BatchAppendReq.ProposedMessage") -> int:
    return len(message.data) + len(message.custom_metadata) + 2 * len(message.metadata["type"])


def ids_of(body: bytes) -> list[str]:
    """Return the ids of a stored append."""
    return [id_text(message.id) for message in streams_pb2.BatchAppendReq.FromString(body).proposed_messages]


def document_of(body: bytes, index: int) -> bytes:
    """Return the data of one event of a stored append if it is JSON, else nothing."""
    message = streams_pb2.BatchAppendReq.FromString(body).proposed_messages[index]
    data: bytes = message.data
    return data if message.metadata["content-type"] == JSON else b""


def own_body(event_type: str, data: bytes) -> bytes:
    """Encode one event that the store itself writes."""
    message = streams_pb2.BatchAppendReq.ProposedMessage(
        id=shared_pb2.UUID(string=str(uuid4())),
        metadata={"type": event_type, "content-type": JSON if event_type == METADATA_TYPE else OCTETS},
        data=data,
    )
    body: bytes = streams_pb2.BatchAppendReq(proposed_messages=[message]).SerializeToString()
    return body


def append_response(request: streams_pb2.BatchAppendReq, append: Append, outcome: "Outcome") -> "Message":
    """Answer an append that was judged."""
    response = streams_pb2.BatchAppendResp(
        correlation_id=request.correlation_id, stream_identifier=request.options.stream_identifier
    )
    match outcome.decision:
        case Deleted():
            deleted = shared_pb2.StreamDeleted(stream_identifier=request.options.stream_identifier)
            response.error.CopyFrom(status(deleted, code_pb2.NOT_FOUND))
        case _ if (last := last_revision(append, outcome)) is not None:
            _tell_success(response.success, last, outcome.position)
        case _:
            wrong = shared_pb2.WrongExpectedVersion()
            _tell(wrong, "current_stream_revision", outcome.head.last_revision)
            _tell(wrong, "expected_stream_position", append.expected)
            response.error.CopyFrom(status(wrong, code_pb2.ALREADY_EXISTS))
    return response


def single_append_response(append: Append, outcome: "Outcome") -> "Message":
    """Answer an append that came by the older call. Raises Refusal."""
    if isinstance(outcome.decision, Deleted):
        raise stream_deleted(append.stream)
    response = streams_pb2.AppendResp()
    if (last := last_revision(append, outcome)) is not None:
        _tell_success(response.success, last, outcome.position)
        return response
    wrong = response.wrong_expected_version
    _tell(wrong, "current_revision", outcome.head.last_revision)
    _tell(wrong, "expected_revision", append.expected)
    # Clients of before 2021 read these.
    if outcome.head.last_revision == NO_STREAM:
        wrong.no_stream_20_6_0.SetInParent()
    else:
        wrong.current_revision_20_6_0 = outcome.head.last_revision
    match append.expected:
        case Weak.ANY:
            wrong.any_20_6_0.SetInParent()
        case Weak.EXISTS:
            wrong.stream_exists_20_6_0.SetInParent()
        case revision:
            wrong.expected_revision_20_6_0 = revision % 2**64
    return response


def _tell_success(success: "Message", last: int, position: int | None) -> None:
    if last == NO_STREAM:
        success.no_stream.SetInParent()
    else:
        success.current_revision = last
    tell_position(success, position)


def tell_position(answer: "Message", position: int | None) -> None:
    """Say where in the log the last event stands that was written; or that it is not known any more."""
    if position is None:
        answer.no_position.SetInParent()
    else:
        answer.position.commit_position = answer.position.prepare_position = position


def _tell(wrong: "Message", number_field: str, expected: Expected) -> None:
    """Fill one of the two choices of a wrong expected version, of which each is a number or a word."""
    choice = number_field.partition("_")[0]
    match expected:
        case Weak.ANY:
            wrong_word = "any"
        case Weak.EXISTS:
            wrong_word = "stream_exists"
        case -1:
            wrong_word = "no_stream"
        case revision:
            setattr(wrong, number_field, revision)
            return
    getattr(wrong, f"{choice}_{wrong_word}").SetInParent()


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
                # The server remembers only whether it is JSON.
                "content-type": JSON if message.metadata["content-type"] == JSON else OCTETS,
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
