"""What a device said: readings with value, unit and quality, gathered into a sample."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import Annotated, TypeAlias

from edge.domain.field_types import FieldTypes, check_text

Value: TypeAlias = float | int | bool | str

# A driver may give a sample an identity of at most this many bytes; it is kept in the outbox and never sent.
SOURCE_KEY_LENGTH_MAX = 16
# So it is with the name of a delivery, which has this many bytes or none.
DELIVERY_LENGTH = 8
# A point's text is a word or a serial number. An event with a few longer ones would be more than an event store takes.
TEXT_LENGTH_MAX = 1024
# 9999-12-31T23:59:59.999Z: no RFC 3339 time is later.
UNIX_MS_MAX = 253_402_300_799_999


class Quality(StrEnum):
    """How far a value can be trusted (the three levels of OPC UA)."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


class Reason(StrEnum):
    """Why a reading is not good. A closed list: consumers switch on it."""

    SENSOR_FAULT = "sensor_fault"
    COMM_ERROR = "comm_error"
    WARMING_UP = "warming_up"
    OUT_OF_RANGE = "out_of_range"
    UNCOMPENSATED = "uncompensated"
    SUBSTITUTED = "substituted"
    STALE = "stale"
    UNDER_MAINTENANCE = "under_maintenance"


BAD_REASONS = frozenset({Reason.SENSOR_FAULT, Reason.COMM_ERROR, Reason.WARMING_UP})


class Origin(StrEnum):
    """How a sample reached us: measured now, back-filled by the device, retained by a broker, or sent again by one.

    Redelivered: the sender says that it sent the message before, and an equal one was recorded, but nothing proves that
    it was this one. It is recorded, so that nothing is lost, and named, so that nothing is counted twice unseen.
    """

    LIVE = "live"
    HISTORY = "history"
    RETAINED = "retained"
    REDELIVERED = "redelivered"


_READING_TYPES = FieldTypes(
    value=(float, int, bool, str, NoneType),
    unit=(str, NoneType),
    quality=(Quality,),
    reason=(Reason, NoneType),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One point's value, in the canonical unit of its quantity.

    A bad reading has a reason and no value; an uncertain one has both; a good one has a value and no reason.
    """

    value: Annotated[
        Value | None, "Null exactly when the quality is bad. Its type is fixed per point by DeviceDescribed."
    ]
    unit: Annotated[str | None, "UCUM; null for text, booleans and what has no unit."]
    quality: Quality = Quality.GOOD
    reason: Annotated[Reason | None, "Why it is not good."] = None

    def __post_init__(self) -> None:
        if self.quality is Quality.BAD:
            if self.value is not None or self.reason not in BAD_REASONS:
                raise ValueError("a bad reading has no value and one of the reasons for bad")
        elif self.value is None:
            raise ValueError("a reading that is not bad has a value")
        elif (self.quality is Quality.GOOD) != (self.reason is None) or self.reason in BAD_REASONS:
            raise ValueError("a reading has one of the reasons for uncertain exactly when it is uncertain")
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise ValueError("a value is finite; what is not a number is a bad reading")

    def check(self) -> None:
        """Raise TypeError or ValueError if a field is not what it must be; `Sample.check` says when."""
        value = self.value
        if (
            type(value) is float
            and type(self.unit) is str
            and self.quality is Quality.GOOD
            and self.reason is None
            and math.isfinite(value)
        ):
            # Nearly all of them; this is done for each reading of each sample.
            return
        _READING_TYPES.check(self)
        if isinstance(value, str):
            check_text("value", value, length_max=TEXT_LENGTH_MAX)
        # An instance may also have been made or changed without its birth.
        Reading.__post_init__(self)


def bad(reason: Reason, unit: str | None) -> Reading:
    """Make the reading of a point that gave no usable value."""
    return Reading(value=None, unit=unit, quality=Quality.BAD, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery:
    """A sender says that it sent this message before. Whether that arrived, only its receiver can know."""

    # The name of the earlier delivery that it may be.
    of: bytes
    # Whether the earlier delivery, if it said the same, was this message beyond doubt.
    is_certain: bool


_SAMPLE_TYPES = FieldTypes(
    device_id=(str,),
    readings=(dict,),
    measured_at_ms=(int, NoneType),
    origin=(Origin,),
    source_key=(bytes,),
    may_repeat=(bool,),
    delivery=(bytes,),
    redelivery=(Redelivery, NoneType),
)
_REDELIVERY_TYPES = FieldTypes(of=(bytes,), is_certain=(bool,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one poll of one device or one message yields: one time, several points.

    Values are canonical (raw value scaled, in the unit of the point's quantity) and not yet corrected by `gain`,
    `offset` and `range`: the collector does that with the configuration then in force.
    """

    device_id: str
    readings: Mapping[str, Reading]
    # The payload's own time, in milliseconds since 1970; None = the moment it reached us.
    measured_at_ms: int | None = None
    origin: Origin = Origin.LIVE
    # The same for each arrival of the same message for the same device (a hash of at most 16 bytes); b"" = unknown.
    # Of a device whose values a broker retains, the first half is the same for all that is said in the same place.
    source_key: bytes = b""
    # Whether a known source key means that this sample came before: its key is the payload's own identity or time.
    # Without, an equal text is an equal value measured again.
    may_repeat: bool = False
    # The driver's name of the arrival that brought it (8 bytes); b"" = its sender never says that it sends again.
    delivery: bytes = b""
    # None: as far as the sender knows, it was never sent before.
    redelivery: Redelivery | None = None

    def __post_init__(self) -> None:
        if isinstance(self.readings, (dict, Mapping)):
            # A copy: the author of the sample may go on changing its own mapping.
            object.__setattr__(self, "readings", dict(self.readings))
        self._check_lengths()

    def _check_lengths(self) -> None:
        if not self.readings:
            raise ValueError("a sample has at least one reading; a device that said nothing gave no sample")
        if len(self.source_key) > SOURCE_KEY_LENGTH_MAX:
            raise ValueError(f"source_key has at most {SOURCE_KEY_LENGTH_MAX} bytes")
        if self.delivery and (len(self.delivery) != DELIVERY_LENGTH or not self.source_key):
            raise ValueError(f"delivery has {DELIVERY_LENGTH} bytes or none, and stands beside a source_key")

    def check(self) -> None:
        """Raise TypeError or ValueError, naming the field, if a field is not what it must be.

        The collector calls it for each sample that it gets: a driver is not obliged to be checked by mypy. A test of a
        driver may call it as well.
        """
        _SAMPLE_TYPES.check(self)
        if self.redelivery is not None:
            _REDELIVERY_TYPES.check(self.redelivery)
        if self.origin is Origin.REDELIVERED:
            raise ValueError("origin is redelivered; that is for the collector to say")
        for point_id, reading in self.readings.items():
            if type(point_id) is not str or type(reading) is not Reading:
                got = f"{type(point_id).__name__} to {type(reading).__name__}"
                raise TypeError(f"readings goes from {got}; it must go from str to Reading")
            try:
                reading.check()
            except (TypeError, ValueError) as error:
                raise type(error)(f"readings[{point_id!r}]: {error}") from error
        if self.measured_at_ms is not None and not 0 <= self.measured_at_ms <= UNIX_MS_MAX:
            raise ValueError("measured_at_ms is not a time between the years 1970 and 9999")
        Sample._check_lengths(self)
