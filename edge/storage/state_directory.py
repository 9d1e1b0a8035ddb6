"""One process per state directory, and one file in it: whether it still stands where it was opened.

A process keeps its open file when the file's name is deleted or given to another file. Everything would seem to work,
and all of it would be gone with the process.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from edge.storage.errors import CommitFailed, DatabaseInUse, StateDirectoryLost, StorageError

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


class _Identity(NamedTuple):
    """Which file a name leads to."""

    device: int
    inode: int


class _Content(NamedTuple):
    """What changes when another file is copied over this one."""

    size: int
    modified_ns: int


class FilePlace:
    """Remembers which file was opened, and looks whether its name still leads there. One look costs microseconds.

    Only our own commits write to the file, because it is locked. So a changed content between two of them is another
    program's work, too: a copy that was put over the open file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._log = file.with_name(f"{file.name}-wal")
        # Held from the first opening to the end, or the number of a deleted file could be given to the one in its place
        # while SQLite has closed it. O_PATH: closing any other descriptor would drop the locks that SQLite holds.
        self._descriptor: int | None = None
        self._opened: _Identity | None = None
        self._content: _Content | None = None
        # The write-ahead log; None until the first look that finds it. SQLite holds it open.
        self._opened_log: _Identity | None = None

    def check_identity(self) -> None:
        """Look whether the file, if it was opened already, is still the same. Raises StateDirectoryLost."""
        if self._opened is not None and _look(self._file)[0] != self._opened:
            raise StateDirectoryLost(f"{self._file} was replaced by another file while it was open")

    def note_opened(self) -> None:
        """Remember the file that was just opened. Raises StateDirectoryLost if it is not the one of before."""
        self.check_identity()
        if self._descriptor is None:
            self._descriptor = os.open(self._file, os.O_PATH | os.O_CLOEXEC)
        self._remember()

    def note_closed(self) -> None:
        """Expect another content: SQLite writes its log back into the file and deletes the log when it closes them."""
        self._content = self._opened_log = None

    def check(self) -> None:
        """Look before something is written. Raises StateDirectoryLost."""
        self.check_identity()
        if self._content not in {None, _look(self._file)[1]}:
            raise StateDirectoryLost(f"{self._file} was changed by another program while it was open")
        self._check_log()

    def note_written(self) -> None:
        """Look after a write. Raises StateDirectoryLost if it went into a file that has no name any more."""
        self.check_identity()
        self._check_log()
        self._remember()

    def close(self) -> None:
        """Let go of the file for good."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _remember(self) -> None:
        self._opened, self._content = _look(self._file)
        if self._opened_log is None and self._log.exists():
            self._opened_log, _ = _look(self._log)

    def _check_log(self) -> None:
        if self._opened_log is not None and _look(self._log)[0] != self._opened_log:
            raise StateDirectoryLost(f"{self._log} was replaced by another file while it was open")


def _look(file: Path) -> tuple[_Identity, _Content]:
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StateDirectoryLost(f"{file} was deleted or moved away while it was open") from error
    except OSError as error:
        raise CommitFailed(f"{file} cannot be looked at: {error.strerror}") from error
    return _Identity(found.st_dev, found.st_ino), _Content(found.st_size, found.st_mtime_ns)
