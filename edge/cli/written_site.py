"""The second site file that `simulate` writes: the first with simulated addresses, readable from where it lies."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from edge.cli.endpoints import Changes, with_values
from edge.domain.commissioning import Change
from edge.domain.settings import Settings
from edge.settings.profile_places import PROFILE_FOLDER, ProfilePlaces

# The first line of a copied profile. A file with another first line is the user's own, and is not overwritten.
COPIED = "# Copied by `greenhouse-edge simulate`; what is changed here is lost at its next start.\n"


class ProfileInTheWay(Exception):  # noqa: N818 - names the situation
    """Another profile of the same name lies beside the written file. Remedy: write it elsewhere."""


def earlier_ports(output: Path, listen: str) -> dict[str, int]:
    """Return the TCP ports of our last run, by connection; nothing where the file is not there or not ours."""
    try:
        connections = tomllib.loads(output.read_text(encoding="utf-8"))["connection"]
        places = {connection["id"]: _place(connection) for connection in connections}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: port for name, (host, port) in places.items() if host == listen and isinstance(port, int)}


def _place(connection: Mapping[str, object]) -> tuple[object, object]:
    if "url" in connection:
        url = urlsplit(str(connection["url"]))
        return url.hostname, url.port
    return connection.get("host"), connection.get("tcp_port")


def write_site(output: Path, settings: Settings, changes: Mapping[str, Mapping[str, Change]]) -> None:
    """Write the file with changes by connection, and the profiles that lie beside the first. Raises ProfileInTheWay."""
    endpoints: Changes = {
        ("connection", index, key): change
        for index, connection in enumerate(settings.connections)
        for key, change in changes.get(connection.id, {}).items()
    }
    ca_file = settings.event_store.ca_file
    # It is meant from the first file's folder.
    certificate: Changes = {} if ca_file is None else {("event_store", "ca_file"): str(ca_file.resolve())}
    text = with_values(settings.file.read_text(encoding="utf-8-sig"), {**endpoints, **certificate})
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.parent.resolve() != settings.file.parent.resolve():
        _copy_profiles(settings, output)
    replace_file(output, text)


def _copy_profiles(settings: Settings, output: Path) -> None:
    names = {device.profile.id for device in settings.devices() if device.profile is not None}
    groups = (group.template.profile for connection in settings.connections for group in connection.groups)
    names |= {profile.id for profile in groups if profile is not None}
    places = ProfilePlaces(settings.file.parent)
    for name in sorted(names):
        found = places.find(name)
        assert found is not None, "the site file was read"
        if found.is_sites_own:
            _copy_profile(found.file, output)


def _copy_profile(file: Path, output: Path) -> None:
    text = file.read_text(encoding="utf-8-sig")
    there = ProfilePlaces(output.parent).find(file.stem)
    if there is not None and there.is_sites_own:
        its_text = there.file.read_text(encoding="utf-8-sig")
        if its_text == text:
            return
        if not its_text.startswith(COPIED):
            raise ProfileInTheWay(
                f"{there.file} is another profile than {file}; write the site file into another folder"
            )
    copy = output.parent / PROFILE_FOLDER / file.name
    copy.parent.mkdir(exist_ok=True)
    replace_file(copy, COPIED + text.removeprefix(COPIED))


def replace_file(file: Path, text: str) -> None:
    """Write a file whole or not at all: no reader sees half of it."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
