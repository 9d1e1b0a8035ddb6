import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.event import RecordedEvent
from edge.domain.event_store import NO_STREAM
from edge.forward.reconcile import Kinship, Landed, Origin, Standing, origin_of, standing, standing_at_end

RUN = UUID(int=1)


def event(revision: int, *, number: int = 0, data: bytes = b"{}", metadata: bytes = b"{}") -> RecordedEvent:
    return RecordedEvent(
        event_id=UUID(int=number or revision + 100),
        type="T",
        data=data,
        metadata=metadata,
        stream="s-1",
        revision=revision,
    )


def test_the_event_at_the_acknowledged_revision_tells_whether_it_is_the_same_stream() -> None:
    assert standing(5, UUID(int=105), [event(5)]) is Standing.HOLDS
    assert standing(5, UUID(int=999), [event(5)]) is Standing.WENT_BACK
    assert standing(5, None, [event(5)]) is Standing.HOLDS


def test_a_truncated_event_is_no_restoration() -> None:
    assert standing(5, UUID(int=999), [event(8)]) is Standing.HOLDS


def test_where_nothing_is_seen_the_end_of_the_stream_decides() -> None:
    assert standing(5, UUID(int=105), []) is Standing.UNSEEN
    assert standing_at_end(5, UUID(int=105), []) is Standing.HOLDS
    assert standing_at_end(5, UUID(int=105), [event(3)]) is Standing.WENT_BACK


def test_a_stream_that_grows_between_two_reads_is_read_again() -> None:
    assert standing_at_end(5, UUID(int=105), [event(7)]) is Standing.UNSEEN
    assert standing_at_end(5, UUID(int=105), [event(5)]) is Standing.HOLDS
    assert standing_at_end(5, UUID(int=999), [event(5)]) is Standing.WENT_BACK


def test_a_stream_that_should_not_exist_has_nothing_to_compare() -> None:
    assert standing(NO_STREAM, None, [event(0)]) is Standing.HOLDS


@given(st.lists(st.tuples(st.sampled_from(Kinship), st.integers(1, 1000)), min_size=1))
def test_the_tail_is_adopted_and_the_newest_position_of_ours_is_what_landed(seen: list[tuple[Kinship, int]]) -> None:
    landed = Landed(revision=NO_STREAM, event_id=None)
    for revision, (kinship, position) in enumerate(seen):
        landed.add(event(revision), Origin(kinship=kinship, run=RUN, position=position))
    ours = [position for kinship, position in seen if kinship is Kinship.OURS]
    assert (landed.revision, landed.event_id) == (len(seen) - 1, UUID(int=len(seen) + 99))
    assert (landed.position, landed.count) == (max(ours, default=0), len(ours))
    assert (landed.foreign is None) == all(kinship is not Kinship.FOREIGN for kinship, _ in seen)
    assert (landed.of_unknown_run is None) == all(kinship is not Kinship.UNKNOWN_RUN for kinship, _ in seen)


def origin(data: object, metadata: object) -> Kinship:
    recorded = event(0, data=json.dumps(data).encode(), metadata=json.dumps(metadata).encode())
    return origin_of(
        recorded, gateway_id="north-1", is_known=lambda run, position: run == RUN and position <= 10
    ).kinship


OURS = {"gatewayId": "north-1"}


def test_an_event_is_ours_by_gateway_run_and_position() -> None:
    assert origin(OURS, {"run": str(RUN), "position": 10}) is Kinship.OURS
    assert origin(OURS, {"run": str(RUN), "position": 11}) is Kinship.UNKNOWN_RUN
    assert origin(OURS, {"run": str(UUID(int=2)), "position": 1}) is Kinship.UNKNOWN_RUN
    assert origin({"gatewayId": "south-1"}, {"run": str(RUN), "position": 1}) is Kinship.FOREIGN


@pytest.mark.parametrize(
    "metadata", [None, [], {"run": 5, "position": 1}, {"run": "x", "position": 1}, {"run": str(RUN)}]
)
def test_what_cannot_be_read_is_somebody_elses(metadata: object) -> None:
    assert origin(OURS, metadata) is Kinship.FOREIGN


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_somebodys(data: bytes, metadata: bytes) -> None:
    found = origin_of(
        event(0, data=data, metadata=metadata), gateway_id="north-1", is_known=lambda _run, _position: True
    )
    assert found.kinship is Kinship.FOREIGN
