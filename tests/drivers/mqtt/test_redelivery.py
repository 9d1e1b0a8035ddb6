"""What DUP is worth, against brokers that give their ids in every way MQTT allows."""

import random
from collections import Counter, deque
from collections.abc import Callable

import pytest

from drivers.mqtt.redelivery import REMEMBERED_MIN, STEPS_MIN
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


def test_what_was_lost_again_while_it_was_in_doubt_is_as_doubtful_the_next_time() -> None:
    door = gateway(counting(), window=40)
    settled(door, 100)
    # Restored from an older copy: it gives ids again under which we know equal messages.
    door.broker.ids = counting(first=81)
    say(door, *["0"] * 5)
    door.flow()
    door.cut()
    # They come, with DUP; and the connection is lost before it is clear what they are.
    door.read(5)
    assert len(door.waiting) == 5
    door.cut()
    door.catch_up()
    assert len(door.events) == 105
    assert recorded(door, 5) == [("0", DECLARED)] * 5


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
