import pytest

from edge.storage.writer import CONTROL_WAITING_RESERVE, Intake
from fakes.outbox_drafts import Drafting


def test_drafts_are_given_in_the_order_they_came() -> None:
    intake = Intake()
    drafts = [Drafting().sample() for _ in range(5)]
    assert all(intake.offer(draft) for draft in drafts)
    assert intake.give(3) + intake.give(3) == drafts
    assert (intake.taken, intake.given, len(intake)) == (5, 5, 0)


def test_a_full_queue_refuses_samples_but_still_takes_control_events() -> None:
    intake = Intake(entries_max=2)
    assert [intake.offer(Drafting().sample()) for _ in range(3)] == [True, True, False]
    assert [intake.offer(Drafting().control()) for _ in range(CONTROL_WAITING_RESERVE)] == [
        True
    ] * CONTROL_WAITING_RESERVE
    assert not intake.offer(Drafting().control())
    assert intake.refused == 2


def test_who_can_wait_leaves_room_for_who_cannot() -> None:
    intake = Intake(entries_max=4)
    waiting = [intake.offer(Drafting().sample(), can_wait=True) for _ in range(3)]
    asked = [intake.offer(Drafting().sample()) for _ in range(3)]
    assert (waiting, asked) == ([True, True, False], [True, True, False])
    # What is offered again is not lost.
    assert intake.refused == 1


def test_what_an_author_waits_for_is_never_refused() -> None:
    intake = Intake(entries_max=0)
    for _ in range(CONTROL_WAITING_RESERVE + 1):
        intake.put(Drafting().control())
    assert len(intake) == CONTROL_WAITING_RESERVE + 1


@pytest.mark.parametrize(("event_bytes", "places"), [(500, 100), (10_000, 10), (1, 100)])
def test_long_events_make_the_queue_shorter(event_bytes: int, places: int) -> None:
    intake = Intake(entries_max=100, bytes_max=100_000)
    for _ in range(200):
        intake.learn_size(10, 10 * event_bytes)
    taken = sum(intake.offer(Drafting().sample()) for _ in range(200))
    assert taken == pytest.approx(places, abs=1)


def test_room_comes_back_when_drafts_are_given_out() -> None:
    intake = Intake(entries_max=1)
    assert intake.offer(Drafting().sample())
    assert not intake.offer(Drafting().sample())
    intake.give(1)
    assert intake.offer(Drafting().sample())
