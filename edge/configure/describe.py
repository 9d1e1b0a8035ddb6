"""DeviceDescribed: from it alone a third party can write a valid update, and tell silent from absent."""

import hashlib

from edge.domain.author import encode_json
from edge.domain.configuration import EffectiveConfiguration, readers_silence_max_s
from edge.domain.description import (
    DescribedPoint,
    DeviceDescribed,
    ProfileReference,
    SettableLimits,
    SettableOfDevice,
    SettableOfPoint,
)
from edge.domain.json_form import json_of
from edge.domain.settings import DeviceSettings, Limits, PointRemote, PointSettings
from edge.storage.remembered import Description


def describe(device: DeviceSettings, configuration: EffectiveConfiguration, *, connection_id: str) -> DeviceDescribed:
    """Return what the event says of a device as it is run now."""
    profile = device.profile
    return DeviceDescribed(
        device_id=device.id,
        name=device.name,
        location=device.location,
        connection_id=connection_id,
        profile=None if profile is None else ProfileReference(id=profile.id, digest=profile.digest),
        enabled=configuration.enabled,
        expected_interval_s=configuration.poll_interval_s if device.is_polled else None,
        max_silence_s=readers_silence_max_s(device, configuration),
        config_version=configuration.version,
        settable=_settable_device(device),
        points={point.id: _point(point) for point in device.points if point.publish or point.remote != PointRemote()},
    )


def as_kept(described: DeviceDescribed) -> Description:
    """Return what is kept to find out whether the content has changed."""
    text = encode_json(json_of(described))
    return Description(digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", body=text)


def _point(point: PointSettings) -> DescribedPoint:
    return DescribedPoint(
        quantity=point.quantity,
        type=point.type,
        unit=point.unit,
        range=None if point.range is None else (point.range.low, point.range.high),
        published=None if point.publish else False,
        writable=False,
        settable=_settable_point(point.remote),
    )


def _settable_device(device: DeviceSettings) -> SettableOfDevice:
    interval = device.remote.poll_interval_s
    if interval is not None and device.is_polled:
        lowest = max(interval.minimum, device.poll_interval_min_s)
        limits = SettableLimits(min=lowest, max=interval.maximum)
    else:
        limits = None
    return SettableOfDevice(enabled=True if device.remote.enabled else None, poll_interval_s=limits)


def _settable_point(remote: PointRemote) -> SettableOfPoint:
    return SettableOfPoint(
        offset=_limits(remote.offset),
        gain=_limits(remote.gain),
        deadband=_limits(remote.deadband),
        max_silence_s=_limits(remote.max_silence_s),
    )


def _limits(limits: Limits | None) -> SettableLimits | None:
    return None if limits is None else SettableLimits(min=limits.minimum, max=limits.maximum)
