"""What can be wrong with the outbox's file, named by remedy."""

import sqlite3

# SQLite's primary result codes for what passes: the disk is full, read-only, failing, or held by another program.
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class StorageError(Exception):
    """Something is wrong with the local file. The subclass names the remedy."""


class DatabaseInUse(StorageError):  # noqa: N818 - the vocabulary's words, here and below
    """Another process works on the same state directory. Remedy: end it, or give this one its own directory."""


class DatabaseTooNew(StorageError):  # noqa: N818
    """A newer release laid out this file. Remedy: run that release; an old one would not understand the tables."""


class DatabaseDamaged(StorageError):  # noqa: N818
    """SQLite itself finds the file damaged. Remedy: salvage into a new file."""


class CommitFailed(StorageError):  # noqa: N818
    """The disk did not take (or give) it now. Remedy: try again later. Whether it was written is unknown."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        # SQLite's primary result code, where there was one.
        self.code = code


class StateDirectoryLost(CommitFailed):
    """The file was deleted, moved or replaced while it was open. Remedy: end, and start again with what is there now.

    Nothing more is accepted: what is written into a deleted file is gone when the process ends.
    """


class BlockDamaged(StorageError):  # noqa: N818
    """A block or control entry does not match its checksum. Remedy: pass over it and say so."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(f"the block that ends at position {position} is damaged: {problem}")
        self.position = position


def primary_code(error: sqlite3.Error) -> int | None:
    """Return SQLite's primary result code; None where an error has none (it did not come from SQLite itself)."""
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    # The low byte is the primary code, the rest says more (IOERR_FSYNC, READONLY_DBMOVED, …).
    return None if extended is None else extended & 0xFF


def storage_error(error: sqlite3.Error) -> StorageError | None:
    """Translate an error of SQLite; None if it is a bug of ours (a wrong statement, a broken constraint)."""
    code = primary_code(error)
    if code in _DAMAGE:
        return DatabaseDamaged(str(error))
    if code in _PASSING:
        return CommitFailed(str(error), code=code)
    return None
