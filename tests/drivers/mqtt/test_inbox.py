"""The order of acknowledgement, against a model that looks at all messages each time."""

import asyncio
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt.device import Message
from drivers.mqtt.inbox import DOUBT_S, WAITING_BYTES_MAX, Delivery, Inbox
from drivers.mqtt.redelivery import Redeliveries
from edge.domain.reading import Reading, Sample
from fakes.virtual_time import run_virtual


def message(number: int) -> Message:
    return Message(topic=f"house/{number}", payload=b"1", received_at_ms=0)


def samples(count: int) -> list[Sample]:
    return [Sample(device_id="bench", readings={"level": Reading(value=1.0, unit="m")}) for _ in range(count)]


def looked_at(inbox: Inbox, counts: Sequence[int]) -> list[tuple[Delivery, list[Sample]]]:
    """Let messages arrive that give so many samples each; packet ids start at 1."""
    looked: list[tuple[Delivery, list[Sample]]] = []
    for number, count in enumerate(counts, 1):
        inbox.arrived(message(number), number)
        delivery = inbox.next()
        assert delivery is not None
        own = samples(count)
        inbox.owe(delivery, own)
        delivery.owed -= 1
        looked.append((delivery, own))
    return looked


@given(st.lists(st.integers(0, 3), max_size=8), st.randoms(use_true_random=False))
def test_a_message_is_released_once_when_it_and_all_before_it_are_done(
    counts: list[int], chance: random.Random
) -> None:
    inbox = Inbox(inflight_max=100)
    looked = looked_at(inbox, counts)
    left = {delivery.packet_id: len(own) for delivery, own in looked}
    order = [(delivery.packet_id, sample) for delivery, own in looked for sample in own]
    chance.shuffle(order)
    released = inbox.released()
    for packet_id, sample in order:
        inbox.accepted([sample])
        left[packet_id] -= 1
        released += inbox.released()
        done = next((number for number, owed in left.items() if owed), len(counts) + 1)
        assert released == list(range(1, done))
    assert released == list(range(1, len(counts) + 1))
    assert len(inbox) == 0


def test_few_long_messages_fill_it_as_many_short_ones_do() -> None:
    inbox = Inbox(inflight_max=512)
    long = Message(topic="house/plan", payload=bytes(WAITING_BYTES_MAX // 4), received_at_ms=0)
    for number in range(1, 5):
        assert not inbox.is_full
        inbox.arrived(long, number)
    assert inbox.is_full
    delivery = inbox.next()
    assert delivery is not None
    delivery.owed -= 1
    assert inbox.released() == [1]
    assert not inbox.is_full


def test_equal_samples_are_told_apart() -> None:
    inbox = Inbox(inflight_max=10)
    (_, [first]), (_, [second]) = looked_at(inbox, [1, 1])
    assert first == second
    inbox.accepted([second])
    assert inbox.released() == []
    inbox.accepted([first])
    assert inbox.released() == [1, 2]


def test_a_sample_that_is_accepted_twice_or_came_on_another_connection_changes_nothing() -> None:
    old, inbox = Inbox(inflight_max=10), Inbox(inflight_max=10)
    [(_, early)] = looked_at(old, [2])
    [(_, own)] = looked_at(inbox, [2])
    inbox.accepted(early)
    inbox.accepted([own[0], own[0]])
    assert inbox.released() == []
    inbox.accepted([own[1]])
    assert inbox.released() == [1]


def test_a_message_without_packet_id_is_only_forgotten() -> None:
    inbox = Inbox(inflight_max=1)
    inbox.arrived(message(0), 0)
    delivery = inbox.next()
    assert delivery is not None
    assert inbox.is_full
    delivery.owed -= 1
    assert inbox.released() == []
    assert not inbox.is_full


def again(inbox: Inbox, said: Message, packet_id: int) -> Message:
    """Let the message arrive on the next connection, with DUP."""
    inbox.connected(is_resumed=True)
    inbox.arrived(said._replace(is_repeated=True), packet_id)
    delivery = inbox.next()
    assert delivery is not None
    return delivery.message


def test_a_copy_that_comes_again_alone_is_known_as_its_message() -> None:
    inbox = Inbox(inflight_max=10)
    inbox.arrived(message(1), 7)
    inbox.copied(message(1), 8)
    first = inbox.next()
    assert first is not None
    redelivery = again(inbox, message(1), 8).redelivery
    assert redelivery is not None
    assert redelivery.of == first.message.delivery


def test_what_could_not_be_read_has_used_its_packet_id() -> None:
    inbox = Inbox(inflight_max=10)
    inbox.arrived(message(1), 7)
    first = inbox.next()
    assert first is not None
    inbox.unreadable(message(2), "too long", 7)
    inbox.next()
    redelivery = again(inbox, message(1), 7).redelivery
    assert redelivery is not None
    assert redelivery.of != first.message.delivery


def test_what_is_in_doubt_is_handed_out_when_nothing_more_comes() -> None:
    known = Redeliveries(window=20)

    async def main() -> None:
        before = Inbox(inflight_max=100, redeliveries=known)
        for packet_id in range(1, 101):
            before.arrived(message(packet_id), packet_id)
            known.acknowledged([packet_id])
        inbox = Inbox(inflight_max=100, redeliveries=known)
        inbox.connected(is_resumed=True)
        for packet_id in (98, 99):
            inbox.arrived(message(packet_id)._replace(is_repeated=True), packet_id)
        assert inbox.next() is None
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        # What needs no acknowledgement tells nothing of it, however often it comes.
        loop.call_at(began_s + DOUBT_S / 2, inbox.arrived, message(0), 0)
        await inbox.wait()
        assert inbox.next() is None
        await inbox.wait()
        assert loop.time() == began_s + DOUBT_S
        redeliveries = [delivery.message.redelivery for delivery in iter(inbox.next, None)]
        assert [redelivery and redelivery.is_certain for redelivery in redeliveries] == [False, False, None]

    run_virtual(main)


def test_what_comes_again_slowly_is_waited_for() -> None:
    known = Redeliveries(window=20)

    async def main() -> None:
        before = Inbox(inflight_max=100, redeliveries=known)
        for packet_id in range(1, 101):
            before.arrived(message(packet_id), packet_id)
            known.acknowledged([packet_id])
        inbox = Inbox(inflight_max=100, redeliveries=known)
        inbox.connected(is_resumed=True)
        loop = asyncio.get_running_loop()
        for number, packet_id in enumerate((97, 98, 99, 100)):
            loop.call_later(
                number * 0.9 * DOUBT_S, inbox.arrived, message(packet_id)._replace(is_repeated=True), packet_id
            )
        while (first := inbox.next()) is None:
            await inbox.wait()
        others = [delivery.message.redelivery for delivery in iter(inbox.next, None)]
        assert [redelivery and redelivery.is_certain for redelivery in (first.message.redelivery, *others)] == [
            True
        ] * 4

    run_virtual(main)


def test_nothing_that_waits_to_be_looked_at_ends_the_wait_for_the_answer_to_a_subscription() -> None:
    async def main() -> None:
        inbox = Inbox(inflight_max=100)
        inbox.connected(is_resumed=True)
        inbox.arrived(message(1), 1)
        inbox.arrived(message(2)._replace(is_repeated=True), 2)
        loop = asyncio.get_running_loop()
        loop.call_later(5 * DOUBT_S, inbox.subscribed)
        await inbox.begin()
        assert loop.time() == 5 * DOUBT_S

    run_virtual(main)
