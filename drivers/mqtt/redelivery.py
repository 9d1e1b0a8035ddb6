"""Which earlier delivery a message marked DUP may be, and whether it is that one beyond doubt. No I/O.

DUP says that the broker has sent a message, not that it arrived: what it sent into a broken connection comes with DUP, too,
and is news, though a door may have said "open" a hundred times. A broker sends again under the same packet id (MQTT 5.0,
section 4.4), in the first order and before anything new (4.6), and it sends at most `window` messages before it waits for
acknowledgements (4.9). So a message under another id than those of the last deliveries is news. Under the id of one of
them an equal message is that delivery, beyond doubt, in two cases:

- We never acknowledged that delivery: the broker could not give its id to another message.
- The broker counts its ids upwards, and has been seen to count so far that the messages it may have sent since the
  newest that came do not reach this id again. That the acknowledgement was lost is then the only explanation left.

Else the broker may have had our acknowledgement and have given the id to a message that never came: some brokers take the
lowest id that is free. Such a message is likely a repetition, no more.

A delivery has a name: 4 bytes for the broker's session, the packet id, the number of the delivery (its last 16 bits). The
outbox keeps the name beside each sample, so that all this also holds for what an earlier run took.
"""

import struct
import sys
from collections.abc import Iterable
from hashlib import blake2b

from edge.domain.reading import Redelivery

# Packet ids are 1 to 65,535.
IDS = 65_535
# Brokers whose ids go up so often in a row do not draw them by lot.
STEPS_MIN = 32
# At least so many deliveries are remembered. A broker that was restored from an older copy sends them again.
REMEMBERED_MIN = 4096

_SESSION_LENGTH = 4
_NAME = struct.Struct(f">{_SESSION_LENGTH}sHH")
_NUMBERS = 0x1_0000


class Redeliveries:
    """What came by one session of a broker, on however many connections, in this run and the last ones.

    Each message with a packet id has a number, which counts up. Of the messages under one id, the newest counts.
    """

    def __init__(self, *, session: str = "", window: int) -> None:
        self._session = blake2b(session.encode(), digest_size=_SESSION_LENGTH).digest()
        self._window = window
        self._remembered_max = max(REMEMBERED_MIN, 2 * window)
        self._number = 0
        self._forget()

    def _forget(self) -> None:
        # Packet id -> the number of the newest message under it; the oldest first.
        self._numbers: dict[int, int] = {}
        # The id of a copy -> the id of its message.
        self._copies: dict[int, int] = {}
        # Ids of messages that were not acknowledged since they came.
        self._open: set[int] = set()
        # How often in a row an id was higher than the one before, the highest of all, and the last.
        self._steps = 0
        self._highest = 0
        self._last_id = 0
        self._newest_id = 0
        # What came on earlier connections has no higher number.
        self._connected_at = self._number
        # The earlier number of what was repeated last on this connection; beyond all if nothing is certain any more.
        self._repeated = 0

    def recall(self, names: Iterable[bytes]) -> None:
        """Learn which deliveries of earlier runs are on disk, the oldest first; those of other sessions are passed over."""
        for name in names:
            session, packet_id, number = _NAME.unpack(name)
            # A message may have given several samples.
            since = (number - self._number) % _NUMBERS
            if session == self._session and (since or not self._numbers):
                self._number += since
                self._count(packet_id)
                self._note(packet_id)

    def connected(self, *, is_resumed: bool) -> None:
        """Learn that there is a new connection; where the broker had lost the session, its ids begin anew."""
        if not is_resumed:
            self._forget()
        self._connected_at = self._number
        self._repeated = 0

    def arrived(self, packet_id: int, *, is_marked: bool) -> tuple[bytes, Redelivery | None]:
        """Take in a message; return the name of its delivery, and which one it may repeat."""
        if not packet_id:
            return b"", None
        self._number += 1
        redelivery = self._redelivery(packet_id) if is_marked else None
        self._take(packet_id, is_marked=is_marked)
        self._copies.pop(packet_id, None)
        self._newest_id = packet_id
        return self._name(packet_id, self._number), redelivery

    def copied(self, packet_id: int, *, is_marked: bool) -> None:
        """Take in a copy of the message that arrived last: the same delivery under another id."""
        if packet_id:
            self._take(packet_id, is_marked=is_marked)
            self._copies[packet_id] = self._newest_id

    def acknowledged(self, packet_ids: Iterable[int]) -> None:
        """Learn that the broker may give these ids to other messages from now on."""
        self._open.difference_update(packet_ids)

    def _redelivery(self, packet_id: int) -> Redelivery | None:
        earlier = self._numbers.get(packet_id)
        if earlier is None:
            if self._ids_since(packet_id) >= self._window:
                # A message that never came, before which all came that did; or the ids are not those of the first time.
                self._repeated = sys.maxsize
            return None
        is_certain = self._is_certain(packet_id, earlier)
        return Redelivery(of=self._name(self._copies.get(packet_id, packet_id), earlier), is_certain=is_certain)

    def _is_certain(self, packet_id: int, earlier: int) -> bool:
        is_open = packet_id in self._open
        is_in_flight = is_open or self._number - earlier <= self._window
        if earlier < self._repeated or not is_in_flight:
            # The broker does not keep the rules that all this rests on; nothing else is certain on this connection.
            self._repeated = sys.maxsize
            return False
        self._repeated = earlier
        counts_far = self._steps >= STEPS_MIN and self._highest > self._window + self._ids_since(packet_id)
        return is_open or counts_far

    def _take(self, packet_id: int, *, is_marked: bool) -> None:
        # MQTT 3.1.1 lets a broker send again while our acknowledgement is on its way: the id is free all the same.
        is_released = is_marked and self._numbers.get(packet_id, 0) > self._connected_at and packet_id not in self._open
        if not is_released:
            self._open.add(packet_id)
        if not is_marked:
            self._count(packet_id)
        self._note(packet_id)

    def _count(self, packet_id: int) -> None:
        """Look whether the ids go up, from their last one to the first without an end."""
        is_higher = 0 < (packet_id - self._last_id) % IDS <= IDS // 2
        self._steps = self._steps + 1 if is_higher else 0
        self._highest = max(self._highest, packet_id)
        self._last_id = packet_id

    def _ids_since(self, packet_id: int) -> int:
        """Return how many ids the broker has used since this one, if it counts."""
        return (self._last_id - packet_id) % IDS

    def _note(self, packet_id: int) -> None:
        # To the end, if it was there.
        self._numbers.pop(packet_id, None)
        self._numbers[packet_id] = self._number
        if len(self._numbers) > self._remembered_max:
            oldest = next(iter(self._numbers))
            del self._numbers[oldest]
            self._copies.pop(oldest, None)
            self._open.discard(oldest)

    def _name(self, packet_id: int, number: int) -> bytes:
        return _NAME.pack(self._session, packet_id, number % _NUMBERS)
