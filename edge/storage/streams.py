"""Short numbers for the names of streams, and which streams are parked."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from edge.storage.database import Reader, Statement
from edge.storage.errors import DatabaseDamaged

# Why a stream is parked of which only the number is left.
LOST = "its name is lost: the outbox's file is damaged, and its events are kept here"


class StreamRow(NamedTuple):
    """A row of the table `streams`."""

    number: int
    name: str
    # Nothing is appended until a person decides; None where the stream is not parked.
    parked_reason: str | None = None


async def load_streams(reader: Reader) -> list[StreamRow]:
    """Return all rows, in the order of their numbers. Raises DatabaseDamaged if a name or a number stands twice."""
    rows = await reader.fetch_all("SELECT number, name, parked_reason FROM streams ORDER BY number")
    streams = [StreamRow(*row) for row in rows]
    # The table's own rules forbid both; an index that is damaged does not see it.
    names, numbers = Counter(row.name for row in streams), Counter(row.number for row in streams)
    twice = [what for what, count in (*names.items(), *numbers.items()) if count > 1]
    if twice:
        raise DatabaseDamaged(f"its table streams holds more than once: {', '.join(map(str, twice))}")
    return streams


class StreamNames:
    """Number and name of every stream this file ever wrote to. In memory; the rows are few.

    `name`, `numbers` and `parked` tell what stands in the table, and nothing else. A number that was given and is not in
    the table yet belongs to one name until the process ends, whatever becomes of the transaction that asked for it.
    """

    def __init__(self, rows: Iterable[StreamRow] = (), *, named_elsewhere: Iterable[int] = ()) -> None:
        """`named_elsewhere` are the numbers that entries and cursors name: new streams get higher ones."""
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._parked: dict[int, str] = {}
        # Numbers of names that have no row yet.
        self._given: dict[str, int] = {}
        self._named_elsewhere = frozenset(named_elsewhere)
        self._newest = 0
        self.take_in(rows)

    def take_in(self, rows: Iterable[StreamRow]) -> None:
        """Learn what the table holds: at start, and when a commit of unknown outcome may have written into it."""
        self._numbers, self._names, self._parked = {}, {}, {}
        for row in rows:
            self._numbers[row.name] = row.number
            self._names[row.number] = row.name
            self._given.pop(row.name, None)
            self.mark_parked(row.number, row.parked_reason)
        for number in self.lost():
            self._names[number] = f"(stream {number})"
            self._parked[number] = LOST
        self._newest = max(self._newest, *self._names, 0)

    def lost(self) -> list[int]:
        """Numbers that entries or cursors name and that have no row: it is unknown which stream they are."""
        return sorted(self._named_elsewhere - set(self._numbers.values()))

    def number(self, name: str) -> int:
        """Return a stream's number; a new one gets the next, written in the same commit as its first entry."""
        number = self._numbers.get(name) or self._given.get(name)
        if number is None:
            # Counting the names would give a number twice: one whose transaction failed has no row after a restart.
            self._newest += 1
            number = self._given[name] = self._newest
        return number

    def name(self, number: int) -> str:
        """Return the name behind a number. Raises KeyError for one that is not in the table."""
        return self._names[number]

    def numbers(self) -> list[int]:
        """All streams, in the order of their first entries."""
        return list(self._names)

    def parked(self) -> dict[int, str]:
        """Streams to which nothing is appended until a person decides, with the reason."""
        return dict(self._parked)

    def is_parked(self, number: int) -> bool:
        """Whether a stream is parked."""
        return number in self._parked

    def mark_parked(self, number: int, reason: str | None) -> None:
        """Note what a commit has just written (None = no longer parked); `Outbox.park` and `unpark` call this."""
        if reason is None:
            self._parked.pop(number, None)
        else:
            self._parked[number] = reason

    def unwritten(self, numbers: Iterable[int]) -> list[Statement]:
        """What must be written together with entries of these streams.

        Ask right before writing: a commit of unknown outcome may have written the row, and `take_in` then knows it. A row
        that is there nevertheless fails the commit, because two names would have one number.
        """
        wanted = set(numbers)
        rows = [(number, name) for name, number in self._given.items() if number in wanted]
        return [Statement("INSERT INTO streams (number, name) VALUES (?, ?)", rows)] if rows else []

    def mark_written(self, numbers: Iterable[int]) -> None:
        """Note that a commit with entries of these streams has succeeded."""
        written = set(numbers)
        for name, number in [item for item in self._given.items() if item[1] in written]:
            self._numbers[name] = number
            self._names[number] = name
            del self._given[name]
