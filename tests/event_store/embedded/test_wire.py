"""What a real server was seen to answer to appends and reads, and says of itself: the embedded store does the same."""

from typing import Any
from uuid import UUID

import pytest
from esdbclient.protos.Grpc import gossip_pb2, gossip_pb2_grpc, persistent_pb2, projections_pb2, shared_pb2

from edge.event_store.embedded.server import APPEND_BYTES_MAX, EmbeddedEventStore
from fakes.bare_calls import (
    ANY,
    EXISTS,
    NO_STREAM,
    Calls,
    Fields,
    Refused,
    deleted,
    event,
    filtered_request,
    position,
    read_request,
    refusal_of,
    told,
)

# --- Appends


async def test_both_kinds_of_append_tell_where_the_last_event_stands(calls: Calls) -> None:
    answer = await calls.batch("one", NO_STREAM, [event(), event()])
    assert answer["success"] == {
        "current_revision": "1",
        "position": {"commit_position": "2", "prepare_position": "2"},
    }
    answer = await calls.single("one", 1, [event()])
    assert answer["success"] == {
        "current_revision": "2",
        "position": {"commit_position": "3", "prepare_position": "3"},
    }


async def test_an_append_sent_again_is_told_its_position_until_the_store_starts_anew(
    calls: Calls, embedded: EmbeddedEventStore
) -> None:
    events = [event(), event()]
    first = (await calls.batch("one", NO_STREAM, events))["success"]
    await calls.batch("two", NO_STREAM, [event()])
    for expected in (NO_STREAM, ANY):
        assert (await calls.batch("one", expected, events))["success"] == first
        assert (await calls.single("one", expected, events))["success"] == first
    await embedded.restart()
    known = {"current_revision": "1", "no_position": {}}
    assert (await calls.batch("one", NO_STREAM, events))["success"] == known
    assert (await calls.single("one", NO_STREAM, events))["success"] == known


async def test_an_append_without_events_has_a_new_position_and_leaves_the_stream_as_it_is(calls: Calls) -> None:
    assert (await calls.batch("one", ANY, []))["success"] == {"no_stream": {}, "position": position(1)}
    await calls.batch("one", NO_STREAM, [event()])
    assert (await calls.batch("one", 0, []))["success"] == {"current_revision": "0", "position": position(3)}
    assert (await calls.batch("one", 0, [event()]))["success"]["position"] == position(4)
    assert (await calls.batch("one", 1, []))["success"]["position"] == position(5)
    assert await calls.read(None) == [(0, "Noted"), (1, "Noted")]
    assert await calls.read(None, backwards=True) == [(1, "Noted"), (0, "Noted")]


@pytest.mark.parametrize(
    ("expected", "told_old", "told_new"),
    [
        (7, {"expected_revision_20_6_0": "7"}, {"expected_revision": "7"}),
        (NO_STREAM, {"expected_revision_20_6_0": str(2**64 - 1)}, {"expected_no_stream": {}}),
    ],
)
async def test_wrong_revision_of_an_older_append_tells_what_was_expected(
    calls: Calls, expected: int | str, told_old: Fields, told_new: Fields
) -> None:
    await calls.batch("one", NO_STREAM, [event(), event()])
    answer = await calls.single("one", expected, [event()])
    stands = {"current_revision_20_6_0": "1", "current_revision": "1"}
    assert answer == {"wrong_expected_version": stands | told_old | told_new}


async def test_older_append_to_a_stream_that_should_exist_says_that_there_is_none(calls: Calls) -> None:
    assert await calls.single("one", EXISTS, [event()]) == {
        "wrong_expected_version": {
            "no_stream_20_6_0": {},
            "stream_exists_20_6_0": {},
            "current_no_stream": {},
            "expected_stream_exists": {},
        }
    }


async def test_wrong_revision_of_a_batch_has_its_code_and_tells_what_was_expected(calls: Calls) -> None:
    missing = (await calls.batch("one", EXISTS, [event()]))["error"]
    known = event()
    await calls.batch("one", NO_STREAM, [known, event()])
    wrong = {expected: (await calls.batch("one", expected, [event()]))["error"] for expected in (7, NO_STREAM)}
    superset = (await calls.batch("one", ANY, [known, event()]))["error"]
    for error in (missing, superset, *wrong.values()):
        assert (error["code"], error["message"]) == ("ALREADY_EXISTS", "WrongExpectedVersion")
        assert error["details"].pop("@type") == "type.googleapis.com/event_store.client.WrongExpectedVersion"
    assert missing["details"] == {"current_no_stream": {}, "expected_stream_exists": {}}
    assert wrong[7]["details"] == {"current_stream_revision": "1", "expected_stream_position": "7"}
    assert wrong[NO_STREAM]["details"] == {"current_stream_revision": "1", "expected_no_stream": {}}
    assert superset["details"] == {"current_stream_revision": "1", "expected_any": {}}


async def test_append_over_the_limit_tells_the_limit(calls: Calls) -> None:
    too_large = [event(data=b"x" * APPEND_BYTES_MAX)]
    assert await refusal_of(calls.single("one", NO_STREAM, too_large)) == Refused(
        "INVALID_ARGUMENT",
        "Maximum Append Size of 1048576 Exceeded.",
        {"exception": "maximum-append-size-exceeded", "maximum-append-size": "1048576"},
    )
    error = (await calls.batch("one", NO_STREAM, too_large))["error"]
    assert (error["code"], error["details"]["maxAppendSize"]) == ("INVALID_ARGUMENT", APPEND_BYTES_MAX)


async def test_append_to_a_deleted_stream_names_it(calls: Calls) -> None:
    for stream in ("soft", "dead"):
        await calls.batch(stream, NO_STREAM, [event()])
        await calls.delete(stream, for_ever=stream == "dead")
    assert await refusal_of(calls.single("dead", ANY, [event()])) == deleted("dead")
    assert await refusal_of(calls.single("soft", EXISTS, [event()])) == deleted("soft")
    error = (await calls.batch("dead", 0, [event()]))["error"]
    assert (error["code"], error["message"]) == ("NOT_FOUND", "StreamDeleted")


@pytest.mark.parametrize("missing", ["type", "content-type"])
async def test_event_that_does_not_say_what_it_is_is_refused(calls: Calls, missing: str) -> None:
    silent = event()
    del silent["metadata"][missing]
    assert await refusal_of(calls.single("one", ANY, [silent])) == Refused(
        "INVALID_ARGUMENT",
        f"Required Metadata Property '{missing}' is missing",
        {"exception": "missing-required-metadata-property", "required-metadata-properties": "type,content-type"},
    )
    error = (await calls.batch("one", ANY, [silent]))["error"]
    assert (error["code"], error["message"]) == ("INVALID_ARGUMENT", "BadRequest")


async def test_event_with_a_nil_id_is_refused(calls: Calls) -> None:
    error = (await calls.batch("one", ANY, [event(UUID(int=0))]))["error"]
    assert (error["code"], error["message"]) == ("INVALID_ARGUMENT", "BadRequest")


async def test_content_type_is_remembered_only_as_json_or_not(calls: Calls) -> None:
    said = ["application/json", "text/plain", "Application/JSON", ""]
    await calls.batch("one", NO_STREAM, [event(content_type=content) for content in said])
    answers = [item async for item in calls.streams.Read(read_request("one", False, 4, None))]
    octets = "application/octet-stream"
    read = [answer.event.event.metadata["content-type"] for answer in answers]
    assert read == ["application/json", octets, octets, octets]


# --- Reads


async def test_read_that_reaches_the_end_tells_the_last_revision(calls: Calls) -> None:
    await calls.batch("one", NO_STREAM, [event(), event()])
    end = ("last_stream_position", "1")
    assert await calls.read("one", limit=3) == [(0, "Noted"), (1, "Noted"), end]
    assert await calls.read("one", limit=2) == [(0, "Noted"), (1, "Noted")]
    assert await calls.read("one", start=2) == [end]
    assert (await calls.read("none"))[0][0] == "stream_not_found"


async def test_read_backward_from_the_start_finds_only_the_first_event(calls: Calls) -> None:
    await calls.batch("one", NO_STREAM, [event(), event()])
    assert (await calls.read("one", backwards=True, start="start"))[0] == (0, "Noted")
    assert await calls.read(None, backwards=True, start="start") == []


async def test_filtered_subscription_is_told_how_far_it_is_only_after_as_many_events_as_it_asked_for(
    calls: Calls,
) -> None:
    kinds = ["A", "B", "B", "B", "B", "A", "B"]
    await calls.batch("one", NO_STREAM, [event(event_type=kind) for kind in kinds])
    items = aiter(calls.streams.Read(filtered_request("A", 3, 1)))
    assert (await anext(items)).HasField("confirmation")
    assert told(await anext(items)) == (0, "A")
    assert told(await anext(items)) == ("checkpoint", position(3))
    assert told(await anext(items)) == (5, "A")
    assert told(await anext(items)) == ("checkpoint", position(6))
    assert (await anext(items)).HasField("caught_up")
    # One was seen before, one comes now: the third makes the window full.
    await calls.batch("one", 6, [event(event_type="A")])
    assert told(await anext(items)) == (7, "A")
    await calls.batch("one", 7, [event(event_type="B")])
    assert told(await anext(items)) == ("checkpoint", position(9))


@pytest.mark.parametrize(("window", "multiplier"), [(0, 1), (1, 0)])
async def test_filtered_subscription_without_a_window_is_refused(calls: Calls, window: int, multiplier: int) -> None:
    refused = await refusal_of(calls.streams.Read(filtered_request("A", window, multiplier)))
    assert refused.code == "INVALID_ARGUMENT"


# --- What the store says of itself


async def test_features_offer_what_is_answered_and_nothing_else(calls: Calls) -> None:
    ask = calls.channel.unary_unary(
        "/event_store.client.server_features.ServerFeatures/GetSupportedMethods",
        request_serializer=shared_pb2.Empty.SerializeToString,
    )
    methods, (version,) = decoded(await ask(shared_pb2.Empty()), 1), decoded(await ask(shared_pb2.Empty()), 2)
    offered = {
        f"{decoded(method, 2)[0].decode()}/{decoded(method, 1)[0].decode()}": decoded(method, 3) for method in methods
    }
    streams = {f"event_store.client.streams.Streams/{name}".lower() for name in ("append", "batchappend", "delete")}
    assert streams < set(offered)
    assert offered["event_store.client.streams.streams/read"] == [b"position", b"events"]
    assert not [name for name in offered if "persistent" in name or "projections" in name]
    assert [int(part) for part in version.split(b".")][:2] == [24, 10]


def decoded(message: bytes, wanted: int) -> list[bytes]:
    """The contents of one field of a message that has only fields of bytes, text and messages."""
    found, at = [], 0
    while at < len(message):
        field, at = message[at] >> 3, at + 1
        size = shift = 0
        while True:
            size, shift, at = size | (message[at] & 127) << shift, shift + 7, at + 1
            if message[at - 1] < 128:
                break
        if field == wanted:
            found.append(message[at : at + size])
        at += size
    return found


async def test_what_the_store_does_not_have_is_refused_in_words(calls: Calls) -> None:
    refused = {
        (kind.full_name, method.name): words
        for file, words in (
            (persistent_pb2.DESCRIPTOR, "has no persistent subscriptions"),
            (projections_pb2.DESCRIPTOR, "has no projections"),
        )
        for kind in file.services_by_name.values()
        for method in kind.methods
    }
    assert len(refused) > 10
    for (kind, method), words in refused.items():
        refusal = await refusal_of(calls.channel.unary_stream(f"/{kind}/{method}")(b""))
        assert refusal.code == "UNIMPLEMENTED"
        assert words in refusal.details


async def test_gossip_names_a_process_that_is_another_after_each_start(
    calls: Calls, embedded: EmbeddedEventStore
) -> None:
    stub: Any = gossip_pb2_grpc.GossipStub(calls.channel)  # type: ignore[no-untyped-call]

    async def member() -> gossip_pb2.MemberInfo:
        (one,) = (await stub.Read(shared_pb2.Empty())).members
        return one  # type: ignore[no-any-return]

    first, again = await member(), await member()
    assert first.instance_id == again.instance_id
    assert (first.time_stamp > 0, first.is_alive, first.state) == (True, True, gossip_pb2.MemberInfo.Leader)
    await embedded.restart()
    assert (await member()).instance_id != first.instance_id


async def test_store_that_stops_says_so(calls: Calls, embedded: EmbeddedEventStore) -> None:
    embedded.become_unavailable()
    assert await refusal_of(calls.single("one", ANY, [event()])) == Refused(
        "UNAVAILABLE", "Server Is Shutting Down", {"exception": "server-shutting-down"}
    )
