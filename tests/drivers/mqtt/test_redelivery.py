"""What DUP is worth, against brokers that give their ids in every way MQTT allows."""

import random
from collections import Counter, deque
from collections.abc import Callable

import pytest

from drivers.mqtt.redelivery import REMEMBERED_MIN, STEPS_MIN, Redeliveries, Verdict
from fakes.redelivering_broker import Broker, Gateway, Ids, Sent, counting, drawn, freed_last, lowest_free

SEEDS = range(40)


def gateway(ids: Ids, *, window: int = 20) -> Gateway:
    return Gateway(Broker(ids=ids, window=window))


def say(at: Gateway, *said: str) -> None:
    """Publish; each message has the next number."""
    first = len(at.events) + len(at.broker.queue) + len(at.broker.in_flight) + len(at.on_the_line)
    at.broker.queue += [Sent(number=first + index, says=each) for index, each in enumerate(said)]


def settled(at: Gateway, count: int, says: str = "0") -> None:
    """Let so many messages come and be acknowledged."""
    say(at, *[says] * count)
    at.catch_up()


def recorded(at: Gateway, count: int) -> list[tuple[str, bool]]:
    """What the newest events say, and whether they are declared as sent again."""
    return [(message.says, original is not None) for message, original in at.events[-count:]]


NEWS, DECLARED = False, True


def is_certain(known: Redeliveries, packet_id: int) -> bool:
    """Let a message with DUP arrive; whether it is a repetition if it says the same."""
    _, verdict = known.arrived(packet_id, is_marked=True)
    return verdict is not None and verdict.is_certain is True


@pytest.mark.parametrize("ids", [counting(), counting(last=30), lowest_free, freed_last])
@pytest.mark.parametrize("end", [Gateway.kill, Gateway.cut])
def test_a_door_that_opens_again_while_nobody_reads_is_recorded(ids: Ids, end: Callable[[Gateway], None]) -> None:
    door = gateway(ids)
    for said in ("0", "1", "0"):
        settled(door, 1, said)
    say(door, "1")
    door.flow()
    end(door)
    door.catch_up()
    assert [said for said, _ in recorded(door, 4)] == ["0", "1", "0", "1"]


def test_what_was_taken_and_never_acknowledged_is_a_repetition_whatever_the_broker_does_with_its_ids() -> None:
    for ids in (counting(), lowest_free, freed_last):
        door = gateway(ids)
        say(door, *["0"] * 10)
        door.flow()
        door.read(10)
        door.cut()
        door.catch_up()
        assert (len(door.events), len(door.repeated)) == (10, 10)


def test_an_acknowledgement_that_was_lost_gives_no_second_event_at_a_broker_that_counts() -> None:
    for end in (Gateway.kill, Gateway.cut):
        door = gateway(counting())
        settled(door, 100)
        door.is_deaf = True
        say(door, *["0"] * 15)
        door.flow()
        door.read(10)
        door.commit()
        door.acknowledge(10)
        end(door)
        door.catch_up()
        assert (len(door.events), len(door.repeated)) == (115, 10)
        assert recorded(door, 15) == [("0", NEWS)] * 15


@pytest.mark.parametrize("end", [Gateway.kill, Gateway.cut])
def test_where_an_id_proves_nothing_what_comes_again_is_recorded_and_declared(end: Callable[[Gateway], None]) -> None:
    door = gateway(lowest_free)
    settled(door, 200)
    # Id 1 again, and this one never arrives.
    say(door, "0")
    door.flow()
    end(door)
    door.catch_up()
    assert recorded(door, 2) == [("0", NEWS), ("0", DECLARED)]
    # It cannot be told from this: it arrived, and its acknowledgement did not.
    door.is_deaf = True
    settled(door, 1)
    assert recorded(door, 2) == [("0", NEWS), ("0", DECLARED)]
    assert door.repeated == []


def test_a_broker_that_has_not_counted_far_enough_is_not_believed() -> None:
    # If it goes back to 1 behind its newest id, as many messages as the window may have taken the ids up to 40.
    door = gateway(counting(), window=40)
    settled(door, 37)
    door.is_deaf = True
    settled(door, 6)
    assert len(door.events) == 37 + 6 + 3
    assert recorded(door, 3) == [("0", DECLARED)] * 3
    assert [message.number for message in door.repeated] == [40, 41, 42]


def test_a_broker_whose_ids_are_drawn_is_not_believed() -> None:
    door = gateway(drawn(random.Random(5)))
    settled(door, 1000)
    door.is_deaf = True
    settled(door, 1)
    assert recorded(door, 1) == [("0", DECLARED)]
    assert STEPS_MIN > 20


def test_numbers_that_come_round_within_reach_of_the_window_prove_nothing() -> None:
    door = gateway(counting(last=30), window=20)
    settled(door, 300)
    # After the newest id, 30, the broker begins anew: its next twenty reach those of the last ten.
    say(door, *["0"] * 20)
    door.flow()
    door.cut()
    door.catch_up()
    assert len(door.events) == 320
    assert door.repeated == []


def test_equal_messages_into_a_dead_line_are_kept_after_all_ids_were_used() -> None:
    door = gateway(counting(), window=512)
    settled(door, 68_000)
    say(door, *["0"] * 20)
    door.flow()
    door.cut()
    door.catch_up()
    assert len(door.events) == 68_020
    assert recorded(door, 20) == [("0", NEWS)] * 20
    assert len(door.redeliveries._numbers) <= REMEMBERED_MIN
    assert len(door.redeliveries._open) <= 512


def test_after_65535_follows_1_without_a_doubt() -> None:
    door = gateway(counting(first=65_400))
    settled(door, 140)
    door.is_deaf = True
    settled(door, 10)
    assert (len(door.events), len(door.repeated)) == (150, 10)


def test_a_message_under_an_id_that_said_something_else_is_news() -> None:
    door = gateway(lowest_free)
    settled(door, 1, "open")
    settled(door, 1, "closed")
    say(door, "open")
    door.flow()
    door.cut()
    door.catch_up()
    assert recorded(door, 3) == [("open", NEWS), ("closed", NEWS), ("open", NEWS)]


def test_what_comes_again_without_a_mark_is_news() -> None:
    door = gateway(counting())
    settled(door, 100)
    say(door, "0")
    door.flow()
    door.cut()
    door.on_the_line = deque(door.broker.restored())
    door.catch_up()
    assert recorded(door, 1) == [("0", NEWS)]
    assert len(door.events) == 101


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


def test_a_broker_that_was_restored_from_an_older_copy_and_counts_from_there_loses_nothing() -> None:
    for end in (Gateway.kill, Gateway.cut):
        door = gateway(counting(), window=40)
        settled(door, 100)
        door.broker.ids = counting(first=81)
        say(door, *["0"] * 5)
        door.flow()
        end(door)
        door.catch_up()
        assert len(door.events) == 105
        assert recorded(door, 5) == [("0", DECLARED)] * 5


def test_what_came_again_and_is_not_acknowledged_since_is_certain_the_next_time() -> None:
    known = Redeliveries(window=20)
    known.connected(is_resumed=True)
    known.arrived(1, is_marked=False)
    known.acknowledged([1])
    for expected in (False, True, True):
        known.connected(is_resumed=True)
        assert is_certain(known, 1) is expected


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


def any_ids(chance: random.Random, window: int) -> Ids:
    return chance.choice(
        [
            counting(first=chance.choice([1, 65_500])),
            counting(last=window + chance.randint(1, 3 * window)),
            lowest_free,
            freed_last,
            drawn(chance),
        ]
    )


def something_happens(door: Gateway, chance: random.Random) -> None:
    match chance.randrange(18):
        case 0:
            door.kill()
        case 1:
            door.cut()
        case 2:
            door.is_deaf = True
        case 3 | 4 | 5 | 6:
            door.flow()
        case 7 | 8 | 9 | 10:
            door.read(chance.randint(1, 2 * door.broker.window))
        case 11 | 12 | 13:
            door.commit()
        case 14:
            door.wait()
        case _:
            door.acknowledge(chance.randint(1, 2 * door.broker.window))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_message_is_lost_or_doubled_unseen_whatever_goes_wrong(seed: int) -> None:
    chance = random.Random(seed)
    window = chance.choice([1, 3, 20])
    door = gateway(any_ids(chance, window), window=window)
    said = chance.choice(["0", "01", "0123456"])
    published: list[Sent] = []
    for _ in range(2000):
        something_happens(door, chance)
        if chance.random() < 0.15:
            for _ in range(chance.randint(1, window)):
                is_sample = chance.random() < 0.9
                published.append(Sent(number=len(published), says=chance.choice(said), is_sample=is_sample))
                door.broker.queue.append(published[-1])
    door.kill()
    door.catch_up()
    news = Counter(message.number for message, original in door.events if original is None)
    declared = Counter(message.number for message, original in door.events if original is not None)
    assert set(news | declared) == {message.number for message in published if message.is_sample}, "lost"
    assert max(news.values()) == 1, "doubled without a word"
