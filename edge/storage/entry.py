"""An event in the outbox."""

from typing import NamedTuple
from uuid import UUID


class Entry(NamedTuple):
    """One accepted event, with its place in the local order.

    A named tuple, not a dataclass: it is made once per sample when accepted and once when read back, and costs a third.
    """

    position: int
    # The local number of the stream (`StreamNames` has its name).
    stream: int
    event_id: UUID
    type: str
    data: bytes
    metadata: bytes
    # What the driver gave with the sample; never sent.
    source_key: bytes = b""
    delivery: bytes = b""


class Keyed(NamedTuple):
    """A recorded sample as its sender would send it again."""

    source_key: bytes
    delivery: bytes
    event_id: UUID


class Page(NamedTuple):
    """A piece of the backlog, in the order of positions."""

    entries: list[Entry]
    # Everything up to here was looked at; the next page starts after it.
    scanned_to: int
    # There was nothing after it when the page was read.
    at_end: bool
