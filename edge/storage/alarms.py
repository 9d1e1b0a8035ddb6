"""Alarms that were raised and not cleared; a restart must neither raise them again nor forget to clear them."""

from typing import NamedTuple

from edge.storage.database import Reader, Writer


class OpenAlarm(NamedTuple):
    """An alarm that stands."""

    device_id: str
    alarm: str
    # JSON: what the clearing event will want to know.
    body: str
    raised_at_ms: int


async def load_open_alarms(reader: Reader) -> list[OpenAlarm]:
    """Return all alarms that stand."""
    rows = await reader.fetch_all("SELECT device_id, alarm, body, raised_at_ms FROM open_alarms")
    return [OpenAlarm(*row) for row in rows]


async def save_open_alarm(transaction: Writer, alarm: OpenAlarm) -> None:
    """Remember an alarm, in the transaction that holds its event."""
    await transaction.execute(
        "REPLACE INTO open_alarms (device_id, alarm, body, raised_at_ms) VALUES (?, ?, ?, ?)", tuple(alarm)
    )


async def remove_open_alarm(transaction: Writer, device_id: str, alarm: str) -> None:
    """Forget an alarm, in the transaction that holds the event that clears it."""
    await transaction.execute("DELETE FROM open_alarms WHERE device_id = ? AND alarm = ?", (device_id, alarm))
