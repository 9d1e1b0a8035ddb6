"""Points of texts and payloads, made without a site file."""

from collections.abc import Mapping

from drivers.decoders.values import ValueKind, ValueOptions
from edge.domain.quantity import QUANTITIES, conversion
from edge.domain.settings import PointSettings


def value_point(
    quantity: str | None = None,
    *,
    unit: str | None = None,
    type: ValueKind = "number",  # noqa: A002 - the profile's key
    scale: float = 1.0,
    raw_offset: float = 0.0,
    polynomial: tuple[float, ...] = (),
    map: Mapping[str, float | bool | str] | None = None,  # noqa: A002 - the profile's key
    invalid_raw: tuple[float | str, ...] = (),
) -> PointSettings:
    """A point of this quantity (None = a plain number); `unit` is the profile's, without it the canonical one."""
    options = ValueOptions(
        type=type,
        scale=scale,
        raw_offset=raw_offset,
        polynomial=polynomial,
        map=map or {},
        invalid_raw=invalid_raw,
    )
    assert not options.mistakes()
    canonical = None if quantity is None else QUANTITIES[quantity].unit
    way = conversion(unit or canonical or "", canonical or "")
    assert way is not None
    return PointSettings(
        id=quantity or "value",
        quantity=quantity,
        type=options.value_type,
        unit=canonical,
        conversion=way,
        options=options,
    )
