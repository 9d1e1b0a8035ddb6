"""A TOML file in memory: its values, and the place of each, kept together through every merge."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from edge.settings.positions import KeyPath, path_text, positions_of
from edge.settings.problems import ConfigurationInvalid, Problem


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """One file as it was read."""

    file: Path
    tree: Mapping[str, object]
    positions: Mapping[KeyPath, tuple[int, int]]
    # "sha256:" and 64 hexadecimal digits, over the file's bytes.
    digest: str

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Make a mistake at a path; a missing key is reported at its table."""
        known = path
        while known and known not in self.positions:
            known = known[:-1]
        line, column = self.positions.get(known, (1, 1))
        return Problem(file=self.file, line=line, column=column, path=path_text(path), message=message)


def read_document(file: Path) -> Document:
    """Read a file. Raises ConfigurationInvalid: not there, not UTF-8, not TOML."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, 1, 1, f"cannot be read: {error.strerror or error}") from error
    try:
        # A TOML line ends in a line feed, with or without a carriage return; some editors write a byte order mark.
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable(file, line, 1, "is not UTF-8") from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(file, text, error) from error
    except RecursionError as error:
        raise _unreadable(file, 1, 1, "is nested too deeply") from error
    digest = f"sha256:{sha256(content).hexdigest()}"
    return Document(file=file, tree=tree, positions=positions_of(text), digest=digest)


def _unreadable(file: Path, line: int, column: int, message: str) -> ConfigurationInvalid:
    return ConfigurationInvalid([Problem(file=file, line=line, column=column, path="", message=message)])


def _syntax_error(file: Path, text: str, error: tomllib.TOMLDecodeError) -> ConfigurationInvalid:
    """Tomllib tells the place only in its sentence: "… (at line 3, column 7)" or "… (at end of document)"."""
    sentence, _, place = str(error).rpartition(" (at ")
    words = place.rstrip(")").replace(",", "").split()
    if words[:1] == ["line"] and len(words) == 4:
        return _unreadable(file, int(words[1]), int(words[3]), f"is not TOML: {sentence}")
    end = text.count("\n") + 1
    return _unreadable(file, end, 1, f"is not TOML: {sentence or error} at the end of the file")


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a value: a path in a document."""

    document: Document
    path: KeyPath

    def problem(self, message: str) -> Problem:
        """Make a mistake at this place."""
        return self.document.problem(self.path, message)

    def inner(self, *parts: str | int) -> "Place":
        """The place of something within."""
        return Place(document=self.document, path=(*self.path, *parts))


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table's values with the place of each; those of one device come from its profile and from the site file."""

    place: Place
    values: Mapping[str, object]
    # Keys that stand elsewhere than in `place`: after a merge or a renaming.
    places: Mapping[str, Place] = field(default_factory=dict)

    def place_of(self, key: str) -> Place:
        """Return the place of a key."""
        return self.places.get(key) or self.place.inner(key)

    def only(self, *keys: str) -> "Table":
        """Return the table with these keys only."""
        return self._with({key: value for key, value in self.values.items() if key in keys})

    def without(self, *keys: str) -> "Table":
        """Return the table without these keys."""
        return self._with({key: value for key, value in self.values.items() if key not in keys})

    def renamed(self, old: str, new: str) -> "Table":
        """Return the table with one key under another name and at its old place."""
        if old not in self.values:
            return self
        values = {new if key == old else key: value for key, value in self.values.items()}
        return Table(place=self.place, values=values, places={**self.places, new: self.place_of(old)})

    def over(self, lower: "Table") -> "Table":
        """This table's keys, and those of `lower` that it lacks."""
        values = {**lower.values, **self.values}
        places = {key: self.place_of(key) if key in self.values else lower.place_of(key) for key in values}
        return Table(place=self.place, values=values, places=places)

    def table(self, key: str, report: list[Problem]) -> "Table":
        """The table within under this key; empty if there is none."""
        value = self.values.get(key, {})
        place = self.place_of(key)
        if not isinstance(value, dict):
            report.append(place.problem("must be a table"))
            value = {}
        return Table(place=place, values=value)

    def tables(self, key: str, report: list[Problem]) -> Iterator["Table"]:
        """The array of tables within under this key."""
        value = self.values.get(key, [])
        place = self.place_of(key)
        if not isinstance(value, list):
            report.append(place.problem(f"must be an array of tables: [[{path_text(place.path)}]]"))
            return
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield Table(place=place.inner(index), values=item)
            else:
                report.append(place.inner(index).problem("must be a table"))

    def _with(self, values: Mapping[str, object]) -> "Table":
        return Table(place=self.place, values=values, places=self.places)
