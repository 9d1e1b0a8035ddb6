"""Copies of one message, and what a broker is asked for."""

import random

from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt.subscriptions import (
    FILTERS_PER_PACKET,
    IDENTIFIER_MAX,
    PLAIN,
    TOPICS_REMEMBERED_MAX,
    Copies,
    Subscription,
    packets,
)

FILTERS = [(1,), (2,), (3, 4)]


@given(st.lists(st.sampled_from([b"on", b"off"])), st.integers(1, 3), st.randoms(use_true_random=False))
def test_each_message_counts_once_however_many_filters_bring_it(
    payloads: list[bytes], filters: int, chance: random.Random
) -> None:
    copies = Copies()
    news = []
    for payload in payloads:
        arrivals = FILTERS[:filters]
        chance.shuffle(arrivals)
        news += [payload for identifiers in arrivals if not copies.is_copy("door", payload, identifiers)]
    assert news == payloads


def test_a_filter_that_joins_later_takes_nothing_away() -> None:
    copies = Copies()
    arrivals = [(1,), (1,), (1,), (2,), (1,), (2,)]
    assert [copies.is_copy("door", b"on", each) for each in arrivals] == [False, False, False, True, False, True]


def test_topics_are_told_apart_and_the_oldest_forgotten() -> None:
    copies = Copies()
    for number in range(TOPICS_REMEMBERED_MAX + 1):
        assert not copies.is_copy(f"door/{number}", b"on", (1,))
    assert copies.is_copy("door/1", b"on", (2,))
    assert not copies.is_copy("door/0", b"on", (2,))


def test_filters_that_may_match_the_same_topic_are_asked_for_under_numbers_of_their_own() -> None:
    plain = [Subscription(f"house/{number}") for number in range(FILTERS_PER_PACKET + 1)]
    wild = [Subscription("house/+"), Subscription("#")]
    asked = list(packets([wild[0], *plain, wild[1]]))
    assert sorted(map(len, asked)) == [1, 1, 1, FILTERS_PER_PACKET]
    assert {item.identifier for item in plain} == {PLAIN}
    assert len({PLAIN, *(item.identifier for item in wild)}) == 3


@given(st.text())
def test_a_number_is_one_of_mqtts_and_the_same_in_every_run(text: str) -> None:
    subscription = Subscription(f"{text}/#")
    assert PLAIN < subscription.identifier <= IDENTIFIER_MAX
    assert Subscription("zigbee2mqtt/#").identifier == ZIGBEE


# What sessions of brokers hold already.
ZIGBEE = 14_477_487
