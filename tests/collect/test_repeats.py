from dataclasses import replace
from uuid import UUID

from edge.collect.arrivals import KEYS_MAX, Repeats
from edge.domain.reading import Origin, Redelivery, Sample
from edge.storage.entries import Keyed
from edge.storage.writer import ENTRIES_MAX, ENTRIES_WAITING_MAX
from fakes.scripted_driver import good

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))
DOOR = b"the door"


def identified(key: bytes) -> Sample:
    return Sample(device_id="a", readings={"air_temperature": good()}, source_key=key, may_repeat=True)


def delivered(key: bytes, name: str, *, again: str = "", is_certain: bool = True) -> Sample:
    """A sample whose payload says nothing of its identity; `again`: the delivery that its sender may have repeated."""
    return Sample(
        device_id="a",
        readings={"air_temperature": good()},
        source_key=key,
        delivery=name.ljust(8).encode(),
        redelivery=Redelivery(of=again.ljust(8).encode(), is_certain=is_certain) if again else None,
    )


def retained(said: bytes, *, name: str = "") -> Sample:
    return Sample(
        device_id="a",
        readings={"air_temperature": good()},
        source_key=DOOR + said.ljust(8),
        origin=Origin.RETAINED,
        delivery=name.ljust(8).encode() if name else b"",
    )


def test_a_sample_with_a_known_identity_came_before() -> None:
    repeats = Repeats([Keyed(b"earlier run", b"", ONE)])
    assert repeats.repeats(identified(b"earlier run"))
    assert not repeats.repeats(identified(b"a"))
    repeats.remember(identified(b"a"), TWO)
    assert repeats.repeats(identified(b"a"))
    assert not repeats.repeats(identified(b"b"))


def test_an_equal_payload_without_identity_is_measured_again() -> None:
    repeats = Repeats([Keyed(b"21.4", b"", ONE), Keyed(b"21.4", b"first   ", TWO)])
    assert not repeats.repeats(delivered(b"21.4", "second"))
    assert repeats.original(delivered(b"21.4", "second")) is None


def test_no_key_is_no_identity() -> None:
    repeats = Repeats()
    repeats.remember(identified(b""), ONE)
    assert not repeats.repeats(identified(b""))
    repeats.remember(Sample(device_id="a", readings={"p": good()}, origin=Origin.RETAINED), None)
    assert not repeats.repeats(Sample(device_id="a", readings={"p": good()}, origin=Origin.RETAINED))


def test_a_certain_redelivery_came_before_only_if_the_same_was_taken_from_that_delivery() -> None:
    repeats = Repeats([Keyed(b"open", b"first   ", ONE)])
    repeats.remember(delivered(b"open", "second"), TWO)
    assert repeats.repeats(delivered(b"open", "x", again="first"))
    assert repeats.repeats(delivered(b"open", "x", again="second"))
    assert not repeats.repeats(delivered(b"closed", "x", again="second"))
    assert not repeats.repeats(delivered(b"open", "x", again="third"))


def test_a_likely_redelivery_names_its_original_and_is_no_repetition() -> None:
    repeats = Repeats([Keyed(b"open", b"first   ", ONE)])
    repeats.remember(delivered(b"open", "second"), TWO)
    again = [delivered(b"open", "x", again=name, is_certain=False) for name in ("first", "second", "third")]
    assert [repeats.original(sample) for sample in again] == [ONE, TWO, None]
    assert not any(repeats.repeats(sample) for sample in again)


def test_a_delivery_proves_it_where_a_clock_that_was_set_meanwhile_made_an_identity_of_the_payloads_time() -> None:
    repeats = Repeats()
    repeats.remember(delivered(b"12:00 open", "first"), ONE)
    assert repeats.repeats(replace(delivered(b"12:00 open", "x", again="first", is_certain=False), may_repeat=True))
    repeats.remember(replace(delivered(b"13:00 open", "second"), may_repeat=True), TWO)
    assert repeats.repeats(delivered(b"13:00 open", "x", again="second"))
    assert repeats.original(delivered(b"13:00 open", "x", again="second")) == TWO


def test_what_was_retained_is_news_unless_it_is_what_its_place_said_last() -> None:
    repeats = Repeats([Keyed(DOOR + b"open    ", b"", ONE)])
    assert repeats.repeats(retained(b"open"))
    assert not repeats.repeats(retained(b"closed"))
    # Meanwhile, another value: what is retained after it was said again.
    repeats.remember(delivered(DOOR + b"closed  ", "live"), TWO)
    assert not repeats.repeats(retained(b"open"))
    assert repeats.repeats(retained(b"closed"))
    repeats.remember(retained(b"open", name="third"), THREE)
    assert repeats.repeats(retained(b"open"))


def test_what_another_place_says_changes_nothing_of_what_was_retained() -> None:
    repeats = Repeats()
    repeats.remember(retained(b"open"), ONE)
    repeats.remember(delivered(b"a window" + b"closed  ", "live"), TWO)
    assert repeats.repeats(retained(b"open"))


def test_the_oldest_keys_are_forgotten() -> None:
    repeats = Repeats([Keyed(key, b"", ONE) for key in (b"0", b"1")], keys_max=3)
    for key in (b"2", b"0", b"3"):
        repeats.remember(identified(key), TWO)
    assert [key for key in (b"0", b"1", b"2", b"3") if repeats.repeats(identified(key))] == [b"0", b"2", b"3"]


def test_nothing_is_forgotten_that_is_on_its_way_to_disk() -> None:
    assert KEYS_MAX > ENTRIES_WAITING_MAX + ENTRIES_MAX
