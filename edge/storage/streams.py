"""Short numbers for the names of streams, and which streams are parked."""

from collections.abc import Iterable

from edge.storage.database import Statement


class StreamNames:
    """Number and name of every stream this file ever wrote to. In memory; the rows are few."""

    def __init__(self, rows: Iterable[tuple[int, str, str | None]] = ()) -> None:
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._parked: dict[int, str] = {}
        self._unwritten: set[int] = set()
        for number, name, parked_reason in rows:
            self._numbers[name] = number
            self._names[number] = name
            if parked_reason is not None:
                self._parked[number] = parked_reason

    def number(self, name: str) -> int:
        """Return a stream's number; a new one gets the next, written in the same commit as its first entry."""
        number = self._numbers.get(name)
        if number is None:
            number = len(self._numbers) + 1
            self._numbers[name] = number
            self._names[number] = name
            self._unwritten.add(number)
        return number

    def name(self, number: int) -> str:
        """Return the name behind a number. Raises KeyError for one that was never given."""
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
        """What must be written together with entries of these streams."""
        missing = sorted(self._unwritten.intersection(numbers))
        rows = [(number, self._names[number]) for number in missing]
        # OR IGNORE: a commit whose outcome was unknown may have written the row.
        return [Statement("INSERT OR IGNORE INTO streams (number, name) VALUES (?, ?)", rows)] if rows else []

    def mark_written(self, numbers: Iterable[int]) -> None:
        """Note that a commit with these streams has succeeded."""
        self._unwritten.difference_update(numbers)
