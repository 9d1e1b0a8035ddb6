"""What a telemetry entry says of itself: whose sample it is, and which."""

import re
from typing import NamedTuple
from uuid import UUID

from edge.storage.entry import Entry

# Events are written compactly (`edge.domain.author.encode_json`), and a quote within a JSON string is escaped: these
# patterns cannot match inside a text. Parsing whole events would take four times as long, and start waits for this.
DEVICE = re.compile(rb'"deviceId":"([^"\\]*)"')
_SEQUENCE = re.compile(rb'"sequence":(\d+)')
_RUN = re.compile(rb'"run":"([0-9a-f-]{36})"')


def run_of(metadata: bytes) -> str | None:
    """Return the run that an event of ours says it is of."""
    run = _RUN.search(metadata)
    return None if run is None else run[1].decode()


class Sampled(NamedTuple):
    """Which sample an entry is."""

    device_id: str
    run: UUID
    sequence: int


def sampled(entry: Entry) -> Sampled | None:
    """Tell which sample an entry is; None if it does not say."""
    device = DEVICE.search(entry.data)
    sequence = _SEQUENCE.search(entry.data)
    run = _RUN.search(entry.metadata)
    if device is None or sequence is None or run is None:
        return None
    return Sampled(device[1].decode(), UUID(run[1].decode()), int(sequence[1]))
