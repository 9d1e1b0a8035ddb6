"""Secrets: looked up by name, never in the site file, never in a log."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

# systemd's LoadCredential= puts files here.
_SYSTEMD_DIRECTORY = "CREDENTIALS_DIRECTORY"
_ENVIRONMENT_PREFIX = "GREENHOUSE_EDGE_CREDENTIAL_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class CredentialMissing(Exception):  # noqa: N818 - names the remedy: bring it
    """None of the places has a credential that the site file names."""


def is_credential_name(name: str) -> bool:
    """Whether this can be the name of a credential: a file's name in a directory, never a path."""
    return _NAME.fullmatch(name) is not None


def credential(name: str, *, directory: Path | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """Return a credential (`user:password`) by its name.

    Looked up in the directory systemd names, in `directory` (`--credentials-dir`), and in the environment, in this
    order. A line feed at the end is cut off. Raises CredentialMissing, saying where it was looked for.
    """
    if not is_credential_name(name):
        raise CredentialMissing(f"{name!r} cannot be the name of a credential")
    places = []
    for folder in (environment.get(_SYSTEMD_DIRECTORY), directory):
        if folder is None:
            continue
        file = Path(folder) / name
        places.append(str(file))
        if file.is_file():
            return file.read_text(encoding="utf-8").rstrip("\r\n")
    variable = _ENVIRONMENT_PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())
    if variable in environment:
        return environment[variable]
    looked = ", ".join([*places, f"${variable}"])
    raise CredentialMissing(f"credential {name!r} was not found in {looked}")
