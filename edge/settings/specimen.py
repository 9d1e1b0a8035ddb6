"""A device made of a profile alone, for tools that decode or show without a site file."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from drivers import DriverUnknown, driver_kind, foreign_code
from edge.domain.driver import DriverKind
from edge.domain.settings import POLL_INTERVAL_S, DeviceSettings
from edge.settings.device import build_device
from edge.settings.document import Document, Place, Table, read_document
from edge.settings.placed import BROKE_ON_OPTIONS
from edge.settings.problems import ConfigurationInvalid, Problem
from edge.settings.profile import (
    PROFILE_FOLDER,
    Profile,
    find_profile,
    load_profile,
    no_such_profile,
    packaged_profiles,
)

_ABSENT = Document(file=Path("command line"), tree={}, positions={}, digest="")


class ProfileUnknown(LookupError):  # noqa: N818 - names the situation; the remedy is a person's
    """No profile has this name; the message says which there are."""


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One device exactly as its profile describes it."""

    file: Path
    kind: DriverKind
    profile: Profile
    device: DeviceSettings
    # Options that the profile leaves open and only the site file can say; the device has something in their place.
    open_options: frozenset[str]


def load_specimen(name: str, folder: Path) -> Specimen:
    """Make the device of a profile, looked for in `folder`, in its folder `profiles`, and in the package.

    Raises ProfileUnknown, or ConfigurationInvalid with the profile's mistakes.
    """
    file = _found(name, folder)
    report: list[Problem] = []
    kind = _kind(file)
    try:
        with foreign_code(kind.name, BROKE_ON_OPTIONS, passing=(ConfigurationInvalid,)):
            return _made(file, kind, report)
    except DriverUnknown as error:
        raise ConfigurationInvalid([_head(file).place_of("driver").problem(str(error))]) from error


def _made(file: Path, kind: DriverKind, report: list[Problem]) -> Specimen:
    profile = load_profile(file, kind, report)
    if profile is None:
        raise ConfigurationInvalid(report)
    open_options = frozenset(kind.stand_ins.keys() - profile.device.values.keys())
    values = {key: kind.stand_ins[key] for key in open_options}
    table = Table(place=Place(document=_ABSENT, path=()), values={"id": profile.identity.id, **values})
    device = build_device(table, profile, kind, poll_interval_s=POLL_INTERVAL_S, report=report)
    if report or device is None:
        raise ConfigurationInvalid(report)
    return Specimen(file=file, kind=kind, profile=profile, device=device, open_options=open_options)


def load_specimens(driver: str, folder: Path) -> list[Specimen]:
    """Make a device of each profile of a driver, in the order of their names; those with mistakes are left out."""
    specimens = []
    for name in profile_files(folder):
        # A broken profile of the site's own is told by whoever names it.
        with suppress(ConfigurationInvalid):
            specimens.append(load_specimen(name, folder))
    return [specimen for specimen in specimens if specimen.kind.name == driver]


def profile_files(folder: Path) -> dict[str, Path]:
    """Return every profile's file by name; a site's own hides the package's of the same name."""
    folders = (packaged_profiles(), folder / PROFILE_FOLDER)
    files = {file.stem: file for place in folders for file in place.glob("*.toml")}
    return {name: files[name] for name in sorted(files)}


def _found(name: str, folder: Path) -> Path:
    given = folder / name
    if given.suffix == ".toml" and given.is_file():
        return given
    file = find_profile(name, folder / "site.toml")
    if file is None:
        raise ProfileUnknown(no_such_profile(name, folder / "site.toml"))
    return file


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
