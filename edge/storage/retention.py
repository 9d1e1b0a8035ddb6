"""What goes from the file: forwarded entries that a restored event store would hardly ask for again."""

from itertools import takewhile

from edge.storage.database import Reader, Statement

# A range of a hundred rows costs a third less to delete than rows one by one, and nobody waits for the room.
ROWS_MIN = 100
# At 20 blocks a second and a look every 10 s this keeps up five times over; the delete takes some 10 ms.
ROWS_MAX = 1000


async def expired_ranges(reader: Reader, *, through: int, before_ms: int, rows_min: int = ROWS_MIN) -> list[Statement]:
    """Say what deletes entries with positions up to `through` that were committed before a time, oldest first.

    Time only delays: nothing beyond `through` ever goes, whatever the clock says.
    """
    ranges = []
    for table, key in (("blocks", "last_position"), ("control_entries", "position")):
        query = f"SELECT {key}, committed_at_ms FROM {table} WHERE {key} <= ? ORDER BY {key} LIMIT ?"  # noqa: S608
        # Most looks find nothing to do: one row decides.
        row = await reader.fetch_one(f"{query} OFFSET ?", (through, 1, rows_min - 1))
        if row is None or row[1] >= before_ms:
            continue
        rows = await reader.fetch_all(query, (through, ROWS_MAX))
        expired = [position for position, _ in takewhile(lambda row: row[1] < before_ms, rows)]
        if expired:
            ranges.append(Statement(f"DELETE FROM {table} WHERE {key} <= ?", [(expired[-1],)]))  # noqa: S608
    return ranges
