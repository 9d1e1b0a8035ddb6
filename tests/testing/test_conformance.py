"""The conformance suite passes a driver that keeps the rules, and fails one that breaks any of them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from unittest import SkipTest

import pytest

from edge.domain.reading import Value
from edge.domain.settings import ConnectionSettings
from edge.testing.conformance import DriverConformance
from edge.testing.polled import PolledDriverConformance
from edge.testing.pushed import PushedDriverConformance
from edge.testing.writing import Writable, WritingDriverConformance
from fakes.moody_drivers import TRUTH, Bus, PolledOnBus, PushedOnBus, kind_of, settings

# Drivers wait for ever in some moods.
PATIENCE_S = 2.0


class OnBus(DriverConformance):
    """What the devices of both do."""

    bus: Bus

    def connection(self) -> ConnectionSettings:
        return settings()

    @asynccontextmanager
    async def devices(self) -> AsyncIterator[None]:
        self.bus.is_there = True
        yield

    def truth(self, device_id: str) -> Mapping[str, Value]:
        return {"air_temperature": TRUTH[device_id]}

    async def babble(self, device_id: str) -> None:
        self.bus.babbling.add(device_id)

    async def cut(self) -> None:
        self.bus.is_cut = True

    async def mend(self) -> None:
        self.bus.mend()


class Polled(OnBus, PolledDriverConformance):
    async def silence(self, device_id: str) -> None:
        self.bus.silent.add(device_id)

    async def fail_sensor(self, device_id: str) -> None:
        self.bus.failed.add(device_id)


class Writing(Polled, WritingDriverConformance):
    def truth(self, device_id: str) -> Mapping[str, Value]:
        return {} if device_id == "warm" else super().truth(device_id)

    def writable(self) -> Writable:
        return Writable(device_id="warm", point_id="air_temperature", taken=(10.0, 25.0), refused=(80.0, "hot"))


class Pushed(OnBus, PushedDriverConformance):
    async def babble(self, device_id: str) -> None:
        self.bus.arrived.append((device_id, "??"))

    async def speak(self, device_id: str) -> None:
        self.bus.ask(device_id)


def names_of(suite: type[OnBus]) -> list[str]:
    return [name for name in dir(suite) if name.startswith("test_")]


WRITING = sorted(set(names_of(Writing)) - set(names_of(Polled)))


def proved(suite: type[OnBus], mood: str, name: str, patience_s: float = 60.0) -> None:
    """Run one claim about a driver in this mood, as pytest would: on a new instance."""
    bus = Bus(mood)
    driver = PushedOnBus if suite is Pushed else PolledOnBus
    subject = suite()
    subject.bus = bus
    vars(subject).update(kind=kind_of(bus, driver), patience_s=patience_s)
    getattr(subject, name)()


@pytest.mark.parametrize("name", names_of(Polled))
def test_a_polled_driver_without_fault_passes(name: str) -> None:
    proved(Polled, "", name)


@pytest.mark.parametrize("name", WRITING)
def test_a_writing_driver_without_fault_passes(name: str) -> None:
    proved(Writing, "", name)


@pytest.mark.parametrize("name", names_of(Pushed))
def test_a_pushed_driver_without_fault_passes(name: str) -> None:
    proved(Pushed, "", name)


BOTH = [
    ("is for another gateway", "the_registry_takes_the_kind", "driver API 2"),
    ("looks at the bus when it is made", "a_driver_is_made_without_its_devices", "there is no bus"),
    ("warns of a device that is not there", "what_is_said_of_a_connection_names_its_devices", "hot"),
    ("decodes what it does not know", "what_cannot_be_decoded_is_refused", "its point has the unit 'Cel'"),
    ("searches longer than it says", "a_search_takes_no_more_steps_than_it_says", "has 1 steps, and yields 2 times"),
    (
        "finds a device that is not there",
        "a_search_takes_no_more_steps_than_it_says",
        "that are not there: .'hot', 'hot'",
    ),
    ("raises what the system raised", "a_transport_that_is_away_is_a_lost_connection", "/dev/bus"),
    ("closes a moment later", "what_is_closed_is_free_to_be_opened", "the bus is away"),
    ("keeps the port when it is cancelled", "a_cancelled_opening_can_be_tried_again", "the bus is away"),
    ("does not close", "a_cancelled_opening_can_be_tried_again", "has not ended after 2 s"),
    ("forgets the unit", "values_are_converted_into_the_canonical_unit", "with its point's conversion it is"),
    ("never comes back", "a_transport_that_was_lost_is_opened_again", "the driver does not"),
]
POLLED = [
    ("is taken for the other kind", "the_kind_is_polled", "for devices that speak when they like"),
    ("names the wrong unit", "a_sample_holds_what_the_device_shows", "its point has the unit 'Cel'"),
    ("names no device", "a_sample_holds_what_the_device_shows", "the sample is of 'bus'"),
    ("names points of its own", "a_sample_holds_what_the_device_shows", "has no point 'temperature'"),
    ("gives texts", "a_sample_holds_what_the_device_shows", "its point is a number"),
    ("forgets the unit", "a_sample_holds_what_the_device_shows", "the driver says 86.0"),
    ("can be opened once", "a_driver_is_opened_again_and_again", "the pool is shut down"),
    ("raises a time-out", "a_silent_device_is_unreachable_and_no_other", "the driver raised TimeoutError"),
    ("gives zero for silence", "a_silent_device_is_unreachable_and_no_other", "cannot answer, and the driver gave"),
    ("gives up the bus for one device", "a_silent_device_is_unreachable_and_no_other", "no answer"),
    ("raises its parser's error", "rubbish_gives_no_value", "could not convert"),
    ("gives the last value", "rubbish_gives_no_value", "said rubbish, and these are good: air_temperature"),
    ("gives the value of a failed sensor", "a_failed_sensor_has_no_value", "no reading is bad"),
    ("takes a lost bus for rubbish", "a_transport_that_was_lost_is_opened_again", "nothing was there to answer"),
    ("takes an owed answer", "a_cancelled_poll_leaves_the_transport_usable_or_closed", "cold shows"),
    ("swallows its cancellation", "a_cancelled_poll_leaves_the_transport_usable_or_closed", "has not ended after 2 s"),
    ("blocks", "a_driver_leaves_the_loop_to_others", "keeps the loop from all other connections"),
]
PUSHED = [
    ("is taken for the other kind", "the_kind_says_after_which_silence_a_device_is_lost", "count as polled"),
    ("names the wrong unit", "what_a_device_says_is_received", "its point has the unit 'Cel'"),
    ("forgets the unit", "what_a_device_says_is_received", "the driver says 86.0"),
    ("acknowledges to a closed bus", "samples_may_be_accepted_after_closing", "the socket is closed"),
    ("raises its parser's error", "rubbish_gives_no_value_and_ends_nothing", "could not convert"),
    ("gives the last value", "rubbish_gives_no_value_and_ends_nothing", "warm shows air_temperature = 30.0"),
    ("does not notice the end", "a_transport_that_was_lost_is_opened_again", "`receive` waits on"),
    ("blocks", "a_driver_leaves_the_loop_to_others", "keeps the loop from all other connections"),
]
WRITTEN = [
    ("keeps nothing", "a_written_value_is_read_back", "10.0 was written to air_temperature, and it shows 30.0"),
    ("forgets the inverse", "a_value_is_written_through_the_inverse_of_its_conversion", "10.0 was written"),
    ("takes every value", "a_refused_value_changes_nothing", "was to refuse 80.0"),
    ("writes first and then refuses", "a_refused_value_changes_nothing", "10.0 was written to air_temperature"),
    ("does not wait for the answer", "writing_to_a_silent_device_is_no_success", "the value counts as written"),
    ("swallows its cancellation", "a_cancelled_write_leaves_the_transport_usable_or_closed", "has not ended after 2 s"),
]
BROKEN = [
    *((Writing, *case) for case in WRITTEN),
    *((Polled, *case) for case in [*BOTH, *POLLED]),
    *((Pushed, *case) for case in [*BOTH, *PUSHED]),
]


@pytest.mark.parametrize(("suite", "mood", "name", "told"), BROKEN)
def test_a_driver_that_breaks_a_rule_is_told_which(suite: type[OnBus], mood: str, name: str, told: str) -> None:
    patience_s = PATIENCE_S if mood == "does not notice the end" else 60.0
    with pytest.raises(Exception, match=told):
        proved(suite, mood, f"test_{name}", patience_s)


def test_what_a_class_cannot_show_is_skipped_with_the_method_that_is_missing() -> None:
    class Bare(PolledDriverConformance):
        kind = kind_of(Bus(""), PolledOnBus)

        def connection(self) -> ConnectionSettings:
            return settings()

    skipped = []
    for name in names_of(Polled):
        try:
            getattr(Bare(), name)()
        except SkipTest as skip:
            skipped.append(str(skip).split("`")[1])
    assert sorted(set(skipped)) == ["babble", "cut", "fail_sensor", "silence", "truth"]
