"""When a payload says that it was measured, and whether that can be. No I/O, no clock of its own.

A payload's time that cannot be is that of a wrong clock (1970, 1974 and 2018 were seen) and counts as none.
"""

import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal, TypeAlias

from drivers.decoders.json_path import Found, JsonPath, Missing
from drivers.decoders.values import number_of

TimeFormat: TypeAlias = Literal["iso", "epoch_s", "epoch_ms", "epoch_ns"]

# The broker keeps for so long what we missed while we were away (session_expiry_s): times may be that old and right.
PAST_MAX_S = 604_800.0
FUTURE_MAX_S = 300.0
# What a device stored, and what a broker retained, may be older: the stores of the catalogue hold some weeks.
STORED_PAST_MAX_S = 31_622_400.0

# At least minutes: a date alone is no time of a measurement.
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*", re.DOTALL)
_MS_PER: dict[TimeFormat, float] = {"epoch_s": 1000, "epoch_ms": 1, "epoch_ns": 1e-6}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeField:
    """Where in a payload a time stands, and how it is written."""

    path: JsonPath
    format: TimeFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How far from its arrival a time can be right, in seconds."""

    past_max_s: float = PAST_MAX_S
    future_max_s: float = FUTURE_MAX_S

    def holds(self, time_ms: float, received_at_ms: int) -> bool:
        """Whether a message that arrived then can have been measured at this time."""
        age_s = (received_at_ms - time_ms) / 1000
        return -self.future_max_s <= age_s <= self.past_max_s


def zone_of(name: str) -> tzinfo | None:
    """Return a time zone; None where the machine has no time zone database: then times without a zone say nothing."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return UTC if name == "UTC" else None


def time_ms(raw: Found, form: TimeFormat, zone: tzinfo | None, near_ms: int) -> int | None:
    """Return a time as milliseconds since 1970; None if it is absent, null or no time of this format.

    Decimals may be of any length (The Things Stack writes nine), epochs may be written as text. A time without a zone
    is the zone's; of the two that it means when the clocks are set back the one nearer to `near_ms`, its arrival.
    """
    if form == "iso":
        return _iso_ms(raw, zone, near_ms) if isinstance(raw, str) else None
    if raw is None or isinstance(raw, Missing | list | dict):
        return None
    number = number_of(raw)
    return None if number is None else round(number * _MS_PER[form])


def _iso_ms(text: str, zone: tzinfo | None, near_ms: int) -> int | None:
    text = text.strip()
    if _ISO.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return min(_meanings(moment, zone), key=lambda meaning_ms: abs(meaning_ms - near_ms), default=None)
    except (ValueError, OverflowError):
        return None


def _meanings(moment: datetime, zone: tzinfo | None) -> Iterator[int]:
    if moment.tzinfo is not None:
        yield _epoch_ms(moment)
    elif zone is not None:
        yield from (_epoch_ms(moment.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))


def _epoch_ms(moment: datetime) -> int:
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
