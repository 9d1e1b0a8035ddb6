"""Judges the updates of one device in the order of the stream. Pure.

Each valid update counts as if it were applied at once; then only the last valid one is, and the others are superseded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from edge.configure.reading import Unreadable, Update
from edge.configure.validate import resolve
from edge.domain.clock import rfc3339
from edge.domain.configuration import Code, EffectiveConfiguration, Mistake, Stage
from edge.domain.settings import DeviceSettings
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

    One that failed at the device raises only what `stale_version` compares with: its version is used up, but nothing can
    be based on it.
    """
    if outcome is Outcome.REJECTED:
        return versions
    stale = max(versions.stale, version)
    return DeviceVersions(stale=stale, base=versions.base if outcome is Outcome.FAILED else max(versions.base, version))


def judge(
    updates: Iterable[Update], device: DeviceSettings, versions: DeviceVersions, *, now_ms: int, is_final: bool
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
        mistakes = (*_untimely(update, current, now_ms), *resolved.mistakes)
        if mistakes:
            decisions.append(Decision(update=update, outcome=Outcome.REJECTED, mistakes=mistakes))
            continue
        if candidate is not None:
            decisions.append(_superseded(candidate, by=update))
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


def _superseded(decision: Decision, *, by: Update) -> Decision:
    message = f"version {by.config_version} followed before this one could be applied"
    mistake = Mistake(path="configVersion", code=Code.SUPERSEDED, message=message)
    return Decision(update=decision.update, outcome=Outcome.SUPERSEDED, mistakes=(mistake,))


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
