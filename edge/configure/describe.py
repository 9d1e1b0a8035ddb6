"""DeviceDescribed: from it alone a third party can write a valid update, and tell silent from absent."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

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
from edge.domain.settable import Part, Remote, permitted
from edge.domain.settings import DeviceSettings, PointSettings
from edge.storage.remembered import Description

Said = TypeVar("Said", SettableOfDevice, SettableOfPoint)


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
        settable=_settable(SettableOfDevice, Part.DEVICE, device.remote, device),
        points={point.id: _point(point, device) for point in device.points if point.publish or point.remote},
    )


def as_kept(described: DeviceDescribed) -> Description:
    """Return what is kept to find out whether the content has changed."""
    text = encode_json(json_of(described))
    return Description(digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", body=text)


def _point(point: PointSettings, device: DeviceSettings) -> DescribedPoint:
    return DescribedPoint(
        quantity=point.quantity,
        type=point.type,
        unit=point.unit,
        range=None if point.range is None else (point.range.low, point.range.high),
        published=None if point.publish else False,
        writable=False,
        settable=_settable(SettableOfPoint, Part.POINT, point.remote, device),
    )


def _settable(described: Callable[..., Said], part: Part, remote: Remote, device: DeviceSettings) -> Said:
    """Describe what may be set of a device, or of a point of it."""
    return described(
        **{
            row.attribute: permission is True
            or SettableLimits(min=row.lowest(permission, device), max=permission.maximum)
            for row, permission in permitted(part, remote)
            if device.is_polled or not row.is_of_polling
        }
    )
