"""The numbering of an earlier release, which could give one number to two streams."""

from collections.abc import Iterable

from edge.storage.batch import StreamNames
from edge.storage.database import Statement


class CollidingStreams(StreamNames):
    """Numbers a new stream by how many there are, and takes a row that is there already for its own."""

    def number(self, name: str) -> int:
        if name not in self._numbers and name not in self._given:
            self._given[name] = len(self._numbers) + len(self._given) + 1
        return super().number(name)

    def unwritten(self, numbers: Iterable[int]) -> list[Statement]:
        return [
            statement._replace(sql=statement.sql.replace("INSERT", "INSERT OR IGNORE"))
            for statement in super().unwritten(numbers)
        ]
