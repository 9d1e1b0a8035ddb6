"""Errors named by remedy, addresses, credentials and certificates."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import pytest
from esdbclient.protos.Grpc import shared_pb2
from google.protobuf import empty_pb2

from edge.domain.event import RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    AccessRefused,
    AppendTooLarge,
    CaughtUp,
    CredentialRefused,
    EventStoreError,
    EventStoreMisconfigured,
    EventStoreUnavailable,
    OutcomeUnknown,
    RequestRefused,
    Right,
    StreamNotFound,
    WrongExpectedRevision,
)
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import GrpcEventStore, PositionedEvent, open_event_store
from edge.event_store.embedded.faults import LOST_ANSWER, Answer, AppendFault, EndCall, Stage
from edge.event_store.embedded.server import EmbeddedEventStore, Tls, serve
from fakes.event_store_subjects import new_event

CERTIFICATES = Path(__file__).parent / "certificates"
NOT_READY = Answer(empty_pb2.Empty())
NOT_LEADER = EndCall(
    grpc.StatusCode.NOT_FOUND,
    "Leader info available",
    (("exception", "not-leader"), ("leader-endpoint-host", "127.0.0.1"), ("leader-endpoint-port", "1")),
)


@pytest.fixture
async def store(embedded: EmbeddedEventStore) -> AsyncIterator[GrpcEventStore]:
    async with open_event_store(EventStoreSettings(uri=embedded.uri)) as store:
        yield store


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        (Answer(shared_pb2.AccessDenied()), AccessRefused),
        (Answer(shared_pb2.MaximumAppendSizeExceeded(maxAppendSize=1)), AppendTooLarge),
        (Answer(shared_pb2.BadRequest(message="no")), RequestRefused),
        (Answer(shared_pb2.InvalidTransaction()), RequestRefused),
        (Answer(shared_pb2.Timeout()), OutcomeUnknown),
        (Answer(shared_pb2.Unknown()), OutcomeUnknown),
        (NOT_READY, EventStoreUnavailable),
        (NOT_LEADER, EventStoreUnavailable),
        (EndCall(grpc.StatusCode.UNAUTHENTICATED), CredentialRefused),
        (EndCall(grpc.StatusCode.PERMISSION_DENIED), AccessRefused),
        (EndCall(grpc.StatusCode.INVALID_ARGUMENT), RequestRefused),
        (EndCall(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message exceeds the maximum"), AppendTooLarge),
        (EndCall(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests"), OutcomeUnknown),
        (EndCall(grpc.StatusCode.UNAVAILABLE), OutcomeUnknown),
        (EndCall(grpc.StatusCode.UNAVAILABLE, "SSL_ERROR_SSL"), OutcomeUnknown),
        (EndCall(grpc.StatusCode.ABORTED), OutcomeUnknown),
        (EndCall(grpc.StatusCode.DEADLINE_EXCEEDED), OutcomeUnknown),
        (EndCall(grpc.StatusCode.INTERNAL), OutcomeUnknown),
        (EndCall(grpc.StatusCode.UNKNOWN), OutcomeUnknown),
        (EndCall(grpc.StatusCode.CANCELLED), OutcomeUnknown),
    ],
    ids=str,
)
async def test_append_that_fails_is_named_by_remedy(
    store: GrpcEventStore, embedded: EmbeddedEventStore, effect: Answer | EndCall, error: type[EventStoreError]
) -> None:
    embedded.faults.appends += [AppendFault(Stage.BEFORE_COMMIT, effect)] * 4
    with pytest.raises(EventStoreError) as refusal:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
    assert type(refusal.value) is error


async def test_not_ready_after_a_lost_answer_leaves_the_outcome_unknown(
    store: GrpcEventStore, embedded: EmbeddedEventStore
) -> None:
    # The library repeats; only the last answer is seen, and the first attempt was written.
    embedded.faults.appends += [LOST_ANSWER, AppendFault(Stage.BEFORE_COMMIT, NOT_READY)]
    with pytest.raises(OutcomeUnknown):
        await store.append("one", [new_event()], expected_revision=NO_STREAM)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, AccessRefused),
        (grpc.StatusCode.UNAUTHENTICATED, CredentialRefused),
        (grpc.StatusCode.UNAVAILABLE, EventStoreUnavailable),
        (grpc.StatusCode.ABORTED, EventStoreUnavailable),
        (grpc.StatusCode.UNKNOWN, EventStoreUnavailable),
    ],
    ids=str,
)
async def test_read_and_subscription_that_fail_are_named_by_remedy(
    store: GrpcEventStore, embedded: EmbeddedEventStore, code: grpc.StatusCode, error: type[EventStoreError]
) -> None:
    embedded.faults.reads += [EndCall(code)] * 9
    with pytest.raises(error):
        await store.read_backward("one", limit=1)
    with pytest.raises(error):
        async with store.subscribe("one", after_revision=NO_STREAM) as items:
            await anext(items)


async def test_message_over_what_grpc_takes_is_an_append_too_large(store: GrpcEventStore) -> None:
    with pytest.raises(AppendTooLarge):
        await store.append("one", [new_event(data=b"x" * 17_000_000)], expected_revision=NO_STREAM)


@pytest.mark.parametrize("stream", ["one", "a stream's name", "has a last event is 7 not 3", "does not exist"])
async def test_refusal_tells_the_actual_revision_whatever_the_stream_is_called(
    store: GrpcEventStore, stream: str
) -> None:
    with pytest.raises(WrongExpectedRevision) as refusal:
        await store.append(stream, [new_event()], expected_revision=4)
    assert refusal.value.actual == NO_STREAM
    await store.append(stream, [new_event(), new_event()], expected_revision=NO_STREAM)
    with pytest.raises(WrongExpectedRevision) as refusal:
        await store.append(stream, [new_event()], expected_revision=0)
    assert refusal.value.actual == 1


async def test_store_that_cannot_be_reached_is_unavailable_to_reads() -> None:
    async with open_event_store(EventStoreSettings(uri="esdb://127.0.0.1:1?tls=false")) as store:
        with pytest.raises(EventStoreUnavailable):
            await store.read_backward("one", limit=1)


async def test_append_that_was_never_sent_certainly_had_no_effect() -> None:
    uri = "esdb+discover://127.0.0.1:1?tls=false&MaxDiscoverAttempts=1"
    async with open_event_store(EventStoreSettings(uri=uri)) as store:
        with pytest.raises(EventStoreUnavailable):
            await store.append("one", [new_event()], expected_revision=NO_STREAM)


async def test_cluster_is_discovered(embedded: EmbeddedEventStore) -> None:
    uri = embedded.uri.replace("esdb://", "esdb+discover://")
    async with open_event_store(EventStoreSettings(uri=uri)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        assert len(await store.read_forward("one", from_revision=0, limit=9)) == 1


async def test_all_streams_are_followed_in_order_without_the_servers_own_events(store: GrpcEventStore) -> None:
    await store.append("one", [new_event()], expected_revision=NO_STREAM)
    await store.append("$system", [new_event(event_type="$stats")], expected_revision=NO_STREAM)
    await store.append("two", [new_event(), new_event()], expected_revision=NO_STREAM)
    async with store.subscribe_all(after_position=None) as items:
        first, second, third, caught_up = [await anext(items) for _ in range(4)]
        assert isinstance(first, PositionedEvent)
        assert isinstance(second, PositionedEvent)
        assert isinstance(third, PositionedEvent)
        assert [item.event.stream for item in (first, second, third)] == ["one", "two", "two"]
        assert isinstance(caught_up, CaughtUp)
    async with store.subscribe_all(after_position=second.position) as items:
        assert await anext(items) == third


PASSWORDS = ["changeit", "p@ss:w/o?r#d%41 &", "ünï"]


@pytest.mark.parametrize("password", PASSWORDS)
async def test_credential_and_certificate_open_the_door(password: str) -> None:
    async with _secured(f"gateway:{password}") as embedded:
        settings = EventStoreSettings(uri=embedded.uri, ca_file=CERTIFICATES / "ca.pem")
        async with open_event_store(settings, credential=f"gateway:{password}\n") as store:
            await store.append("one", [new_event()], expected_revision=NO_STREAM)
            async with store.subscribe("one", after_revision=NO_STREAM) as items:
                await anext(items)
        async with open_event_store(settings, credential="gateway:wrong") as store:
            with pytest.raises(CredentialRefused, match="gateway: wrong password, or no such user"):
                await store.append("one", [new_event()], expected_revision=0)
            with pytest.raises(CredentialRefused) as refusal:
                await store.read_backward("one", limit=1)
            assert "changeit" not in str(refusal.value)
            assert "gateway:wrong" not in str(refusal.value)


async def test_a_right_that_is_missing_is_told_with_the_stream_and_the_user() -> None:
    everything = [("one", Right.APPEND), ("two", Right.READ), ("$all", Right.READ)]
    async with _secured("gw-north:s3cret") as embedded:
        embedded.faults.denied.update(everything)
        settings = EventStoreSettings(uri=embedded.uri, ca_file=CERTIFICATES / "ca.pem")
        async with open_event_store(settings, credential="gw-north:s3cret") as store:
            refusals = [await _refusal(store.append("one", [new_event()], expected_revision=NO_STREAM))]
            refusals += [await _refusal(store.read_forward("two", from_revision=0, limit=1))]
            refusals += [await _refusal(store.read_backward("two", limit=1))]
            refusals += [await _refusal(_first_of(store.subscribe("two", after_revision=NO_STREAM)))]
            refusals += [await _refusal(_first_of(store.subscribe_all(after_position=None)))]
            # What the user may do still works.
            with pytest.raises(StreamNotFound):
                await store.read_backward("one", limit=1)
            await store.append("two", [new_event()], expected_revision=NO_STREAM)
    assert [str(refusal) for refusal in refusals] == [
        "gw-north may not append to one",
        *["gw-north may not read two"] * 3,
        "gw-north may not read $all",
    ]
    assert [(refusal.stream, refusal.right) for refusal in refusals] == [
        everything[0],
        *[everything[1]] * 3,
        everything[2],
    ]


async def test_a_user_in_the_uri_is_told_without_the_password_and_no_user_as_none(embedded: EmbeddedEventStore) -> None:
    embedded.faults.denied.add(("one", Right.READ))
    uri = embedded.uri.replace("esdb://", "esdb://gw%2Dnorth:s3cret@")
    for address, said in (
        (uri, "gw-north may not read one"),
        (embedded.uri, "a caller without a user may not read one"),
    ):
        async with open_event_store(EventStoreSettings(uri=address)) as store:
            assert str(await _refusal(store.read_backward("one", limit=1))) == said


async def _refusal(call: Awaitable[object]) -> AccessRefused:
    with pytest.raises(AccessRefused) as refusal:
        await call
    return refusal.value


async def _first_of(
    subscription: AbstractAsyncContextManager[AsyncIterator[RecordedEvent | PositionedEvent | CaughtUp]],
) -> None:
    async with subscription as items:
        await anext(items)


async def test_server_with_another_certificate_is_not_trusted() -> None:
    async with _secured("gateway:changeit") as embedded:
        settings = EventStoreSettings(uri=embedded.uri, ca_file=CERTIFICATES / "other-ca.pem")
        async with open_event_store(settings, credential="gateway:changeit") as store:
            with pytest.raises(EventStoreUnavailable):
                await store.read_backward("one", limit=1)


@pytest.mark.parametrize(
    ("uri", "credential"),
    [
        ("http://central:2113", None),
        ("esdb://central:2113", None),
        ("esdb://", "gateway:changeit"),
        ("esdb://central:2113?tls=perhaps", "gateway:changeit"),
        ("esdb://central:2113?nonsense=1", "gateway:changeit"),
        ("esdb://gateway:changeit@central:2113?tls=perhaps", None),
        ("esdb://central:2113", "changeit"),
        ("esdb://gateway:changeit@[central:2113", None),
        ("esdb://gateway:changeit@central\u2100:2113", None),
    ],
)
async def test_address_that_cannot_be_used_is_said_without_the_password(uri: str, credential: str | None) -> None:
    with pytest.raises(EventStoreMisconfigured) as refusal:
        async with open_event_store(EventStoreSettings(uri=uri), credential=credential):
            pass
    assert "changeit" not in str(refusal.value)


async def test_certificate_that_is_missing_is_said(tmp_path: Path) -> None:
    settings = EventStoreSettings(uri="esdb://central:2113", ca_file=tmp_path / "ca.pem")
    with pytest.raises(EventStoreMisconfigured, match=r"ca\.pem"):
        async with open_event_store(settings, credential="gateway:changeit"):
            pass


def _secured(credential: str) -> AbstractAsyncContextManager[EmbeddedEventStore]:
    tls = Tls(
        private_key=(CERTIFICATES / "server-key.pem").read_bytes(),
        certificate_chain=(CERTIFICATES / "server.pem").read_bytes(),
    )
    return serve(("127.0.0.1", 0), None, tls=tls, credential=credential)
