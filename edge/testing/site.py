"""What a driver is given, without a site: settings from the TOML text of a site file, and a context. Public API."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from drivers import DriverUnknown, driver_kind
from edge.domain.by_hand import Given, Undecodable
from edge.domain.driver import DriverContext, DriverKind, DriverMisconfigured, LatestReading
from edge.domain.reading import Reading
from edge.domain.settings import ConnectionSettings, Settings
from edge.settings.problems import ConfigurationInvalid
from edge.settings.profile_places import PROFILE_FOLDER
from edge.settings.site import SiteReader
from edge.settings.specimen import load_specimen

# Stands behind a text that has no site of its own, so that its lines keep their numbers.
SITE = """
[site]
id = "test"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
"""
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_READINGS: Mapping[tuple[str, str], LatestReading] = MappingProxyType({})


def settings_from(text: str, *, kind: DriverKind | None = None, profiles: Path | None = None) -> Settings:
    """Read a site file's text as the daemon would. Raises ConfigurationInvalid, with every mistake.

    The tables [site] and [event_store] may be left out. `kind` is a driver that need not be installed, `profiles` a
    folder of profiles that none need bring.
    """
    with _reader(text, kind, profiles) as reader:
        return reader.read()


def connection_from(text: str, *, kind: DriverKind | None = None, profiles: Path | None = None) -> ConnectionSettings:
    """Read the text of one connection: what a driver is made from. Raises ConfigurationInvalid, with every mistake."""
    (connection,) = settings_from(text, kind=kind, profiles=profiles).connections
    return connection


def mistakes_of(text: str, *, kind: DriverKind | None = None, profiles: Path | None = None) -> list[str]:
    """Return what `check` says of a site file's text, mistakes and then warnings, each as `line: path: message`."""
    with _reader(text, kind, profiles) as reader:
        try:
            reader.read()
            found = reader.cautions
        except ConfigurationInvalid as error:
            found = error.problems
    return [f"{problem.line}: {problem.path}: {problem.message}" for problem in found]


def decoded(profile: str, given: Given, *, profiles: Path | None = None) -> Mapping[str, Reading]:
    """Return what bytes in hand say through a profile, by point: the readings of all samples, not yet judged.

    Raises Undecodable, ConfigurationInvalid with the profile's mistakes, or ProfileUnknown.
    """
    specimen = load_specimen(profile if profiles is None else f"{profile}.toml", profiles or Path())
    if specimen.kind.decode is None:
        raise Undecodable(f"the driver {specimen.kind.name!r} has no hook decode")
    samples = specimen.kind.decode(specimen.device, given)
    return {point_id: reading for sample in samples for point_id, reading in sample.readings.items()}


@contextmanager
def _reader(text: str, kind: DriverKind | None, profiles: Path | None) -> Iterator[SiteReader]:
    def find_kind(name: str) -> DriverKind:
        if kind is None:
            return driver_kind(name)
        if kind.name != name:
            raise DriverUnknown(f"the driver under test is {kind.name!r}, not {name!r}")
        return kind

    with tempfile.TemporaryDirectory() as folder:
        if profiles is not None:
            shutil.copytree(profiles, Path(folder, PROFILE_FOLDER))
        file = Path(folder, "site.toml")
        file.write_text(text if "[site]" in text else text + SITE, encoding="utf-8")
        yield SiteReader(file, find_kind)


def context_with(
    *,
    credentials: Mapping[str, str] = _NOTHING,
    latest: Mapping[tuple[str, str], LatestReading] = _NO_READINGS,
    folder: Path | None = None,
    time_zone: str = "UTC",
    gateway_id: str = "gateway",
) -> DriverContext:
    """Make a context. What is put into `credentials` and `latest` (by device and point) later is found, too."""

    def credential(name: str) -> str:
        if name not in credentials:
            raise DriverMisconfigured(f"there is no credential {name!r}")
        return credentials[name]

    return DriverContext(
        gateway_id=gateway_id,
        time_zone=time_zone,
        folder=folder or Path(),
        credential=credential,
        latest=lambda device_id, point_id: latest.get((device_id, point_id)),
    )
