"""Holds a configuration against what the device has and the site allows. Pure.

An event can never loosen a limit: limits come from the site file and the profile alone. `setpoints`, `recipe` and
`alarm` come with a later version; until then they are `not_supported`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edge.configure.reading import Document
from edge.domain.configuration import (
    Code,
    EffectiveConfiguration,
    Mistake,
    PointConfiguration,
    site_file_configuration,
)
from edge.domain.settings import DeviceSettings, Limits, PointSettings

# A whole profile gone wrong fits; junk does not fill the outbox.
MISTAKES_MAX = 50
# Keys of the update come back in paths; nobody needs more of them to recognise them.
KEY_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a document comes to over the site file. Where there are mistakes, the site file's value stands instead."""

    configuration: EffectiveConfiguration
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """What a number may be."""

    path: str
    site_value: float
    limits: Limits | None
    # What no site file can loosen.
    floor: float = -math.inf
    is_zero_allowed: bool = True


def resolve(document: Document, device: DeviceSettings) -> Resolved:
    """Lay a whole configuration over the site file's, and say everything that is wrong with it.

    An absent key, or null, is the site file's value. A value equal to the site file's is always allowed.
    """
    examination = _Examination(device)
    configuration = examination.device(document)
    return Resolved(configuration=configuration, mistakes=_bounded(examination.mistakes))


class _Examination:
    """Walks through one configuration and collects what is wrong."""

    def __init__(self, device: DeviceSettings) -> None:
        self._device = device
        self.mistakes: list[Mistake] = []

    def device(self, document: Document) -> EffectiveConfiguration:
        site = site_file_configuration(self._device)
        self._refuse_unknown(document, {"enabled", "pollIntervalS", "points", "setpoints", "recipe"}, "")
        self._refuse_unsupported(document, ("setpoints", "recipe"), "")
        rule = _Rule(
            path="pollIntervalS",
            site_value=site.poll_interval_s,
            limits=self._device.remote.poll_interval_s,
            floor=self._device.poll_interval_min_s,
            is_zero_allowed=False,
        )
        return replace(
            site,
            enabled=self._enabled(document.get("enabled"), site_value=site.enabled),
            poll_interval_s=self._number(document.get("pollIntervalS"), rule),
            points={**site.points, **self._points(document.get("points"), site.points)},
        )

    def _enabled(self, value: object, *, site_value: bool) -> bool:
        if value is None or value is site_value:
            return site_value
        if not isinstance(value, bool):
            self._add("enabled", Code.WRONG_TYPE, "enabled must be true or false")
        elif not self._device.remote.enabled:
            self._add("enabled", Code.NOT_PERMITTED, "enabled may not be set from far at this device")
        else:
            return value
        return site_value

    def _points(self, value: object, site: Mapping[str, PointConfiguration]) -> dict[str, PointConfiguration]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._add("points", Code.WRONG_TYPE, "points must be an object")
            return {}
        points = {}
        for point_id, desired in value.items():
            path = f"points.{_key_text(point_id)}"
            point = self._device.point(point_id)
            if point is None:
                self._add(path, Code.UNKNOWN_POINT, f"the device has no point {_key_text(point_id)}")
            elif isinstance(desired, Mapping):
                points[point.id] = self._point(path, point, desired, site[point.id])
            elif desired is not None:
                self._add(path, Code.WRONG_TYPE, f"{path} must be an object")
        return points

    def _point(
        self, path: str, point: PointSettings, desired: Document, site: PointConfiguration
    ) -> PointConfiguration:
        self._refuse_unknown(desired, {"offset", "gain", "deadband", "maxSilenceS", "alarm"}, f"{path}.")
        self._refuse_unsupported(desired, ("alarm",), f"{path}.")
        remote = point.remote
        rules = {
            "offset": _Rule(path=f"{path}.offset", site_value=site.offset, limits=remote.offset),
            # A gain of 0 would make every value the same: an invented one.
            "gain": _Rule(path=f"{path}.gain", site_value=site.gain, limits=remote.gain, is_zero_allowed=False),
            "deadband": _Rule(path=f"{path}.deadband", site_value=site.deadband, limits=remote.deadband, floor=0),
            "maxSilenceS": _Rule(
                path=f"{path}.maxSilenceS",
                site_value=site.max_silence_s,
                limits=remote.max_silence_s,
                floor=0,
                is_zero_allowed=False,
            ),
        }
        values = {key: self._number(desired.get(key), rule) for key, rule in rules.items()}
        return PointConfiguration(
            offset=values["offset"],
            gain=values["gain"],
            deadband=values["deadband"],
            max_silence_s=values["maxSilenceS"],
        )

    def _number(self, value: object, rule: _Rule) -> float:
        """Return the value if it may be, else the site file's."""
        if value is None:
            return rule.site_value
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._add(rule.path, Code.WRONG_TYPE, f"{rule.path} must be a number")
            return rule.site_value
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self._add(rule.path, Code.NOT_FINITE, f"{rule.path} must be a finite number")
            return rule.site_value
        if number == rule.site_value or self._is_within(number, rule):
            return number
        return rule.site_value

    def _is_within(self, number: float, rule: _Rule) -> bool:
        path, text = rule.path, _number_text(number)
        if rule.limits is None:
            self._add(path, Code.NOT_PERMITTED, f"{path} may not be set from far at this device")
            return False
        minimum = max(rule.limits.minimum, rule.floor)
        if number < minimum:
            message = f"{path} is {text}; this site allows {_number_text(minimum)} or more"
            self._add(path, Code.BELOW_MINIMUM, message, minimum)
        elif number > rule.limits.maximum:
            message = f"{path} is {text}; this site allows {_number_text(rule.limits.maximum)} or less"
            self._add(path, Code.ABOVE_MAXIMUM, message, rule.limits.maximum)
        elif number == 0 and not rule.is_zero_allowed:
            self._add(path, Code.NOT_PERMITTED, f"{path} must not be 0")
        else:
            return True
        return False

    def _refuse_unknown(self, document: Document, known: set[str], prefix: str) -> None:
        for key in document:
            if key not in known:
                self._add(f"{prefix}{_key_text(key)}", Code.UNKNOWN_KEY, f"{prefix}{_key_text(key)} means nothing here")

    def _refuse_unsupported(self, document: Document, keys: tuple[str, ...], prefix: str) -> None:
        for key in keys:
            if document.get(key) not in (None, {}):
                path = f"{prefix}{key}"
                self._add(path, Code.NOT_SUPPORTED, f"this version of the gateway does not support {path}")

    def _add(self, path: str, code: Code, message: str, limit: float | None = None) -> None:
        self.mistakes.append(Mistake(path=path, code=code, message=message, limit=limit))


def _bounded(mistakes: list[Mistake]) -> tuple[Mistake, ...]:
    if len(mistakes) <= MISTAKES_MAX:
        return tuple(mistakes)
    rest = len(mistakes) - MISTAKES_MAX + 1
    last = Mistake(path="", code=Code.FURTHER_ERRORS, message=f"and {rest} errors more")
    return (*mistakes[: MISTAKES_MAX - 1], last)


def _key_text(key: str) -> str:
    return key if len(key) <= KEY_LENGTH_MAX else f"{key[:KEY_LENGTH_MAX]}…"


def _number_text(value: float) -> str:
    return f"{value:.15g}"
