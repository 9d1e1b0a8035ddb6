"""Judges the updates of one device: what each asks for, and whether it comes in time. Pure.

Each valid update counts as if it were applied at once; then only the last valid one is, and the others are superseded.
What can be set is a table (`edge.domain.settable`). An event can never loosen a limit: limits come from the site file
and the profile alone.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from edge.configure.reading import Document, Unreadable, Update
from edge.domain.clock import rfc3339
from edge.domain.configuration import Code, EffectiveConfiguration, Mistake, Stage, site_file_configuration
from edge.domain.json_form import SIGNIFICANT_DIGITS, significant
from edge.domain.settable import (
    RESERVED,
    DeviceConfiguration,
    Limits,
    Part,
    PointConfiguration,
    Remote,
    Settable,
    Values,
    settables,
)
from edge.domain.settings import DeviceSettings, PointSettings
from edge.storage.configurations import DeviceVersions


class Outcome(StrEnum):
    """What became of an update, as it is stored."""

    APPLIED = "applied"
    # Valid, but a later valid one came before it could be applied.
    SUPERSEDED = "superseded"
    # Not valid, or not readable.
    REJECTED = "rejected"
    # Valid, but the device did not take it (stage `application`).
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of one update. Everything but `applied` has mistakes."""

    update: Update | Unreadable
    outcome: Outcome
    stage: Stage = Stage.VALIDATION
    mistakes: tuple[Mistake, ...] = ()
    # What comes into force, where the update is applied.
    configuration: EffectiveConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of several updates of one device, in the order of the stream."""

    decisions: tuple[Decision, ...]
    # The versions that the next update is compared with.
    versions: DeviceVersions
    # The last valid update, which what follows may supersede. None where the stream was read to its end.
    undecided: Update | None = None


def raised(versions: DeviceVersions, outcome: Outcome, version: int) -> DeviceVersions:
    """Return the versions to compare with after an update.

    One that failed at the device raises only what `stale_version` compares with: its version is used up, but nothing
    can be based on it.
    """
    if outcome is Outcome.REJECTED:
        return versions
    stale = max(versions.stale, version)
    return DeviceVersions(stale=stale, base=versions.base if outcome is Outcome.FAILED else max(versions.base, version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a site asks of every update beside its configuration."""

    # None = an update that names any gateway is taken.
    gateway_id: str | None = None
    # Whether `changedBy` and `reason` must be told.
    is_reason_required: bool = False


NO_DEMANDS = Demands()


def judge(
    updates: Iterable[Update],
    device: DeviceSettings,
    versions: DeviceVersions,
    *,
    now_ms: int,
    is_final: bool,
    demands: Demands = NO_DEMANDS,
) -> Verdict:
    """Judge updates of one device in the order of the stream.

    `is_final`: the stream has been read to its end. If not, the last valid update stays undecided, for what follows may
    supersede it; the versions are then those before it.
    """
    decisions: list[Decision] = []
    candidate: Decision | None = None
    undecided: Update | None = None
    current = versions
    for update in updates:
        resolved = resolve(update.document, device)
        mistakes = (*_lacking(update, demands), *_untimely(update, current, now_ms), *resolved.mistakes)
        if mistakes:
            decisions.append(Decision(update=update, outcome=Outcome.REJECTED, mistakes=mistakes))
            continue
        if candidate is not None:
            decisions.append(_superseded(candidate, by_version=update.config_version))
            versions = current
        current = raised(current, Outcome.APPLIED, update.config_version)
        configuration = replace(
            resolved.configuration,
            version=update.config_version,
            update_event_id=update.event_id,
        )
        candidate, undecided = Decision(update=update, outcome=Outcome.APPLIED, configuration=configuration), update
    if candidate is not None and is_final:
        decisions.append(candidate)
        versions, undecided = current, None
    decisions.sort(key=lambda decision: decision.update.revision)
    return Verdict(decisions=tuple(decisions), versions=versions, undecided=undecided)


def reject_unreadable(unreadable: Unreadable) -> Decision:
    """Decide on what is no update."""
    return Decision(update=unreadable, outcome=Outcome.REJECTED, stage=Stage.READING, mistakes=unreadable.mistakes)


def reject_unknown_device(update: Update) -> Decision:
    """Decide on an update of a device that this gateway does not have."""
    message = f"this gateway has no device {update.device_id}"
    mistake = Mistake(path="deviceId", code=Code.UNKNOWN_DEVICE, message=message)
    return Decision(update=update, outcome=Outcome.REJECTED, stage=Stage.READING, mistakes=(mistake,))


def overtaken(decision: Decision, known: DeviceVersions) -> Decision:
    """Decide on an update that was valid when it was read: if its version is used up, a later one was decided since."""
    is_stale = any(mistake.code is Code.STALE_VERSION for mistake in decision.mistakes)
    return _superseded(decision, by_version=known.stale) if is_stale else decision


def failed(decision: Decision, mistakes: tuple[Mistake, ...]) -> Decision:
    """Decide on a valid update that its device did not take."""
    return Decision(update=decision.update, outcome=Outcome.FAILED, stage=Stage.APPLICATION, mistakes=mistakes)


def _superseded(decision: Decision, *, by_version: int) -> Decision:
    message = f"version {by_version} followed before this one could be applied"
    mistake = Mistake(path="configVersion", code=Code.SUPERSEDED, message=message)
    return Decision(update=decision.update, outcome=Outcome.SUPERSEDED, mistakes=(mistake,))


def _lacking(update: Update, demands: Demands) -> Iterable[Mistake]:
    named, own = update.gateway_id, demands.gateway_id
    if named is not None and own is not None and named != own:
        message = f"gatewayId is {named}; this gateway is {own}"
        yield Mistake(path="gatewayId", code=Code.OTHER_GATEWAY, message=message)
    told = {"changedBy": update.changed_by, "reason": update.reason} if demands.is_reason_required else {}
    for key, text in told.items():
        if text is None or not text.strip():
            yield Mistake(path=key, code=Code.MISSING, message=f"{key} is missing; this site demands it")


def _untimely(update: Update, versions: DeviceVersions, now_ms: int) -> Iterable[Mistake]:
    version = update.config_version
    if version <= versions.stale:
        message = f"configVersion is {version}; it must be above {versions.stale}"
        yield Mistake(path="configVersion", code=Code.STALE_VERSION, message=message, limit=versions.stale)
    if update.based_on is not None and update.based_on != versions.base:
        message = f"basedOn is {update.based_on}, but the newest valid version is {versions.base}"
        yield Mistake(path="basedOn", code=Code.CONFLICT, message=message, limit=versions.base)
    if update.valid_until_ms is not None and update.valid_until_ms < now_ms:
        message = f"validUntil passed before the update could be applied, at {rfc3339(now_ms)}"
        yield Mistake(path="validUntil", code=Code.EXPIRED, message=message)


# A whole profile gone wrong fits; junk does not fill the outbox.
MISTAKES_MAX = 50
# Keys of the update come back in paths; so much of a key is enough to recognise it.
KEY_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a document comes to over the site file. Where there are mistakes, the site file's value stands instead."""

    configuration: EffectiveConfiguration
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where in the document values stand, and what holds for them there."""

    part: Part
    path: str
    site: DeviceConfiguration | PointConfiguration
    remote: Remote


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
        place = _Place(part=Part.DEVICE, path="", site=site, remote=self._device.remote)
        self._refuse_others(document, place, "points")
        return replace(
            site,
            **self._values(document, place),
            points={**site.points, **self._points(document.get("points"), site.points)},
        )

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
            else:
                self._add(path, Code.WRONG_TYPE, f"{path} must be an object; leave it out to set nothing of this point")
        return points

    def _point(
        self, path: str, point: PointSettings, desired: Document, site: PointConfiguration
    ) -> PointConfiguration:
        place = _Place(part=Part.POINT, path=f"{path}.", site=site, remote=point.remote)
        self._refuse_others(desired, place)
        return PointConfiguration(**self._values(desired, place))

    def _refuse_others(self, document: Document, place: _Place, *known: str) -> None:
        """Refuse keys that mean nothing, and those that will mean something in a later version."""
        reserved = RESERVED[place.part]
        keys = {*(row.key for row in settables(place.part)), *reserved, *known}
        for key in document:
            if key not in keys:
                path = f"{place.path}{_key_text(key)}"
                self._add(path, Code.UNKNOWN_KEY, f"{path} means nothing here")
        for key in reserved:
            if document.get(key) not in (None, {}):
                path = f"{place.path}{key}"
                self._add(path, Code.NOT_SUPPORTED, f"this version of the gateway does not support {path}")

    def _values(self, document: Document, place: _Place) -> Values:
        return {row.attribute: self._value(document.get(row.key), row, place) for row in settables(place.part)}

    def _value(self, value: object, row: Settable, place: _Place) -> float | bool:
        """Return the value if it may be, else the site file's."""
        site_value, path = row.value_in(place.site), f"{place.path}{row.key}"
        if value is None:
            return site_value
        desired = self._switch(value, path) if row.value_type is bool else self._number(value, path)
        if desired is None or desired == (site_value if row.value_type is bool else significant(site_value)):
            return site_value
        permission = place.remote.get(row.attribute)
        if permission is None:
            self._add(path, Code.NOT_PERMITTED, f"{path} may not be set remotely at this device")
            return site_value
        is_allowed = permission is True or self._is_within(desired, row, permission, path)
        return desired if is_allowed else site_value

    def _switch(self, value: object, path: str) -> bool | None:
        if isinstance(value, bool):
            return value
        self._add(path, Code.WRONG_TYPE, f"{path} must be true or false")
        return None

    def _number(self, value: object, path: str) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._add(path, Code.WRONG_TYPE, f"{path} must be a number")
            return None
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return significant(number)
        self._add(path, Code.NOT_FINITE, f"{path} must be a number that a double can hold")
        return None

    def _is_within(self, number: float, row: Settable, limits: Limits, path: str) -> bool:
        # As DeviceDescribed says them: a producer that keeps to that is right.
        minimum, maximum = significant(row.lowest(limits, self._device)), significant(limits.maximum)
        text = _number_text(number)
        if number < minimum:
            message = f"{path} is {text}; this site allows {_number_text(minimum)} or more"
            self._add(path, Code.BELOW_MINIMUM, message, minimum)
        elif number > maximum:
            message = f"{path} is {text}; this site allows {_number_text(maximum)} or less"
            self._add(path, Code.ABOVE_MAXIMUM, message, maximum)
        elif number == 0 and not row.is_zero_allowed:
            self._add(path, Code.NOT_PERMITTED, f"{path} must not be 0")
        else:
            return True
        return False

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
    return f"{value:.{SIGNIFICANT_DIGITS}g}"
