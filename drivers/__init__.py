"""The registry of drivers: the built-in kinds, and those that other distributions bring as entry points.

A third party's distribution declares, in its `pyproject.toml`,

    [project.entry-points."greenhouse_edge.drivers"]
    my-bus = "my_package.driver:KIND"

where `KIND` is an `edge.domain.driver.DriverKind`. A built-in name always means the built-in kind.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points

from edge.domain.driver import DRIVER_API, ENTRY_POINT_GROUP, DriverKind

# name -> module that has a KIND. Imported when first asked for: a site without Modbus never loads pymodbus.
_BUILT_IN = {
    "modbus": "drivers.modbus",
    "serial": "drivers.serial",
    "mqtt": "drivers.mqtt",
    "simulated": "drivers.simulated",
}


class DriverUnknown(LookupError):  # noqa: N818 - the vocabulary's word; the remedy is a person's
    """No usable driver has this name; the message says which there are."""


def driver_names() -> tuple[str, ...]:
    """List every name that `driver = "…"` may have, built-in first. Imports no driver."""
    foreign = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)} - _BUILT_IN.keys()
    return (*_BUILT_IN, *sorted(foreign))


def driver_kind(name: str) -> DriverKind:
    """Return the kind of driver with this name, importing it now.

    Raises DriverUnknown if there is none, or if a third party's cannot be used here.
    """
    if name in _BUILT_IN:
        kind: object = import_module(_BUILT_IN[name]).KIND
        assert isinstance(kind, DriverKind)
        return kind
    found = entry_points(group=ENTRY_POINT_GROUP, name=name)
    if not found:
        raise DriverUnknown(f"there is no driver {name!r}; there are: {', '.join(driver_names())}")
    point = next(iter(found))
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise DriverUnknown(f"driver {name!r} ({point.value}) cannot be imported: {error}") from error
    return _usable(name, point.value, kind)


def driver_kinds() -> Mapping[str, DriverKind]:
    """Return every kind that can be used here; a third party's that cannot be used is left out."""
    kinds: dict[str, DriverKind] = {}
    for name in driver_names():
        try:
            kinds[name] = driver_kind(name)
        except DriverUnknown:
            continue
    return kinds


def _usable(name: str, origin: str, kind: object) -> DriverKind:
    if not isinstance(kind, DriverKind):
        raise DriverUnknown(f"driver {name!r} ({origin}) is a {type(kind).__name__}, not a DriverKind")
    if kind.api != DRIVER_API:
        raise DriverUnknown(
            f"driver {name!r} ({origin}) was written for driver API {kind.api}; this gateway has {DRIVER_API}"
        )
    return kind
