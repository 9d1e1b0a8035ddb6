"""A program of somebody else's: it knows the store by kurrentdbclient only, and runs where nothing of ours is installed.

Usage: python foreign_client.py URI. Ends with 0 where all that it does with the store came out as on a real server.
"""

import json
import sys
from collections.abc import Callable
from uuid import uuid4

from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import (
    FailedPreconditionError,
    GrpcError,
    MaximumAppendSizeExceededError,
    NotFoundError,
    StreamIsDeletedError,
    WrongCurrentVersionError,
)

TIMEOUT_S = 20


def noted(size: int = 1) -> NewEvent:
    return NewEvent(type="Noted", data=json.dumps("x" * size).encode())


def refused(kind: type[Exception], call: Callable[[], object]) -> Exception:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def append_and_conflict(client: KurrentDBClient, stream: str) -> None:
    # One event goes by Append, a list by BatchAppend.
    one, more = noted(), [noted(), noted()]
    first = client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=one)
    second = client.append_to_stream(stream, current_version=0, events=more)
    assert 0 < first < second
    assert client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=one) == first
    assert client.append_to_stream(stream, current_version=0, events=more) == second
    for events in (noted(), [noted()]):
        for expected in (StreamState.NO_STREAM, 0, 7):
            error = refused(
                WrongCurrentVersionError,
                lambda: client.append_to_stream(stream, current_version=expected, events=events),  # noqa: B023
            )
            assert "2" in str(error), error
        missing = refused(
            WrongCurrentVersionError,
            lambda: client.append_to_stream("none", current_version=StreamState.EXISTS, events=events),  # noqa: B023
        )
        assert "does not exist" in str(missing), missing
    huge = noted(1_100_000)
    # This library has a name for it only where it comes as a batch.
    said = refused(GrpcError, lambda: client.append_to_stream(stream, current_version=2, events=huge))
    assert "Maximum Append Size of 1048576 Exceeded" in str(said), said
    refused(MaximumAppendSizeExceededError, lambda: client.append_to_stream(stream, current_version=2, events=[huge]))


def read(client: KurrentDBClient, stream: str) -> None:
    forward = client.get_stream(stream)
    assert [event.stream_position for event in forward] == [0, 1, 2]
    assert [event.stream_position for event in client.get_stream(stream, backwards=True, limit=2)] == [2, 1]
    assert [event.stream_position for event in client.get_stream(stream, stream_position=1)] == [1, 2]
    assert client.get_current_version(stream) == 2
    everything = [event.id for event in client.read_all() if event.stream_name == stream]
    assert everything == [event.id for event in forward]
    refused(NotFoundError, lambda: client.get_stream("none"))


def subscribe(client: KurrentDBClient, stream: str) -> None:
    with client.subscribe_to_stream(stream, stream_position=0, timeout=TIMEOUT_S) as events:
        assert [next(events).stream_position for _ in range(2)] == [1, 2]
        client.append_to_stream(stream, current_version=2, events=[noted()])
        assert next(events).stream_position == 3
    with client.subscribe_to_all(filter_include=[stream], filter_by_stream_name=True, timeout=TIMEOUT_S) as events:
        assert [next(events).stream_position for _ in range(4)] == [0, 1, 2, 3]


def delete(client: KurrentDBClient, stream: str) -> None:
    refused(WrongCurrentVersionError, lambda: client.delete_stream(stream, current_version=1))
    client.set_stream_metadata(stream, metadata={"note": "ours"})
    client.delete_stream(stream, current_version=3)
    client.delete_stream(stream, current_version=StreamState.ANY)
    refused(NotFoundError, lambda: client.get_stream(stream))
    assert client.get_stream_metadata(stream) == ({"$tb": 2**63 - 1}, 2)
    client.append_to_stream(stream, current_version=3, events=noted())
    assert [event.stream_position for event in client.get_stream(stream)] == [4]
    assert client.get_stream_metadata(stream) == ({"$tb": 4}, 3)
    client.tombstone_stream(stream, current_version=4)
    for call in (
        lambda: client.get_stream(stream),
        lambda: client.append_to_stream(stream, current_version=StreamState.ANY, events=[noted()]),
        lambda: client.delete_stream(stream, current_version=StreamState.ANY),
        lambda: client.tombstone_stream(stream, current_version=StreamState.ANY),
    ):
        refused(StreamIsDeletedError, call)
    said = refused(
        FailedPreconditionError,
        lambda: client.append_to_stream(stream, current_version=StreamState.ANY, events=noted()),
    )
    assert str(said) == f"Event stream '{stream}' is deleted.", said


def what_is_not_there(client: KurrentDBClient, stream: str) -> None:
    group = refused(GrpcError, lambda: client.create_subscription_to_stream("group", stream))
    assert "has no persistent subscriptions" in str(group), group
    projection = refused(GrpcError, lambda: client.create_projection(name="sums", query="fromAll()"))
    assert "has no projections" in str(projection), projection


def main(uri: str) -> None:
    stream = f"orders-{uuid4().hex}"
    with KurrentDBClient(uri) as client:
        for step in (append_and_conflict, read, subscribe, delete, what_is_not_there):
            step(client, stream)
            print(step.__name__)  # noqa: T201 - a program


if __name__ == "__main__":
    main(sys.argv[1])
