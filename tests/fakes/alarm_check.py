"""What every consumer may rely on in the gateway's stream: what opens is closed once, and opened again only then."""

from collections.abc import Iterable, Mapping
from typing import Any

IDENTITY = ("alarm", "deviceId", "connectionId", "pointId", "stream")


class AlarmView:
    """What stands, as a consumer of the gateway's stream keeps it; `violations` says what it could not make sense of."""

    def __init__(self) -> None:
        # Identity -> the event's data.
        self.alarms: dict[tuple[str | None, ...], Mapping[str, Any]] = {}
        self.lost: dict[str, Mapping[str, Any]] = {}
        self.violations: list[str] = []

    def take(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Take in the next event."""
        take = {
            "AlarmRaised": self._raised,
            "AlarmCleared": self._cleared,
            "DeviceConnectionLost": self._lost,
            "DeviceConnectionRestored": self._restored,
            "DeviceRetired": self._retired,
        }.get(event_type)
        if take is not None:
            take(data)

    def _raised(self, data: Mapping[str, Any]) -> None:
        identity = tuple(data.get(key) for key in IDENTITY)
        self._check(identity not in self.alarms, f"{identity} is raised while it is open")
        self.alarms[identity] = data

    def _cleared(self, data: Mapping[str, Any]) -> None:
        identity = tuple(data.get(key) for key in IDENTITY)
        self._check(identity in self.alarms, f"{identity} is cleared and was not open")
        self.alarms.pop(identity, None)

    def _lost(self, data: Mapping[str, Any]) -> None:
        self._check(data["deviceId"] not in self.lost, f"{data['deviceId']} is lost while it is lost")
        self.lost[data["deviceId"]] = data

    def _restored(self, data: Mapping[str, Any]) -> None:
        lost = self.lost.pop(data["deviceId"], None)
        self._check(lost is not None, f"{data['deviceId']} is restored and was not lost")
        self._check(lost is None or lost["since"] == data["since"], f"{data['deviceId']} was lost since another moment")

    def _retired(self, data: Mapping[str, Any]) -> None:
        self.lost.pop(data["deviceId"], None)
        left = [identity for identity in self.alarms if identity[1] == data["deviceId"] and identity[-1] is None]
        self._check(not left, f"{data['deviceId']} is retired with {left} open")

    def _check(self, holds: bool, sentence: str) -> None:
        if not holds:
            self.violations.append(sentence)


def alarm_view(events: Iterable[tuple[str, Mapping[str, Any]]]) -> AlarmView:
    """Take in types and data of a gateway's stream, in order."""
    view = AlarmView()
    for event_type, data in events:
        view.take(event_type, data)
    return view


def alarm_violations(events: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Find everything that breaks the rule in types and data of a gateway's stream, in order."""
    return alarm_view(events).violations
