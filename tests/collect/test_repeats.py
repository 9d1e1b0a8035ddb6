from edge.collect.repeats import KEYS_MAX, Repeats
from edge.domain.reading import Sample
from edge.storage.intake import ENTRIES_WAITING_MAX
from edge.storage.writer import ENTRIES_MAX
from fakes.scripted_driver import good


def sample(key: bytes, *, may_repeat: bool = True) -> Sample:
    return Sample(device_id="a", readings={"air_temperature": good()}, source_key=key, may_repeat=may_repeat)


def test_a_sample_with_a_known_key_came_before() -> None:
    repeats = Repeats([b"earlier run"])
    assert repeats.repeats(sample(b"earlier run"))
    assert not repeats.repeats(sample(b"a"))
    repeats.remember(b"a")
    assert repeats.repeats(sample(b"a"))
    assert not repeats.repeats(sample(b"b"))


def test_an_equal_payload_without_identity_is_measured_again() -> None:
    assert not Repeats([b"21.4"]).repeats(sample(b"21.4", may_repeat=False))


def test_no_key_is_no_identity() -> None:
    repeats = Repeats([b""])
    repeats.remember(b"")
    assert not repeats.repeats(sample(b""))


def test_the_oldest_keys_are_forgotten() -> None:
    repeats = Repeats([b"0", b"1"], keys_max=3)
    for key in (b"2", b"0", b"3"):
        repeats.remember(key)
    assert [key for key in (b"0", b"1", b"2", b"3") if repeats.repeats(sample(key))] == [b"0", b"2", b"3"]


def test_nothing_is_forgotten_that_is_on_its_way_to_disk() -> None:
    assert KEYS_MAX > ENTRIES_WAITING_MAX + ENTRIES_MAX
