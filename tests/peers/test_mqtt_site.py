"""MQTT with nothing replaced: mosquitto, the daemon, the event store, and a sender that goes on; killed in turn."""

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes.deaf_relay import deaf_relay
from fakes.mosquitto import Mosquitto, mosquitto, publish
from fakes.numbered_publisher import NumberedPublisher
from fakes.site_processes import WAIT_S, Site, open_empty_site

# With the other system tests: four processes of one test are enough for two cores.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system")]

SITE = """\
[site]
id = "house"
[event_store]
uri = "{event_store}"
[[connection]]
id = "broker"
driver = "mqtt"
url = "{broker}"
inflight_max = 40
protocol = "{protocol}"
  [[connection.device]]
  id = "plain"
  topic = "plain/counter"
    [connection.device.point.count]
  [[connection.device]]
  id = "framed"
  topic = "framed/up"
  identity = ["session", "frame"]
    [connection.device.point.count]
  [[connection.device]]
  id = "kept"
  topic = "kept/state"
    [connection.device.point.count]
  [[connection.device]]
  id = "lamp"
  topic = "lamp/state"
  availability = [{{ topic = "lamp/availability" }}]
    [connection.device.point.count]
  [[connection.device_group]]
  id = "node-{{name}}"
  topic = "nodes/{{name}}"
  adopt = true
  devices_max = 2
    [connection.device_group.point.count]
"""


def write_site(site: Site, url: str, *, protocol: str = "auto") -> None:
    site.site_file.write_text(SITE.format(event_store=site.event_store_uri, broker=url, protocol=protocol))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def house(broker: Mosquitto) -> Iterator[Site]:
    """A site whose event store and broker run; the test starts the daemon."""
    with open_empty_site() as site:
        write_site(site, broker.url)
        site.start("event-store")
        yield site


def messages(number: int) -> Sequence[tuple[str, str]]:
    """The same number from a device that names its frames, and from one that does not."""
    return [
        ("plain/counter", json.dumps({"count": number})),
        ("framed/up", json.dumps({"session": "a7", "frame": number, "count": number})),
    ]


def start(site: Site, broker: Mosquitto) -> None:
    """Start the daemon and wait until the broker has taken its subscriptions."""
    before = broker.log.count("Sending SUBACK")
    site.start("run")
    site.wait_until(lambda: broker.log.count("Sending SUBACK") > before, "the subscriptions")


def stop(site: Site) -> None:
    """Stop the daemon when all that it has is in the store."""
    site.wait_until(lambda: site.pending() == 0, "the rest")
    assert site.end("run") == 0


def redelivered(broker: Mosquitto) -> int:
    """How often the broker has said that it sends something again."""
    return broker.log.count("(d1, q1")


def of_device(events: Sequence[dict[str, Any]], *device_ids: str) -> list[dict[str, Any]]:
    return [event for event in events if event["data"].get("deviceId") in device_ids]


def types(events: Sequence[dict[str, Any]], device_id: str) -> list[str]:
    return [event["type"] for event in of_device(events, device_id)]


def numbers(events: Sequence[dict[str, Any]], *device_ids: str) -> list[object]:
    """What the devices' events count, in the store's order."""
    return [
        event["data"]["readings"]["count"]["value"]
        for event in of_device(events, *device_ids)
        if event["type"] == "SensorReadingReceived"
    ]


def test_kills_of_the_daemon_and_restarts_of_the_broker_lose_double_and_swap_no_message(
    house: Site, broker: Mosquitto
) -> None:
    publisher = NumberedPublisher(messages)

    def published(more: int) -> None:
        wanted = publisher.count + more
        house.wait_until(lambda: publisher.count >= wanted, f"{more} more messages")

    start(house, broker)
    with publisher.at_work(broker.port):
        published(20)
        assert house.end("run", signal.SIGKILL) == -signal.SIGKILL
        published(60)
    # What waits for us is on the broker's disk; so is what it had sent and we had not acknowledged.
    broker.stop()
    broker.start()
    start(house, broker)
    with publisher.at_work(broker.port):
        published(10)
    # The daemon is at work; its connection goes, and the broker returns with what it knows.
    broker.stop()
    broker.start()
    with publisher.at_work(broker.port):
        published(20)
        assert house.end("run", signal.SIGKILL) == -signal.SIGKILL
        start(house, broker)
        published(10)
    expected = list(range(1, publisher.count + 1))
    house.wait_until(lambda: numbers(house.events(), "plain")[-1:] == expected[-1:], "the last message")
    stop(house)
    events = house.events()
    assert numbers(undeclared(events), "plain") == expected
    assert numbers(undeclared(events), "framed") == expected


def undeclared(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what is declared to repeat another event, after a look at that one.

    A kill between a commit and its acknowledgement leaves no proof in the first messages of a session.
    """
    by_id = {event["id"]: event for event in events}
    for event in events:
        if event["data"].get("origin") == "redelivered":
            assert event["data"]["readings"] == by_id[event["data"]["repeatOf"]]["data"]["readings"]
    return [event for event in events if event["data"].get("origin") != "redelivered"]


@pytest.mark.parametrize("is_killed", [False, True], ids=["reconnected", "killed"])
@pytest.mark.parametrize("before", [0, 50], ids=["in a new session", "later"])
def test_messages_whose_acknowledgement_is_lost_come_twice_and_are_one_event_each_or_declared(
    house: Site, broker: Mosquitto, *, is_killed: bool, before: int
) -> None:
    with deaf_relay(broker.port) as line:
        write_site(house, f"mqtt://127.0.0.1:{line.port}")
        start(house, broker)
        publish(broker.port, [message for number in range(before) for message in messages(-number)])
        house.wait_until(lambda: len(numbers(house.events(), "plain", "framed")) == 2 * before, "what comes before")
        house.wait_until(
            lambda: broker.log.count("Received PUBACK from greenhouse") == 2 * before, "the broker's relief"
        )
        # What the broker sends arrives; it never hears that it did.
        line.is_deaf = True
        publish(broker.port, [message for number in range(1, 6) for message in messages(number)])
        house.wait_until(lambda: len(numbers(house.events(), "plain", "framed")) == 2 * before + 10, "their events")
        if is_killed:
            house.end("run", signal.SIGKILL)
        line.is_deaf = False
        line.cut()
        if is_killed:
            house.start("run")
        house.wait_until(lambda: redelivered(broker) >= 10, "all of them a second time")
        publish(broker.port, messages(6))
        house.wait_until(lambda: numbers(house.events(), "framed")[-1] == 6, "what comes after them")
        stop(house)
    events = house.events()
    assert numbers(events, "framed")[before:] == [1, 2, 3, 4, 5, 6]
    assert origins(events, "framed") == {"live"}
    if before:
        # More than the window of 40 lie between: the broker cannot have used the ids for anything else.
        assert numbers(events, "plain")[before:] == [1, 2, 3, 4, 5, 6]
    else:
        assert numbers(events, "plain") == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6]
    declared = [event for event in of_device(events, "plain") if event["data"].get("origin") == "redelivered"]
    originals = of_device(events, "plain")[1:6]
    assert [event["data"]["repeatOf"] for event in declared] == ([] if before else [each["id"] for each in originals])


def test_retained_values_availability_and_new_members_of_a_group_come_into_the_store(
    house: Site, broker: Mosquitto
) -> None:
    publish(broker.port, [("kept/state", '{"count": 7}')], retain=True)
    start(house, broker)
    publish(broker.port, [("lamp/availability", "online"), ("lamp/state", '{"count": 1}')])
    publish(broker.port, [("lamp/availability", "offline")])
    publish(broker.port, [(f"nodes/{name}", '{"count": 5}') for name in ("north", "south", "west", "north")])
    house.wait_until(lambda: numbers(house.events(), "node-north") == [5, 5], "both messages of the adopted device")
    publish(broker.port, [("lamp/availability", "online"), ("lamp/state", '{"count": 2}')])
    house.wait_until(lambda: numbers(house.events(), "lamp") == [1, 2], "the lamp's return")
    status = house.status()
    assert status is not None
    (connection,) = status["fleet"]["connections"]
    assert [(each["name"], "devices_max" in each["reason"]) for each in connection["seen"]] == [("west", True)]
    stop(house)
    events = house.events()
    (kept,) = [event for event in of_device(events, "kept") if event["type"] == "SensorReadingReceived"]
    assert kept["data"]["readings"]["count"] == {"value": 7, "unit": "1", "quality": "uncertain", "reason": "stale"}
    lamp = [kind for kind in types(events, "lamp") if kind != "SensorReadingReceived"]
    assert lamp == ["DeviceDescribed", "DeviceConnectionLost", "DeviceConnectionRestored"]
    # Which of two streams is in the store's log first is promised nowhere.
    for name, readings in (("node-north", 2), ("node-south", 1)):
        assert sorted(types(events, name)) == ["DeviceDescribed", *["SensorReadingReceived"] * readings]
    assert not of_device(events, "node-west")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_the_broker_retains_is_recorded_once_however_often_the_daemon_starts(
    house: Site, broker: Mosquitto, protocol: str
) -> None:
    write_site(house, broker.url, protocol=protocol)

    def restarted() -> None:
        stop(house)
        start(house, broker)
        # Behind what is retained.
        count = len(numbers(house.events(), "plain"))
        publish(broker.port, [("plain/counter", '{"count": 0}')])
        house.wait_until(lambda: len(numbers(house.events(), "plain")) == count + 1, "what comes after it")

    publish(broker.port, [("kept/state", '{"count": 7}')], retain=True, quality=0)
    start(house, broker)
    restarted()
    restarted()
    assert numbers(house.events(), "kept") == [7]
    publish(broker.port, [("kept/state", '{"count": 8}')], retain=True)
    restarted()
    stop(house)
    # While nobody is there, it goes back to what it was; then another daemon would be told by the retained copy only.
    publish(broker.port, [("kept/state", '{"count": 7}')], retain=True)
    start(house, broker)
    restarted()
    stop(house)
    assert numbers(house.events(), "kept") == [7, 8, 7]
    assert [event["data"]["origin"] for event in of_device(house.events(), "kept") if "readings" in event["data"]] == [
        "retained",
        "live",
        "live",
    ]


def test_an_adopted_device_is_known_after_a_kill_and_described_once(house: Site, broker: Mosquitto) -> None:
    start(house, broker)
    publish(broker.port, [("nodes/north", '{"count": 1}')])
    house.wait_until(lambda: numbers(house.events(), "node-north") == [1], "the adopted device")
    house.end("run", signal.SIGKILL)
    publish(broker.port, [("nodes/north", '{"count": 2}')])
    start(house, broker)
    house.wait_until(lambda: numbers(house.events(), "node-north") == [1, 2], "what came meanwhile")
    stop(house)
    assert types(house.events(), "node-north").count("DeviceDescribed") == 1


def played(count: int) -> list[tuple[str, str]]:
    """So many messages of one of seven values, as a device sends them whose payload has neither time nor counter."""
    return [("plain/counter", json.dumps({"count": number * number % 7})) for number in range(count)]


def seen_values(messages_sent: Sequence[tuple[str, str]]) -> list[object]:
    return [json.loads(payload)["count"] for _, payload in messages_sent]


def wait_for_last(house: Site, messages_sent: Sequence[tuple[str, str]]) -> None:
    last = seen_values(messages_sent)[-1:]
    house.wait_until(lambda: numbers(house.events(), "plain")[-1:] == last, "what was sent last")


def origins(events: Sequence[dict[str, Any]], device_id: str) -> set[str]:
    return {event["data"]["origin"] for event in of_device(events, device_id) if "readings" in event["data"]}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_what_was_under_way_to_a_daemon_that_ended_is_kept_though_all_of_it_was_said_before(
    house: Site, broker: Mosquitto, end: signal.Signals
) -> None:
    sent = played(200)
    start(house, broker)
    publish(broker.port, sent)
    house.wait_until(lambda: len(numbers(house.events(), "plain")) == len(sent), "the first messages")
    for _ in range(4):
        more = played(60)
        # It reads nothing any more; the broker sends on, up to its window.
        daemon = house.processes.pop("run")
        daemon.send_signal(signal.SIGSTOP)
        publish(broker.port, more)
        daemon.send_signal(end)
        daemon.send_signal(signal.SIGCONT)
        daemon.wait(WAIT_S)
        sent += more
        start(house, broker)
        last = ("plain/counter", json.dumps({"count": len(sent)}))
        publish(broker.port, [last])
        sent += [last]
        wait_for_last(house, sent)
    stop(house)
    assert numbers(house.events(), "plain") == seen_values(sent)
    assert origins(house.events(), "plain") == {"live"}
