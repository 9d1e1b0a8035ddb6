"""What a real server was seen to do when streams are deleted, and with their metadata: the embedded store does the same."""

import pytest

from edge.event_store.embedded.server import EmbeddedEventStore
from fakes.bare_calls import (
    ANY,
    DELETED_FROM,
    EXISTS,
    NO_STREAM,
    Calls,
    Refused,
    deleted,
    described,
    event,
    position,
    read_request,
    refusal_of,
    told,
)

# --- Deletions


async def test_deletions_tell_where_they_stand_and_a_second_soft_one_succeeds(calls: Calls) -> None:
    await calls.batch("one", NO_STREAM, [event(), event()])
    assert await calls.delete("one", 1) == {"position": position(3)}
    assert await calls.delete("one", 1) == {"position": position(4)}
    assert await calls.delete("one", NO_STREAM) == {"position": position(5)}
    assert await calls.delete("one") == {"position": position(6)}
    assert await refusal_of(calls.delete("one", EXISTS)) == deleted("one")
    assert await calls.delete("one", for_ever=True) == {"position": position(7)}
    assert await refusal_of(calls.delete("one")) == deleted("one")
    assert await refusal_of(calls.delete("one", for_ever=True)) == deleted("one")


@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize(("expected", "number"), [(7, "7"), (EXISTS, "-4")])
async def test_deletion_at_another_revision_tells_both(
    calls: Calls, expected: int | str, number: str, *, for_ever: bool
) -> None:
    if expected == 7:
        await calls.batch("one", NO_STREAM, [event(), event()])
    actual = "1" if expected == 7 else "-1"
    assert await refusal_of(calls.delete("one", expected, for_ever=for_ever)) == Refused(
        "FAILED_PRECONDITION",
        f"Delete failed due to WrongExpectedVersion. Stream: one, Expected version: {number}, Actual version: {actual}",
        {
            "exception": "wrong-expected-version",
            "stream-name": "one",
            "expected-version": number,
            "actual-version": actual,
        },
    )


async def test_soft_deletion_of_a_stream_that_never_was_is_refused(calls: Calls) -> None:
    refused = await refusal_of(calls.delete("one"))
    assert (refused.trailers["expected-version"], refused.trailers["actual-version"]) == ("-2", "-1")


async def test_soft_deletion_replaces_the_metadata_and_the_next_append_only_its_truncation(calls: Calls) -> None:
    await calls.batch("one", NO_STREAM, [event(), event(), event()])
    await calls.batch("$$one", NO_STREAM, [described({"$maxCount": 2, "note": "ours"})])
    await calls.delete("one")
    assert await calls.documents("$$one") == [{"$tb": DELETED_FROM}]
    assert await calls.read("$$one") == [(1, "$metadata"), ("last_stream_position", "1")]
    assert (await calls.batch("one", 2, [event()]))["success"]["current_revision"] == "3"
    assert await calls.documents("$$one") == [{"$tb": 3}]
    assert (await calls.read("$$one"))[0] == (2, "$metadata")
    assert await calls.read("one") == [(3, "Noted"), ("last_stream_position", "3")]


async def test_append_that_revives_a_stream_keeps_what_else_its_metadata_says(calls: Calls) -> None:
    await calls.batch("one", NO_STREAM, [event(), event()])
    await calls.batch("$$one", NO_STREAM, [described({"$tb": DELETED_FROM, "$maxCount": 1, "note": "ours"})])
    assert (await calls.read("one"))[0][0] == "stream_not_found"
    await calls.batch("one", ANY, [event(), event()])
    assert await calls.documents("$$one") == [{"$tb": 2, "$maxCount": 1, "note": "ours"}]
    assert await calls.read("one") == [(3, "Noted"), ("last_stream_position", "3")]


async def test_new_metadata_of_a_deleted_stream_does_not_bring_back_what_was_deleted(calls: Calls) -> None:
    await calls.batch("one", NO_STREAM, [event(), event()])
    await calls.delete("one")
    await calls.batch("$$one", 0, [described({"$maxCount": 9})])
    assert await calls.documents("$$one") == [{"$maxCount": 9, "$tb": 2}]
    assert await calls.read("one") == [("last_stream_position", "1")]
    await calls.batch("one", 1, [event()])
    assert await calls.read("one") == [(2, "Noted"), ("last_stream_position", "2")]


async def test_metadata_of_a_tombstoned_stream_is_gone_with_it(calls: Calls) -> None:
    await calls.batch("one", NO_STREAM, [event()])
    await calls.batch("$$one", NO_STREAM, [described({"$maxCount": 5})])
    await calls.delete("one", for_ever=True)
    for stream in ("one", "$$one"):
        for follows in (1, None):
            call = calls.streams.Read(read_request(stream, False, follows, None))
            assert await refusal_of(call) == deleted(stream)
    assert await refusal_of(calls.single("$$one", 0, [described({})])) == deleted("$$one")
    assert await refusal_of(calls.delete("$$one")) == deleted("$$one")


async def test_tombstone_is_an_event_of_the_whole_log_that_stays_over_a_start(
    calls: Calls, embedded: EmbeddedEventStore
) -> None:
    await calls.batch("one", NO_STREAM, [event()])
    await calls.delete("one", for_ever=True)
    await calls.delete("never", for_ever=True)
    await embedded.restart()
    tombstone = (2**63 - 1, "$streamDeleted")
    assert await calls.read(None) == [(0, "Noted"), tombstone, tombstone]
    assert await calls.read(None, backwards=True) == [tombstone, tombstone, (0, "Noted")]


async def test_subscription_tells_the_tombstone_before_it_ends(calls: Calls) -> None:
    await calls.batch("one", NO_STREAM, [event()])
    call = calls.streams.Read(read_request("one", False, None, None))
    items = aiter(call)
    assert (await anext(items)).HasField("confirmation")
    assert told(await anext(items)) == (0, "Noted")
    assert (await anext(items)).HasField("caught_up")
    await calls.batch("one", 0, [event()])
    await calls.delete("one", for_ever=True)
    assert told(await anext(items)) == (1, "Noted")
    assert told(await anext(items)) == (2**63 - 1, "$streamDeleted")
    assert await refusal_of(call) == deleted("one")


async def test_stream_with_metadata_only_exists(calls: Calls) -> None:
    for stream in ("one", "two"):
        await calls.batch("$$" + stream, NO_STREAM, [described({"x": 1})])
    assert (await calls.batch("one", EXISTS, [event()]))["success"]["current_revision"] == "0"
    assert "position" in await calls.delete("two", EXISTS)
    assert await calls.documents("$$two") == [{"$tb": DELETED_FROM}]
    assert (await calls.batch("two", EXISTS, [event()]))["error"]["message"] == "StreamDeleted"


@pytest.mark.parametrize(
    "document",
    [
        b'{"$maxCount": 0}',
        b'{"$maxAge": 0}',
        b'{"$maxCount": "1"}',
        b'{"$tb": true}',
        b'{"$tb": 1, "$maxCount": -1}',
        b'{"$tb": 9223372036854775808}',
        b"[" * 100_000,
        b"\xff",
        b"",
    ],
)
async def test_metadata_of_which_a_part_is_wrong_says_nothing(calls: Calls, document: bytes) -> None:
    await calls.batch("one", NO_STREAM, [event(), event()])
    await calls.batch("$$one", NO_STREAM, [described({"$maxCount": 1})])
    await calls.batch("$$one", 0, [event(data=document, event_type="$metadata")])
    assert await calls.read("one") == [(0, "Noted"), (1, "Noted"), ("last_stream_position", "1")]


async def test_metadata_counts_by_its_stream_and_by_being_json(calls: Calls) -> None:
    for stream in ("octets", "typed"):
        await calls.batch(stream, NO_STREAM, [event(), event()])
    await calls.batch("$$octets", NO_STREAM, [event(data=b'{"$tb":1}', content_type="text/plain")])
    await calls.batch("$$typed", NO_STREAM, [event(data=b'{"$tb":1}')])
    assert (await calls.read("octets"))[0] == (0, "Noted")
    assert (await calls.read("typed"))[0] == (1, "Noted")


async def test_refusal_names_a_stream_that_no_trailer_can_spell(calls: Calls) -> None:
    await calls.delete("höhe", for_ever=True)
    refused = await refusal_of(calls.delete("höhe"))
    assert refused.details == "Event stream 'höhe' is deleted."
    assert refused.trailers == {"exception": "stream-deleted", "stream-name": "h?he"}
