"""A device made of a profile alone, for tools that decode or show without a site file."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from drivers import DriverUnknown, driver_kind, foreign_code
from edge.domain.driver import DriverKind
from edge.domain.settable import POLL_INTERVAL_S
from edge.domain.settings import DeviceSettings
from edge.settings.device import build_device
from edge.settings.document import Document, Place, Table, read_document
from edge.settings.placed import BROKE_ON_OPTIONS
from edge.settings.problems import ConfigurationInvalid, Problem
from edge.settings.profile import Profile, load_profile
from edge.settings.profile_places import SITE, ProfileFile, ProfilePlaces

_ABSENT = Document(file=Path("command line"), tree={}, positions={}, digest="")


class ProfileUnknown(LookupError):  # noqa: N818 - names the situation; the remedy is a person's
    """No profile has this name; the message says which there are."""


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One device exactly as its profile describes it."""

    found: ProfileFile
    kind: DriverKind
    profile: Profile
    device: DeviceSettings
    # Options that only a site file can give; the device has stand-ins for them.
    open_options: frozenset[str]


def load_specimen(name: str, folder: Path) -> Specimen:
    """Make the device of a profile, looked for as a site file in `folder` would.

    Raises ProfileUnknown, or ConfigurationInvalid with the profile's mistakes.
    """
    return _specimen(_found(name, folder))


def _specimen(found: ProfileFile) -> Specimen:
    report: list[Problem] = []
    kind = _kind(found.file)
    try:
        with foreign_code(kind.name, BROKE_ON_OPTIONS, passing=(ConfigurationInvalid,)):
            return _made(found, kind, report)
    except DriverUnknown as error:
        raise ConfigurationInvalid([_head(found.file).place_of("driver").problem(str(error))]) from error


def _made(found: ProfileFile, kind: DriverKind, report: list[Problem]) -> Specimen:
    profile = load_profile(found.file, kind, report)
    if profile is None:
        raise ConfigurationInvalid(report)
    open_options = frozenset(kind.stand_ins.keys() - profile.device.values.keys())
    values = {key: kind.stand_ins[key] for key in open_options}
    table = Table(place=Place(document=_ABSENT, path=()), values={"id": profile.identity.id, **values})
    device = build_device(table, profile, kind, poll_interval_s=POLL_INTERVAL_S, report=report)
    if report or device is None:
        raise ConfigurationInvalid(report)
    return Specimen(found=found, kind=kind, profile=profile, device=device, open_options=open_options)


def load_specimens(driver: str, folder: Path) -> list[Specimen]:
    """Make a device of each profile of a driver, in the order of their names; those with mistakes are left out."""
    specimens = []
    for found in ProfilePlaces(folder).all().values():
        # The mistakes of a profile are reported where a site file or a verb names it.
        with suppress(ConfigurationInvalid):
            specimens.append(_specimen(found))
    return [specimen for specimen in specimens if specimen.kind.name == driver]


def _found(name: str, folder: Path) -> ProfileFile:
    given = folder / name
    if given.suffix == ".toml" and given.is_file():
        return ProfileFile(file=given, origin=SITE)
    places = ProfilePlaces(folder)
    found = places.find(name)
    if found is None:
        raise ProfileUnknown(places.no_such(name))
    return found


def _head(file: Path) -> Table:
    document = read_document(file)
    return Table(place=Place(document=document, path=()), values=document.tree).table("profile", [])


def _kind(file: Path) -> DriverKind:
    head = _head(file)
    driver = head.values.get("driver")
    if not isinstance(driver, str):
        raise ConfigurationInvalid([head.place_of("driver").problem("driver is required")])
    try:
        return driver_kind(driver)
    except DriverUnknown as error:
        raise ConfigurationInvalid([head.place_of("driver").problem(str(error))]) from error
