"""What a device is and how it is run. From this alone a reader of its events can write a valid update."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from edge.domain.envelope import DeviceFact
from edge.domain.event import EventType
from edge.domain.json_form import Digest, Identifier, Whole
from edge.domain.quantity import PointKind
from edge.domain.settable import Part, PointConfiguration, with_settables
from edge.domain.settings import ValueType


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileReference:
    """The profile that describes the device, down to the byte."""

    id: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SettableLimits:
    """What may be set remotely, both ends included. The site file's own value is always allowed as well."""

    min: float
    max: float


@with_settables(Part.DEVICE, number=SettableLimits, switch=Literal[True] | None, off=None)
class SettableOfDevice:
    """What may be set at a device. What is missing may not be set."""


@with_settables(Part.POINT, number=SettableLimits, switch=Literal[True] | None, off=None)
class SettableOfPoint:
    """What may be set at a point. What is missing may not be set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedPoint:
    """One point of a device."""

    quantity: Annotated[
        str | None,
        "An id of quantities.json, or a quantity of the profile's own: x_ and a name. Null for text and switches.",
    ]
    type: ValueType
    kind: Annotated[
        PointKind,
        "gauge: each value counts. counter: it rises, and starts anew when the device does or when its period is over;"
        " the difference counts. state: one of a few.",
    ]
    unit: Annotated[str | None, "UCUM."]
    range: Annotated[
        tuple[float, float] | None, "Plausible values; outside, the quality is uncertain, out_of_range."
    ] = None
    values: Annotated[
        tuple[str, ...] | None, "All texts that it can have; not there where the device says what it likes."
    ] = None
    published: Annotated[Literal[False] | None, "False where the point is never in an event."] = None
    effective: Annotated[PointConfiguration, "How its values are corrected and reported, as from this event on."]
    writable: bool
    settable: SettableOfPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDescribed(DeviceFact):
    """What a device is, what it reports, how often, and what may be set. Written whenever that changes."""

    type: ClassVar = EventType.DEVICE_DESCRIBED
    name: str
    location: str
    serial_number: Annotated[str | None, "As the site file names the piece of equipment."] = None
    labels: Annotated[Mapping[str, str] | None, "The site file's words for whoever groups devices."] = None
    connection_id: Identifier
    profile: ProfileReference | None
    enabled: bool
    poll_interval_s: Annotated[float | None, "How often it is asked; not there where it speaks unasked."] = None
    expected_interval_s: Annotated[float | None, "Null: the device speaks when it likes, unasked."]
    max_silence_s: Annotated[
        float,
        "Silence after which the device counts as lost to its readers. A day or more where it speaks unasked, unless the site"
        " file says less.",
    ]
    config_version: Annotated[Whole, "The update in force; 0 = the site file alone."]
    settable: SettableOfDevice
    points: Mapping[str, DescribedPoint]
