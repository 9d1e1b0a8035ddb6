"""Which of the messages that a broker marks as sent before (DUP) did come before. No I/O.

DUP says that the broker has sent a message, not that it arrived: what it sent into a broken connection comes with DUP, too,
and is news, though a door may have said "open" a hundred times. A broker sends again under the same packet id (MQTT 5.0,
section 4.4), in the first order, before anything new: so the last message that came under an id tells.
"""

from array import array
from hashlib import blake2b

PACKET_IDS = 65_536


class Redeliveries:
    """The packet ids that were used in this run, on however many connections."""

    def __init__(self) -> None:
        # By packet id the beginning of a hash of the last message; 0 = none.
        self._last = array("Q", bytes(8 * PACKET_IDS))
        # All that an earlier run had left unacknowledged has come: only then is an unused id a message that never came.
        self._has_caught_up = False

    def came_before(self, topic: str, payload: bytes, packet_id: int, *, is_marked: bool) -> bool:
        """Take in a message that arrived; whether it may have come before: with DUP, in this run or an earlier one."""
        if not packet_id:
            return False
        last = self._last[packet_id]
        self._last[packet_id] = digest = _digest(topic, payload)
        if not is_marked:
            self._has_caught_up = True
            return False
        return last == digest if last else not self._has_caught_up


def _digest(topic: str, payload: bytes) -> int:
    # No topic holds a NUL.
    return int.from_bytes(blake2b(topic.encode() + b"\0" + payload, digest_size=8).digest()) or 1
