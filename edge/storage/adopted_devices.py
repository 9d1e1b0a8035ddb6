"""The names that device groups have adopted: devices of the runs to come, though no site file lists them."""

from typing import NamedTuple

from edge.storage.database import Reader, Writer


class AdoptedName(NamedTuple):
    """A name that a group of a connection took on."""

    connection_id: str
    group_id: str
    name: str


async def load_adopted(reader: Reader) -> list[AdoptedName]:
    """Return all names, the first adopted first."""
    rows = await reader.fetch_all(
        "SELECT connection_id, group_id, name FROM adopted_devices ORDER BY adopted_at_ms, connection_id, group_id, name"
    )
    return [AdoptedName(*row) for row in rows]


async def save_adopted(transaction: Writer, adopted: AdoptedName, *, now_ms: int) -> None:
    """Remember a name, in the transaction that describes its device. One that is known stays as it was."""
    await transaction.execute(
        "INSERT OR IGNORE INTO adopted_devices (connection_id, group_id, name, adopted_at_ms) VALUES (?, ?, ?, ?)",
        (*adopted, now_ms),
    )


async def remove_adopted(transaction: Writer, adopted: AdoptedName) -> None:
    """Forget a name."""
    await transaction.execute(
        "DELETE FROM adopted_devices WHERE connection_id = ? AND group_id = ? AND name = ?", tuple(adopted)
    )
