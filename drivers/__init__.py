"""The registry of drivers: the built-in kinds, and those that other distributions bring as entry points.

A third party's distribution declares, in its `pyproject.toml`,

    [project.entry-points."greenhouse_edge.drivers"]
    my-bus = "my_package.driver:KIND"

where `KIND` is an `edge.domain.driver.DriverKind`. A built-in name always means the built-in kind.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from importlib import import_module
from importlib.metadata import entry_points

from edge.domain.commissioning import FirstDay
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
    with foreign_code(name, "cannot be imported"):
        kind = point.load()
    with foreign_code(name, "is not as a driver must be"):
        return usable(name, kind)


def driver_kinds(tell: Callable[[str], None] = lambda _sentence: None) -> Mapping[str, DriverKind]:
    """Return every usable kind. A third party's that cannot be used is left out, and `tell` is told why."""
    kinds: dict[str, DriverKind] = {}
    for name in driver_names():
        try:
            kinds[name] = driver_kind(name)
        except DriverUnknown as error:
            tell(str(error))
    return kinds


@contextmanager
def foreign_code(name: str, what: str, *, passing: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Run code of a driver's module. Any error of a third party's becomes DriverUnknown: `what`, and its words.

    A module may do anything, even end the program, while it is imported or asked about its options. Only the user's own
    KeyboardInterrupt passes, and errors of the types `passing`. A built-in driver's bug passes as the bug it is.
    """
    all_passing: tuple[type[BaseException], ...] = (KeyboardInterrupt, DriverUnknown, *passing)
    try:
        yield
    except all_passing:
        raise
    except BaseException as error:
        if name in _BUILT_IN:
            raise
        raise DriverUnknown(f"driver {name!r}{_origin(name)} {what}: {type(error).__name__}: {error}") from error


def _origin(name: str) -> str:
    """Say which distribution brings a third party's driver, and where its kind is."""
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        brought_by = "" if point.dist is None else f" of {point.dist.name} {point.dist.version}"
        return f" ({point.value}{brought_by})"
    return ""


def usable(name: str, kind: object) -> DriverKind:
    """Return an entry point's object if it is a kind of driver. Raises DriverUnknown, which says what it lacks."""
    driver = f"driver {name!r}{_origin(name)}"
    if not isinstance(kind, DriverKind):
        raise DriverUnknown(f"{driver} is a {type(kind).__name__}, not a DriverKind")
    if kind.api != DRIVER_API:
        raise DriverUnknown(f"{driver} was written for driver API {kind.api}; this gateway has {DRIVER_API}")
    if kind.name != name:
        raise DriverUnknown(f"{driver} calls itself {kind.name!r}; its entry point must have the same name")
    given: tuple[object, ...] = (kind.connection_options, kind.device_options, kind.point_options)
    for options in given:
        if not (isinstance(options, type) and is_dataclass(options)):
            raise DriverUnknown(f"{driver} has {options!r} for options; they must be a dataclass")
    hooks = {"scan": kind.scan, "probe": kind.probe, "decode": kind.decode, "simulate": kind.simulate}
    for hook, function in hooks.items():
        if not (function is None or callable(function)):
            raise DriverUnknown(f"{driver} has {function!r} for {hook}; it must be a function")
    if not (kind.first_day is None or isinstance(kind.first_day, FirstDay)):
        raise DriverUnknown(f"{driver} has {kind.first_day!r} for first_day; it must be a FirstDay")
    return kind
