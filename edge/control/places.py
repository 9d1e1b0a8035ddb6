"""Where a running daemon is found: its state directory, its socket, and the note beside it (DESIGN section 10)."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "greenhouse-edge"

# A unix socket's address holds 107 bytes (sun_path, unix(7)); our file names take 22 of them.
DIRECTORY_LENGTH_MAX = 107 - 22

# Runtime directories that the systemd units use (RuntimeDirectory=greenhouse-edge/%i).
UNIT_RUNTIME_DIRECTORY = Path("/run") / NAME


@dataclass(frozen=True, kw_only=True)
class DaemonNote:
    """The daemon behind a socket."""

    gateway_id: str
    site_file: str
    state_directory: str
    pid: int
    socket: str


def default_state_directory(gateway_id: str) -> Path:
    """Return the state directory where none is named: systemd's, else one under the home directory."""
    named = os.environ.get("STATE_DIRECTORY")
    if named:
        # systemd gives several directories separated by colons; ours is the first.
        return Path(named.split(":")[0])
    return Path.home() / ".local" / "state" / NAME / gateway_id


def runtime_directory() -> Path:
    """Return the directory for sockets; the last resort is made private to the user."""
    candidates = []
    if named := os.environ.get("RUNTIME_DIRECTORY"):
        candidates.append(Path(named.split(":")[0]))
    if named := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(named) / NAME)
    last_resort = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"
    return next((path for path in candidates if len(os.fsencode(path)) <= DIRECTORY_LENGTH_MAX), last_resort)


class RuntimeDirectoryUnusable(Exception):  # noqa: N818 - names the situation; the message says the remedy
    """The directory for sockets cannot be made, or another user could answer in the daemon's place."""


def make_runtime_directory() -> Path:
    """Make and return the directory for sockets. Raises RuntimeDirectoryUnusable."""
    directory = runtime_directory()
    problem = "it belongs to another user"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_ours = directory.stat().st_uid == os.getuid()
    except OSError as error:
        problem, is_ours = str(error), False
    if not is_ours:
        raise RuntimeDirectoryUnusable(
            f"the directory for the control socket, {directory}, cannot be used: {problem}; "
            "remove it, or name another one in RUNTIME_DIRECTORY"
        )
    return directory


def socket_name(state_directory: Path) -> str:
    """Return the name (without ending) of the files of the daemon with this state directory."""
    return hashlib.sha256(os.fsencode(state_directory.resolve())).hexdigest()[:16]


def write_note(note: DaemonNote) -> Path:
    """Write the note beside the socket, whole or not at all."""
    path = Path(note.socket).with_suffix(".json")
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(note)), encoding="utf-8")
    draft.replace(path)
    return path


def running_daemons() -> list[DaemonNote]:
    """Return the notes of all daemons that live and that this user can see."""
    return sorted((note for note in _notes() if _lives(note)), key=lambda note: note.gateway_id)


def _notes() -> Iterator[DaemonNote]:
    directories = {runtime_directory(), UNIT_RUNTIME_DIRECTORY}
    if UNIT_RUNTIME_DIRECTORY.is_dir():
        directories.update(entry for entry in UNIT_RUNTIME_DIRECTORY.iterdir() if entry.is_dir())
    for directory in directories:
        for path in directory.glob("*.json"):
            try:
                yield DaemonNote(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                continue  # half-written, not ours to read, or another program's


def _lives(note: DaemonNote) -> bool:
    try:
        os.kill(note.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, under another user
        return True
    return Path(note.socket).exists()
