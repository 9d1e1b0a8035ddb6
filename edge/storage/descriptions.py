"""The last DeviceDescribed of each device, so that another is written only when the content differs."""

from typing import NamedTuple

from edge.storage.database import Reader, Writer


class Description(NamedTuple):
    """What a device was last described as."""

    digest: str
    # JSON: the event's own fields.
    body: str


async def load_descriptions(reader: Reader) -> dict[str, Description]:
    """Return the last descriptions, by device."""
    rows = await reader.fetch_all("SELECT device_id, digest, body FROM descriptions")
    return {device_id: Description(digest, body) for device_id, digest, body in rows}


async def find_description(reader: Reader, device_id: str) -> Description | None:
    """Return a device's last description."""
    row = await reader.fetch_one("SELECT digest, body FROM descriptions WHERE device_id = ?", (device_id,))
    return None if row is None else Description(*row)


async def save_description(transaction: Writer, device_id: str, description: Description, *, now_ms: int) -> None:
    """Put a device's description in the place of the one before."""
    await transaction.execute(
        "REPLACE INTO descriptions (device_id, digest, body, described_at_ms) VALUES (?, ?, ?, ?)",
        (device_id, description.digest, description.body, now_ms),
    )


async def remove_description(transaction: Writer, device_id: str) -> None:
    """Forget a device that was retired."""
    await transaction.execute("DELETE FROM descriptions WHERE device_id = ?", (device_id,))
