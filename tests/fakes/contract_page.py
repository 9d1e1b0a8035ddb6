"""What CONTRACT.md prints, to be run as it stands there."""

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from edge.contract.published import page, printed

# What the read model keeps for itself: how far it has come.
ITS_OWN = ("seen", "place")


def lay_out(folder: Path) -> Path:
    """Write the files that the page prints into a folder."""
    for name, text in printed(page()).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def read_model() -> ModuleType:
    """The printed read model, as a module."""
    module = ModuleType("read_model")
    exec(compile(printed(page())["read_model.py"], "read_model.py", "exec"), module.__dict__)
    return module


def open_view(file: Path | str = ":memory:") -> sqlite3.Connection:
    """Open the read model's database, with its tables."""
    database = sqlite3.connect(file)
    database.executescript(printed(page())["read_model.sql"])
    return database


def view_of(database: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """What a view holds, each table in an order of its own; two views of the same events are equal."""
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: _rows(database, name) for name in [*names, "gaps"] if name not in ITS_OWN}


def _rows(database: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    found = database.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in found.description]
    return sorted((dict(zip(names, row, strict=True)) for row in found), key=json.dumps)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An event as esdbclient gives it to the read model."""

    id: UUID
    type: str
    data: bytes
    metadata: bytes
    stream_name: str
    stream_position: int
    commit_position: int
