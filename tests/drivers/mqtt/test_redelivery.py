"""What DUP is worth."""

import pytest

from drivers.mqtt.redelivery import Redeliveries

OPEN, CLOSED = ("door", b"open"), ("door", b"closed")


def test_what_came_under_the_same_id_came_before() -> None:
    known = Redeliveries()
    assert not known.came_before(*OPEN, 7, is_marked=False)
    assert known.came_before(*OPEN, 7, is_marked=True)
    assert known.came_before(*OPEN, 7, is_marked=True)


@pytest.mark.parametrize("other", [CLOSED, ("window", b"open")])
def test_another_message_under_the_same_id_did_not(other: tuple[str, bytes]) -> None:
    known = Redeliveries()
    assert not known.came_before(*OPEN, 7, is_marked=False)
    assert not known.came_before(*other, 7, is_marked=True)
    assert known.came_before(*other, 7, is_marked=True)


def test_an_unused_id_may_be_of_an_earlier_run_until_something_new_comes() -> None:
    known = Redeliveries()
    assert known.came_before(*OPEN, 7, is_marked=True)
    assert known.came_before(*OPEN, 65_535, is_marked=True)
    assert not known.came_before(*CLOSED, 9, is_marked=False)
    assert not known.came_before(*OPEN, 10, is_marked=True)


def test_what_needs_no_acknowledgement_says_nothing() -> None:
    known = Redeliveries()
    assert not known.came_before(*OPEN, 0, is_marked=False)
    assert known.came_before(*OPEN, 1, is_marked=True)
