"""The author of a run: the identity of this gateway in all its events."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from edge.domain.author import Author
from edge.domain.clock import Clock
from edge.domain.identifier import uuid7
from edge.domain.settings import Settings

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


def make_author(settings: Settings, clock: Clock) -> Author:
    """Begin a run: a random id that no other start of any copy of this file will have."""
    randomness = _randomness()

    def new_id() -> UUID:
        return uuid7(clock.unix_ms(), next(randomness))

    return Author(
        site_id=settings.site.id,
        gateway_id=settings.gateway_id,
        run=new_id(),
        boot_id=UUID(BOOT_ID_FILE.read_text(encoding="ascii").strip()),
        streams=settings.streams,
        clock=clock,
        new_id=new_id,
    )


def _randomness() -> Iterator[bytes]:
    """Give ten random bytes for each id. Asking the kernel for those of 256 ids at once costs as much as for one."""
    while True:
        pool = os.urandom(10 * 256)
        yield from (pool[start : start + 10] for start in range(0, len(pool), 10))
