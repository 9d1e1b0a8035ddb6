from collections.abc import Sequence

import click
import pytest

from edge.cli.status import render
from edge.domain.event import Json

OUTBOX: Json = {
    "pendingByStream": {},
    "lastPosition": 7,
    "committedAgeS": 0.2,
    "isFailing": False,
    "refused": 0,
    "quarantined": 0,
    "blocksDamaged": 0,
    "parked": {},
}


EVENT_STORE: Json = {"state": "forwarding", "lastError": "", "nextTryInS": None, "refused": {}}
CONFIGURATION: Json = {
    "state": "following",
    "stream": "deviceConfiguration-north-1",
    "forS": 7200.0,
    "problem": "",
    "nextTryInS": None,
}


def status(*seen: Json, **parts: Json) -> Json:
    return {
        "gatewayId": "north-1",
        "version": "0.1.0",
        "pid": 1,
        "clock": "synchronized",
        "now": "2026-11-23T10:15:00.000Z",
        "alarms": [],
        "eventStore": EVENT_STORE,
        "configuration": CONFIGURATION,
        "outbox": OUTBOX,
        "fleet": {"connections": [{"connectionId": "broker", "seen": list(seen)}], "devices": []},
        **parts,
    }


def seen(name: str, *, age_ms: int) -> Json:
    last_seen_ms = 1_795_428_900_000 - age_ms
    return {
        "groupId": "zigbee-{name}",
        "name": name,
        "topic": name,
        "lastSeenMs": last_seen_ms,
        "reason": "not in names",
    }


def lines_of(*names: Json) -> Sequence[str]:
    return [click.unstyle(line) for line in render(status(*names), width=80)]


def test_a_name_that_is_no_device_is_shown_with_the_reason() -> None:
    assert "seen          Bench 9 behind broker, 30 s ago, no device: not in names" in lines_of(
        seen("Bench 9", age_ms=30_000)
    )


def test_the_newest_names_are_shown_and_the_others_counted() -> None:
    lines = lines_of(*(seen(f"n{number}", age_ms=number * 1000) for number in range(9, -1, -1)))
    assert [line.split()[1] for line in lines if line.startswith("seen")] == ["n0", "n1", "n2", "n3", "n4"]
    assert "              and 5 more (--json has them)" in lines


def test_a_line_is_not_longer_than_the_screen() -> None:
    (line,) = (line for line in lines_of(seen("x" * 200, age_ms=1)) if line.startswith("seen"))
    assert len(line) == 80


def test_a_site_without_unknown_names_says_nothing_of_them() -> None:
    assert not any("seen" in line for line in lines_of())


def device(number: int, condition: str = "answering", *, point_count: int = 1) -> Json:
    reading: Json = {"value": 21.25 + number, "unit": "Cel", "quality": "good", "reason": None}
    return {
        "deviceId": f"bench{number}-climate",
        "condition": condition,
        "pollIntervalS": 5.0,
        "heardAgeS": 1.25,
        "configVersion": 3,
        "samplesAccepted": 12_345,
        "lastError": "no answer within 1 s " * 9,
        "readings": {f"point_number_{point}": reading for point in range(point_count)} if point_count else {},
    }


def site_of(*devices: Json) -> Json:
    return {**status(), "fleet": {"connections": [], "devices": list(devices)}}  # type: ignore[dict-item]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("point_count", [0, 1, 2, 9])
def test_no_line_of_the_table_is_longer_than_the_screen(width: int, point_count: int) -> None:
    devices = [device(number, point_count=point_count) for number in range(3)]
    lines = [click.unstyle(line) for line in render(site_of(*devices), width=width)]
    assert all(len(line) <= width for line in lines)


def test_a_reading_is_shown_whole_or_not_at_all() -> None:
    (line,) = [
        click.unstyle(line)
        for line in render(site_of(device(1, point_count=9)), width=120)
        if "bench1" in click.unstyle(line)
    ]
    assert line.endswith("°C  …")


def test_a_small_screen_shows_who_has_troubles_and_counts_the_others() -> None:
    devices = [device(number, "lost" if number == 17 else "answering") for number in range(20)]
    lines = [click.unstyle(line) for line in render(site_of(*devices), width=80, height=14)]
    assert len(lines) == 14
    shown = [line.split()[0] for line in lines if line.startswith("bench")]
    assert "bench17-climate" in shown
    assert f"and {20 - len(shown)} more that are well (`status` lists all)" in lines


def test_a_large_screen_shows_all() -> None:
    lines = render(site_of(*[device(number) for number in range(20)]), width=120, height=40)
    assert sum("bench" in line for line in lines) == 20
    assert len(lines) <= 40


def alarm(number: int, **identity: Json) -> Json:
    nothing: dict[str, Json] = {"deviceId": None, "connectionId": None, "pointId": None, "stream": None}
    return {**nothing, "alarm": "driver_fault", "message": f"it broke in way {number} " * 9, **identity}


def test_alarms_are_shown_with_what_they_are_about_and_further_ones_counted() -> None:
    alarms = [alarm(0, deviceId="roof"), alarm(1), *(alarm(number, connectionId="line-a") for number in range(2, 9))]
    lines = [click.unstyle(line) for line in render(status(alarms=alarms), width=80)]
    assert lines[1].startswith("alarm         driver_fault roof: it broke in way 0")
    assert lines[2].startswith("alarm         driver_fault: it broke in way 1")
    assert "              and 4 more (--json has them)" in lines
    assert all(len(line) <= 80 for line in lines)


def shown(**parts: Json) -> Sequence[str]:
    """The lines after the table."""
    lines = [click.unstyle(line) for line in render(status(**parts), width=80)]
    return lines[next(number for number, line in enumerate(lines) if line.startswith("outbox")) + 1 :]


def test_a_site_that_is_well_says_so_in_two_lines() -> None:
    assert shown() == [
        "event store   forwarding",
        "configuration following deviceConfiguration-north-1, for 2 h",
    ]


def test_an_outage_shows_its_cause_to_the_end_and_when_it_is_tried_again() -> None:
    cause = "ServiceUnavailable: failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:2113: "
    cause += "Peer name localhost is not in peer certificate"
    store: Json = {"state": "unreachable", "lastError": cause, "nextTryInS": 11.6, "refused": {}}
    lines = shown(eventStore=store)
    assert lines[0] == "event store   unreachable, tries again in 12 s (the data is safe: it is on disk)"
    assert " ".join(line.strip() for line in lines[1:4]) == cause
    assert all(len(line) <= 80 for line in lines)


def test_a_cause_without_end_takes_four_lines() -> None:
    store: Json = {"state": "unreachable", "lastError": "word " * 900, "nextTryInS": 1.0, "refused": {}}
    lines = shown(eventStore=store)
    assert len(lines) == 1 + 4 + 1
    assert lines[4].endswith("…")


def test_a_refused_stream_is_shown_with_its_reason_and_the_next_try() -> None:
    waiting: Json = {"reason": "gw-north may not append to sensorReadings-x", "forS": 9.0, "nextTryInS": 150.0}
    lines = shown(eventStore={**EVENT_STORE, "refused": {"sensorReadings-x": waiting}})  # type: ignore[dict-item]
    assert lines[0] == "event store   forwarding"
    assert lines[1:3] == [
        "refused       gw-north may not append to sensorReadings-x, tries again in 2.5",
        "              min",
    ]


def test_many_refused_streams_leave_room_for_the_rest() -> None:
    refused: Json = {f"s{number}": {"reason": "no right", "nextTryInS": 0.0} for number in range(900)}
    lines = shown(eventStore={**EVENT_STORE, "refused": refused})  # type: ignore[dict-item]
    assert lines[6] == "              and 895 more streams (--json has them)"
    assert len(lines) == 8


def test_updates_that_are_not_followed_are_shown_with_the_stream_that_interrupts() -> None:
    following: Json = {
        "state": "interrupted",
        "stream": "deviceConfigurationStatus-x",
        "forS": 65.0,
        "problem": "gw-north may not read deviceConfigurationStatus-x",
        "nextTryInS": 29.7,
    }
    assert shown(configuration=following)[1:] == [
        "configuration interrupted for 65 s, tries again in 30 s",
        "              gw-north may not read deviceConfigurationStatus-x",
    ]
