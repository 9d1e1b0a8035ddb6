"""Where profiles are found: beside the site file, in its folder `profiles`, in the package, in other distributions.

A distribution brings profiles by an entry point that names a folder of its package:

    [project.entry-points."greenhouse_edge.profiles"]
    acme = "acme_sensors.profiles"

The folder `acme_sensors/profiles` holds the TOML files. The package is found, not imported: none of its code runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from edge import __version__

PROFILE_FOLDER = "profiles"
PROFILE_ENTRY_POINT_GROUP = "greenhouse_edge.profiles"
OURS = f"greenhouse-edge {__version__}"
SITE = "site"


@dataclass(frozen=True, kw_only=True)
class ProfileFile:
    """A profile's file, and where it comes from."""

    file: Path
    # The distribution that brings it, with its version; SITE = it lies beside the site file.
    origin: str

    @property
    def is_sites_own(self) -> bool:
        """Whether it belongs to one site, and is not found from another."""
        return self.origin == SITE


@dataclass(frozen=True, kw_only=True)
class _Place:
    folder: Path
    origin: str

    def file(self, name: str) -> ProfileFile | None:
        file = self.folder / f"{name}.toml"
        return ProfileFile(file=file, origin=self.origin) if file.is_file() else None

    def files(self) -> Iterator[ProfileFile]:
        for file in sorted(self.folder.glob("*.toml")):
            yield ProfileFile(file=file, origin=self.origin)


@dataclass(frozen=True, kw_only=True)
class _Others:
    """What other distributions bring, in the order of their names."""

    places: list[_Place]
    # A sentence for each entry point without profiles, with the name of its distribution.
    broken: list[str]


class _Unfound(LookupError):  # noqa: N818 - it never leaves this file
    """An entry point names no folder with profiles; the message says why."""


def packaged_profiles() -> Path:
    """The folder of the profiles that come with the package."""
    return Path(str(files("drivers"))) / PROFILE_FOLDER


class ProfilePlaces:
    """All places of one site, looked into in their order. The distributions are looked up once, when one is needed."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the site file's."""
        self._beside = _Place(folder=folder, origin=SITE)
        # The site's folder and the package; what lies beside the site file is found, but is not known to be a profile.
        self._listed = (
            _Place(folder=folder / PROFILE_FOLDER, origin=SITE),
            _Place(folder=packaged_profiles(), origin=OURS),
        )

    def find(self, name: str) -> ProfileFile | None:
        """Find a profile: the first one of this name."""
        for place in (self._beside, *self._listed):
            if (found := place.file(name)) is not None:
                return found
        return next(iter(self._brought(name)), None)

    def passed_over(self, name: str) -> list[ProfileFile]:
        """Return the other distributions' profiles of this name that are not used, since another one comes first.

        A site's own profile is there to come first; then none is returned.
        """
        found = self.find(name)
        if found is None or found.is_sites_own:
            return []
        return [other for other in self._brought(name) if other != found]

    def all(self) -> dict[str, ProfileFile]:
        """Return every profile that is used, by name."""
        found: dict[str, ProfileFile] = {}
        for place in (*self._listed, *self._others.places):
            for profile in place.files():
                found.setdefault(profile.file.stem, profile)
        return {name: found[name] for name in sorted(found)}

    def broken(self) -> list[str]:
        """Say which distributions promise profiles and bring none, and why."""
        return self._others.broken

    def no_such(self, name: str) -> str:
        """Say that there is no profile of this name, what was probably meant, and where it could not be looked for."""
        near = get_close_matches(name, self.all(), n=3)
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else "`greenhouse-edge profiles` lists what there is"
        )
        return "; ".join([f"there is no profile {name!r}; {hint}", *self.broken()])

    def _brought(self, name: str) -> list[ProfileFile]:
        return [found for place in self._others.places if (found := place.file(name)) is not None]

    @cached_property
    def _others(self) -> "_Others":
        places, broken = [], []
        points = entry_points(group=PROFILE_ENTRY_POINT_GROUP)
        for point in sorted(points, key=lambda point: (_origin(point), point.name)):
            origin = _origin(point)
            try:
                places.append(_Place(folder=_folder(point), origin=origin))
            except _Unfound as error:
                broken.append(f"the profiles of {origin} ({point.name} = {point.value}) cannot be found: {error}")
        return _Others(places=places, broken=broken)


def _origin(point: EntryPoint) -> str:
    return point.value if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _folder(point: EntryPoint) -> Path:
    """Return the folder that an entry point names. Raises _Unfound."""
    package, *inner = point.value.split(".")
    try:
        spec = find_spec(package)
    except Exception as error:  # the finder of a package may be any code
        raise _Unfound(f"{type(error).__name__}: {error}") from error
    if spec is None or not spec.submodule_search_locations:
        raise _Unfound(f"there is no package {package!r}")
    folders = [Path(location, *inner) for location in spec.submodule_search_locations]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise _Unfound(f"there is no folder {folders[0]}")
    if not any(found.glob("*.toml")):
        raise _Unfound(f"{found} holds no TOML file")
    return found
