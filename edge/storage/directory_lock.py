"""One process per state directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.storage.errors import DatabaseInUse, StorageError

LOCK_NAME = "outbox.lock"


@contextmanager
def held_directory(directory: Path) -> Iterator[None]:
    """Hold a state directory for this process; made if it is missing. Raises DatabaseInUse, or StorageError.

    The kernel lets go of the lock when the process ends, however it ends. The file stays, with the last holder's pid.
    """
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StorageError(f"the state directory {directory} cannot be used: {error.strerror}") from error
    try:
        _take(lock, directory)
        yield
    finally:
        os.close(lock)


def _take(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        holder = f"process {pid}" if pid else "another process"
        raise DatabaseInUse(f"the state directory {directory} is in use by {holder}") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
