"""How the devices and connections are doing, as the status verb and the health check ask. Frozen snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from edge.collect.connection import ConnectionState
from edge.collect.device import DeviceState
from edge.domain.driver import SeenName
from edge.domain.reading import Reading


class Condition(StrEnum):
    """A device in one word."""

    DISABLED = "disabled"
    # Nothing was heard of it yet in this run.
    WAITING = "waiting"
    ANSWERING = "answering"
    # The last poll or polls failed, not yet enough of them to call it lost.
    FAILING = "failing"
    # A call of its connection's driver does not return, so it is not measured.
    STALLED = "stalled"
    # Its driver breaks on it, or did in an earlier run and it gave no good sample since: a bug.
    FAULTY = "faulty"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """One device at one moment. Ages are in seconds; None = never in this run."""

    device_id: str
    connection_id: str
    name: str
    condition: Condition
    enabled: bool
    config_version: int
    # None: it speaks when it likes.
    poll_interval_s: float | None
    max_silence_s: float
    readings: Mapping[str, Reading]
    measured_at_ms: int | None
    heard_age_s: float | None
    # Since the collector last finished a poll of it, successful or not: what a watchdog looks at.
    cycle_age_s: float | None
    failures: int
    last_error: str | None
    samples_accepted: int
    samples_refused: int
    samples_suppressed: int
    samples_repeated: int
    polls_failed: int
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledCall:
    """A call of a driver that has not returned for too long."""

    # open, poll or close.
    call: str
    # None: it is about the connection.
    device_id: str | None
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatus:
    """One connection at one moment."""

    connection_id: str
    is_open: bool
    # Tries since something last came through.
    attempts: int
    last_error: str | None
    # Until this returns, nothing behind the connection is measured.
    stalled: StalledCall | None
    # Names that its device groups saw and that are no devices.
    seen: tuple[SeenName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """All of them, in the site file's order."""

    connections: tuple[ConnectionStatus, ...]
    devices: tuple[DeviceStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """When a device's collector last finished with it, on the monotonic clock; None = not yet in this run."""

    device_id: str
    connection_id: str
    is_enabled: bool
    poll_interval_s: float
    cycle_s: float | None
    # Since when a call of its connection's driver does not return; None = all calls do.
    stalled_since_s: float | None


def condition(state: DeviceState, connection: ConnectionState) -> Condition:
    """Put a device's condition into one word."""
    if not state.is_enabled:
        return Condition.DISABLED
    if connection.stalled is not None:
        return Condition.STALLED
    if state.has_alarm:
        return Condition.FAULTY
    if state.availability.is_lost:
        return Condition.LOST
    if state.availability.failures:
        return Condition.FAILING
    return Condition.WAITING if state.heard_s is None else Condition.ANSWERING


def device_status(state: DeviceState, connection: ConnectionState, now_s: float) -> DeviceStatus:
    """Take a snapshot of a device."""
    configuration = state.in_force.configuration
    return DeviceStatus(
        device_id=state.id,
        connection_id=state.connection_id,
        name=state.settings.name,
        condition=condition(state, connection),
        enabled=configuration.enabled,
        config_version=configuration.version,
        poll_interval_s=configuration.poll_interval_s if state.settings.is_polled else None,
        max_silence_s=state.silence_max_s,
        readings=state.published_readings(),
        measured_at_ms=state.measured_at_ms,
        heard_age_s=_age(state.heard_s, now_s),
        cycle_age_s=_age(state.cycle_s, now_s),
        failures=state.availability.failures,
        last_error=state.last_error,
        **vars(state.counters),
    )


def connection_status(state: ConnectionState, now_s: float) -> ConnectionStatus:
    """Take a snapshot of a connection."""
    call = state.stalled
    return ConnectionStatus(
        connection_id=state.id,
        is_open=state.is_open,
        attempts=state.losses,
        last_error=state.last_error,
        stalled=None
        if call is None
        else StalledCall(call=call.name, device_id=call.device_id, for_s=max(0.0, now_s - call.began_s)),
        seen=tuple(state.seen()),
    )


def _age(moment_s: float | None, now_s: float) -> float | None:
    return None if moment_s is None else max(0.0, now_s - moment_s)
