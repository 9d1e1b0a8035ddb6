"""Which samples came before: a sender that missed our acknowledgement sends again, and that gives no second event.

A key is known from the moment its sample was offered to the outbox. A repetition may be settled at once, though what it
repeats is not on disk yet: the ledger acknowledges in the order of arrival, and the first arrival stands before it.
"""

from collections.abc import Iterable

from edge.domain.reading import Sample

# The newest keys of one connection, 2 MiB of them. More than the outbox's queue holds, so that nothing on its way to disk
# is forgotten; a broker sends again what it has in flight, some hundreds of messages; radio networks deliver twice within
# minutes.
KEYS_MAX = 16_384


class Repeats:
    """The source keys of one connection."""

    def __init__(self, accepted: Iterable[bytes] = (), *, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        # The oldest first.
        self._keys: dict[bytes, None] = {}
        for key in accepted:
            self.remember(key)

    def repeats(self, sample: Sample) -> bool:
        """Whether a sample came before.

        An equal key says so only where the payload has an identity or the sender says that it repeats: else an equal
        text is an equal value, measured again.
        """
        return sample.may_repeat and sample.source_key in self._keys

    def remember(self, key: bytes) -> None:
        """Note the key of a sample that was offered."""
        if not key:
            return
        # To the end, if it was there.
        self._keys.pop(key, None)
        self._keys[key] = None
        if len(self._keys) > self._keys_max:
            del self._keys[next(iter(self._keys))]
