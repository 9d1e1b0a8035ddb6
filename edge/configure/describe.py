"""DeviceDescribed: from it alone a third party can write a valid update, and tell silent from absent."""

import hashlib

from edge.domain.author import Author, Reference, encode_json
from edge.domain.configuration import EffectiveConfiguration, readers_silence_max_s
from edge.domain.event import Draft, EventType, Json
from edge.domain.settings import DeviceSettings, Limits, PointRemote, PointSettings
from edge.storage.remembered import Description


def describe(device: DeviceSettings, configuration: EffectiveConfiguration, *, connection_id: str) -> dict[str, Json]:
    """Return what the event says of a device as it is run now."""
    profile = device.profile
    return {
        "name": device.name,
        "location": device.location,
        "connectionId": connection_id,
        "profile": None if profile is None else {"id": profile.id, "digest": profile.digest},
        "enabled": configuration.enabled,
        "expectedIntervalS": configuration.poll_interval_s if device.is_polled else None,
        "maxSilenceS": readers_silence_max_s(device, configuration),
        "configVersion": configuration.version,
        "settable": _settable_device(device),
        "points": {
            point.id: _point(point) for point in device.points if point.publish or _settable_point(point.remote)
        },
    }


def description(body: dict[str, Json]) -> Description:
    """Return what is kept to find out whether the content has changed."""
    text = encode_json(body)
    return Description(digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", body=text)


def draft_description(author: Author, configuration: EffectiveConfiguration, body: dict[str, Json]) -> Draft:
    """Draft the event."""
    return author.control(
        EventType.DEVICE_DESCRIBED, body, device_id=configuration.device_id, reference=reference(configuration)
    )


def reference(configuration: EffectiveConfiguration) -> Reference:
    """Return the update in force, for the metadata of events about the device."""
    return Reference(
        config_version=configuration.version,
        causation_id=configuration.update_event_id,
        correlation_id=configuration.correlation_id,
    )


def _point(point: PointSettings) -> dict[str, Json]:
    return {
        "quantity": point.quantity,
        "type": point.type.value,
        "unit": point.unit,
        **({} if point.range is None else {"range": [point.range.low, point.range.high]}),
        **({} if point.publish else {"published": False}),
        "writable": False,
        "settable": _settable_point(point.remote),
    }


def _settable_device(device: DeviceSettings) -> dict[str, Json]:
    remote = device.remote
    settable: dict[str, Json] = {}
    if remote.enabled:
        settable["enabled"] = True
    if remote.poll_interval_s is not None and device.is_polled:
        lowest = max(remote.poll_interval_s.minimum, device.poll_interval_min_s)
        settable["pollIntervalS"] = {"min": lowest, "max": remote.poll_interval_s.maximum}
    return settable


def _settable_point(remote: PointRemote) -> dict[str, Json]:
    limits = {
        "offset": remote.offset,
        "gain": remote.gain,
        "deadband": remote.deadband,
        "maxSilenceS": remote.max_silence_s,
    }
    return {key: _limits(limit) for key, limit in limits.items() if limit is not None}


def _limits(limits: Limits) -> dict[str, Json]:
    return {"min": limits.minimum, "max": limits.maximum}
