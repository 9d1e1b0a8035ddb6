"""What is certain of a message with DUP, id by id."""

import pytest

from drivers.mqtt.redelivery import REMEMBERED_MIN, Redeliveries, Verdict


def is_certain(known: Redeliveries, packet_id: int) -> bool:
    """Let a message with DUP arrive; whether it is a repetition if it says the same."""
    _, verdict = known.arrived(packet_id, is_marked=True)
    return verdict is not None and verdict.is_certain is True


def test_a_broker_that_renumbers_what_it_sends_again_loses_nothing() -> None:
    # Against the rules; a broker that counts anew on each connection does it.
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    for packet_id in range(1, 101):
        known.arrived(packet_id, is_marked=False)
        known.acknowledged([packet_id])
    known.connected(is_resumed=True)
    assert not any(is_certain(known, packet_id) for packet_id in range(1, 101))


def hundred_acknowledged() -> Redeliveries:
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    for packet_id in range(1, 101):
        known.arrived(packet_id, is_marked=False)
        known.acknowledged([packet_id])
    known.connected(is_resumed=True)
    return known


def verdicts(known: Redeliveries, *packet_ids: int) -> list[Verdict]:
    """Let messages with DUP arrive, under ids that are known."""
    arrived = [known.arrived(packet_id, is_marked=True)[1] for packet_id in packet_ids]
    return [verdict for verdict in arrived if verdict is not None]


@pytest.mark.parametrize("odd", [[7000, 100], [100, 99], [1, 100]])
def test_nothing_is_certain_of_a_broker_that_breaks_the_order_until_it_is_connected_anew(odd: list[int]) -> None:
    known = hundred_acknowledged()
    assert verdicts(known, *odd)[-1].is_certain is False
    again = hundred_acknowledged()
    verdicts(again, 1)
    again.acknowledged([1])
    again.connected(is_resumed=True)
    assert [verdict.is_certain for verdict in verdicts(again, 99, 100)] == [True, True]


def test_what_comes_again_is_certain_when_the_newest_has_come_again() -> None:
    known = hundred_acknowledged()
    waiting = verdicts(known, 97, 98, 99)
    assert [verdict.is_certain for verdict in waiting] == [None, None, None]
    verdicts(known, 100)
    assert [verdict.is_certain for verdict in waiting] == [True, True, True]


def test_what_comes_again_is_certain_when_one_that_was_not_acknowledged_comes_behind_it() -> None:
    known = hundred_acknowledged()
    for packet_id in (101, 102):
        known.arrived(packet_id, is_marked=False)
    known.connected(is_resumed=True)
    assert [verdict.is_certain for verdict in verdicts(known, 100, 101)] == [True, True]


def test_what_a_broker_sends_again_on_the_same_connection_waits_for_nothing() -> None:
    known = hundred_acknowledged()
    known.arrived(101, is_marked=False)
    known.acknowledged([101])
    assert [verdict.is_certain for verdict in verdicts(known, 101)] == [True]


@pytest.mark.parametrize("what_follows", [(101, False), (7000, True), (1, True)])
def test_what_comes_again_without_the_newest_stays_in_doubt(what_follows: tuple[int, bool]) -> None:
    known = hundred_acknowledged()
    waiting = verdicts(known, 98, 99)
    packet_id, is_marked = what_follows
    known.arrived(packet_id, is_marked=is_marked)
    assert [verdict.is_certain for verdict in waiting] == [False, False]
    verdicts(known, 100)
    assert [verdict.is_certain for verdict in waiting] == [False, False]


def test_what_came_again_and_is_not_acknowledged_since_is_certain_the_next_time() -> None:
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    known.arrived(1, is_marked=False)
    known.acknowledged([1])
    for expected in (False, True, True):
        known.connected(is_resumed=True)
        assert is_certain(known, 1) is expected
        known.looked_at(1)


def test_what_came_again_and_was_not_looked_at_proves_nothing_the_next_time() -> None:
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    known.arrived(1, is_marked=False)
    known.acknowledged([1])
    for _ in range(3):
        known.connected(is_resumed=True)
        assert not is_certain(known, 1)


def test_an_id_that_is_used_again_on_one_connection_is_in_use() -> None:
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    known.arrived(1, is_marked=False)
    known.acknowledged([1])
    known.arrived(1, is_marked=False)
    known.connected(is_resumed=True)
    assert is_certain(known, 1)


def test_what_is_remembered_is_bounded_whether_it_is_acknowledged_or_not() -> None:
    known = Redeliveries(window=20)
    for packet_id in range(1, 65_536, 2):
        known.arrived(packet_id, is_marked=False)
        known.copied(packet_id + 1, is_marked=False)
    assert len(known._numbers) == REMEMBERED_MIN
    assert len(known._open) == REMEMBERED_MIN
    assert len(known._copies) == REMEMBERED_MIN / 2
    for packet_id in range(1, 65_536):
        known.arrived(packet_id, is_marked=False)
        known.acknowledged([packet_id])
    assert len(known._released) == REMEMBERED_MIN
    assert not known._open


def test_a_broker_that_lost_the_session_begins_anew() -> None:
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    first, _ = known.arrived(7, is_marked=False)
    known.connected(is_resumed=True)
    _, again = known.arrived(7, is_marked=True)
    assert again is not None
    assert (again.of, again.is_certain) == (first, True)
    known.connected(is_resumed=False)
    assert known.arrived(7, is_marked=True)[1] is None


def test_the_deliveries_of_another_session_are_not_recalled() -> None:
    one, other = Redeliveries(session="one", window=20), Redeliveries(session="other", window=20)
    names = [one.arrived(packet_id, is_marked=False)[0] for packet_id in range(1, 200)]
    other.recall(names)
    other.connected(is_resumed=True)
    assert other.arrived(199, is_marked=True)[1] is None
    again = Redeliveries(session="one", window=20)
    # Some messages gave two samples.
    again.recall(name for name in names for _ in range(2))
    again.connected(is_resumed=True)
    redelivery = again.arrived(199, is_marked=True)[1]
    assert redelivery is not None
    assert (redelivery.of, redelivery.is_certain) == (names[-1], True)


def test_a_copy_that_comes_again_is_the_message_it_copied() -> None:
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    first, _ = known.arrived(7, is_marked=False)
    known.copied(8, is_marked=False)
    known.acknowledged([7])
    known.connected(is_resumed=True)
    # Without the other: that one's acknowledgement arrived.
    _, again = known.arrived(8, is_marked=True)
    assert again is not None
    assert (again.of, again.is_certain) == (first, True)
    # Another message under its id is not the copy any more.
    second, _ = known.arrived(8, is_marked=False)
    known.connected(is_resumed=True)
    _, again = known.arrived(8, is_marked=True)
    assert again is not None
    assert again.of == second


def test_copies_come_again_in_the_place_of_their_message() -> None:
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    names = []
    for packet_id in (1, 3, 5):
        names.append(known.arrived(packet_id, is_marked=False)[0])
        known.copied(packet_id + 1, is_marked=False)
    known.connected(is_resumed=True)
    for packet_id in (1, 3, 5):
        known.arrived(packet_id, is_marked=True)
        known.copied(packet_id + 1, is_marked=True)
    known.connected(is_resumed=True)
    again = verdicts(known, 1, 2, 3, 4, 5, 6)
    assert [verdict.is_certain for verdict in again] == [True] * 6
    assert [verdict.of for verdict in again] == [name for name in names for _ in range(2)]


def test_a_copy_of_what_an_earlier_run_took_is_known_as_that() -> None:
    earlier = Redeliveries(window=20)
    taken, _ = earlier.arrived(7, is_marked=False)
    known = Redeliveries(window=20)
    known.recall([taken])
    known.connected(is_resumed=True)
    known.arrived(7, is_marked=True)
    known.copied(8, is_marked=True)
    known.connected(is_resumed=True)
    assert [verdict.of for verdict in verdicts(known, 8)] == [taken]


def test_an_id_that_is_sent_again_on_one_connection_may_be_free_behind_it() -> None:
    # MQTT 3.1.1 allows it; our acknowledgement was on its way, and the broker may use the id once more.
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    known.arrived(1, is_marked=False)
    known.acknowledged([1])
    known.arrived(1, is_marked=True)
    known.connected(is_resumed=True)
    _, again = known.arrived(1, is_marked=True)
    assert again is not None
    assert not again.is_certain


def test_what_needs_no_acknowledgement_says_nothing() -> None:
    known = Redeliveries(window=20)
    assert known.arrived(0, is_marked=False) == (b"", None)
    assert known.arrived(0, is_marked=True) == (b"", None)
