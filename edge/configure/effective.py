"""What is in force when the gateway starts: the stored updates, held against the site file as it is now."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from edge.configure.judge import Resolved, resolve
from edge.configure.reading import Document
from edge.domain.configuration import (
    Code,
    EffectiveConfiguration,
    Mistake,
    site_file_configuration,
)
from edge.domain.settings import DeviceSettings
from edge.storage.configurations import (
    MissingConfiguration,
    StoredConfiguration,
    load_configurations,
    load_missing,
)
from edge.storage.database import Reader


async def load_effective(
    reader: Reader, devices: Iterable[DeviceSettings]
) -> tuple[dict[str, EffectiveConfiguration], dict[str, tuple[Mistake, ...]]]:
    """Return what is in force for each device, and what of a stored update is not usable any more.

    A value that the site file no longer allows is not used: the site file's stands in its place. The rest of the
    update stays in force, for a calibration must not go because a poll interval may not stay.
    """
    stored = await load_configurations(reader)
    missing = await load_missing(reader)
    resolved = {device.id: effective(device, stored.get(device.id), missing.get(device.id)) for device in devices}
    configurations = {device_id: found.configuration for device_id, found in resolved.items()}
    return configurations, {device_id: found.mistakes for device_id, found in resolved.items() if found.mistakes}


def effective(
    device: DeviceSettings, stored: StoredConfiguration | None, missing: MissingConfiguration | None
) -> Resolved:
    """Lay the stored update over the site file."""
    resolved = _laid_over(device, stored)
    if missing is None:
        return resolved
    version = resolved.configuration.version
    instead = f"version {version}" if version else "the site file alone"
    message = (
        f"version {missing.version} was applied before this database was lost, and its update {missing.update_event_id}"
        f" has not been found on the configuration stream: {instead} is in force"
    )
    mistake = Mistake(path="", code=Code.MISSING, message=message)
    return Resolved(configuration=resolved.configuration, mistakes=(mistake, *resolved.mistakes))


def _laid_over(device: DeviceSettings, stored: StoredConfiguration | None) -> Resolved:
    if stored is None:
        return Resolved(configuration=site_file_configuration(device), mistakes=())
    document = _document(stored.document)
    if document is None:
        message = "the stored configuration cannot be read; the site file alone is in force"
        mistake = Mistake(path="", code=Code.NOT_JSON, message=message)
        return Resolved(configuration=site_file_configuration(device), mistakes=(mistake,))
    resolved = resolve(document, device)
    configuration = replace(resolved.configuration, version=stored.version, update_event_id=stored.update_event_id)
    return Resolved(configuration=configuration, mistakes=resolved.mistakes)


def _document(text: str) -> Document | None:
    try:
        document: object = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, Mapping) else None
