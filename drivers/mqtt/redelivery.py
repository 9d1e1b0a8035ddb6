"""Finds the earlier delivery that a message with DUP repeats, and whether that is certain. No I/O.

DUP says that the broker has sent a message, not that it arrived. A message that was sent into a broken connection has
DUP, too, and is news, even if a door has said "open" a hundred times. A broker sends again under the same packet id
(MQTT 5.0, section 4.4), in the first order and before anything new (4.6), and it sends at most `window` messages before
it waits for acknowledgements (4.9). So a message under another id than those of the last deliveries is news. Under the
id of one of them an equal message is certainly that delivery in two cases:

- We never acknowledged that delivery: the broker could not give its id to another message.
- The broker counts its ids upwards, and has been seen to count so far that the messages it may have sent since the
  newest that came do not reach this id again; and the newest that came before the connection comes again, too. That the
  acknowledgements were lost is then the only explanation left. (A broker that was restored from an older copy counts
  from there, but it has no reason to go on to the very newest.) Until the newest has come, what comes before it waits.

Else the broker may have had our acknowledgement and have given the id to a message that never came: some brokers take
the lowest id that is free. Such a message is likely a repetition, no more.

A delivery has a name: 3 bytes for the broker's session, 2 of the packet id, 3 of the message's number here. What comes
again has the name of its first time. The outbox keeps it beside each sample: so all this also holds for what earlier
runs took.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

# Packet ids are 1 to 65,535.
IDS = 65_535
# A broker whose ids go up so often in a row does not choose them by chance.
STEPS_MIN = 32
# At least so many deliveries are remembered. A broker that was restored from an older copy sends them again.
REMEMBERED_MIN = 4096

_SESSION_LENGTH = 3
_ID_END = _SESSION_LENGTH + 2
_NUMBER_LENGTH = 3
_NUMBERS = 1 << 8 * _NUMBER_LENGTH


@dataclass(slots=True, kw_only=True)
class Verdict:
    """The judgement of a message with DUP that equals an earlier delivery."""

    # The name of the earlier delivery.
    of: bytes
    # Whether that is certain; None: a later message will tell.
    is_certain: bool | None


class Redeliveries:
    """The deliveries of one session of a broker, on all its connections, in this run and the last ones.

    Each message with a packet id has a number, which counts up. Of the messages under one id, the newest counts.

    A message that comes again keeps its number, also if it may be another one under the same id. Only once it is looked
    at does it count as not acknowledged: lost before that, it may still be another one when it comes the next time.
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
        # The id of a copy -> the name of the delivery that it is a copy of.
        self._copies: dict[int, bytes] = {}
        # Ids that were not acknowledged since their message came, or was looked at; those that were, on this
        # connection.
        self._open: set[int] = set()
        self._released: set[int] = set()
        # How often in a row an id was higher than the one before, the highest of all, and the last.
        self._steps = 0
        self._highest = 0
        self._last_id = 0
        # The name of what arrived last.
        self._newest = b""
        # What came before this connection has no higher number.
        self._connected_at = self._number
        # The number of what was repeated last on this connection; beyond all if nothing is certain any more.
        self._repeated = 0
        # What waits for the newest message to come again.
        self._undecided: list[Verdict] = []

    @property
    def is_in_doubt(self) -> bool:
        """Whether a verdict waits for a later message."""
        return bool(self._undecided)

    def recall(self, names: Iterable[bytes]) -> None:
        """Learn which deliveries of earlier runs are on disk, the oldest first; those of other sessions are skipped."""
        for name in names:
            packet_id = int.from_bytes(name[_SESSION_LENGTH:_ID_END])
            since = (int.from_bytes(name[_ID_END:]) - self._number) % _NUMBERS
            # Another sample of the same message, or what came again, has no higher number.
            is_new = 0 < since < _NUMBERS // 2 or not self._numbers
            if name.startswith(self._session) and is_new:
                self._number += since
                self._count(packet_id)
                self._note(packet_id)

    def connected(self, *, is_resumed: bool) -> None:
        """Learn that there is a new connection; where the broker had lost the session, its ids begin anew."""
        if not is_resumed:
            self._forget()
        self._undecided.clear()
        self._released.clear()
        self._connected_at = self._number
        self._repeated = 0

    def arrived(self, packet_id: int, *, is_marked: bool) -> tuple[bytes, Verdict | None]:
        """Take in a message; return the name of its delivery, and which one it may repeat."""
        if not packet_id:
            return b"", None
        verdict = self._verdict(packet_id) if is_marked else None
        if verdict is not None:
            self._newest = verdict.of
            return verdict.of, verdict
        self._take(packet_id, is_marked=is_marked)
        if not is_marked:
            # Repeated messages come before new ones: the newest one is not repeated any more.
            self.decide(is_certain=False)
        self._number += 1
        self._note(packet_id)
        self._copies.pop(packet_id, None)
        self._newest = self._name(packet_id)
        return self._newest, None

    def copied(self, packet_id: int, *, is_marked: bool) -> None:
        """Take in a copy of the message that arrived last: the same delivery under another id."""
        if packet_id:
            self._take(packet_id, is_marked=is_marked)
            if not is_marked or packet_id not in self._numbers:
                self._note(packet_id)
                self._copies[packet_id] = self._newest

    def looked_at(self, packet_id: int) -> None:
        """Learn that a message with a verdict waits no longer: its samples are passed on, or known already."""
        self._take(packet_id, is_marked=True)

    def acknowledged(self, packet_ids: Sequence[int]) -> None:
        """Learn that the broker may give these ids to other messages from now on."""
        self._open.difference_update(packet_ids)
        self._released.update(packet_ids)

    def decide(self, *, is_certain: bool) -> None:
        """Give the verdict on all that waits for one."""
        for verdict in self._undecided:
            verdict.is_certain = is_certain
        self._undecided.clear()

    def _verdict(self, packet_id: int) -> Verdict | None:
        number = self._numbers.get(packet_id)
        if number is None:
            if self._ids_since(packet_id) >= self._window:
                # A message that never came, before which all came that did; or the ids are not those of the first time.
                self._break_off()
            return None
        verdict = Verdict(of=self._copies.get(packet_id, self._name(packet_id)), is_certain=False)
        is_open = packet_id in self._open
        if number < self._repeated or not (is_open or self._number - number < self._window):
            # The broker breaks the rules that these verdicts depend on.
            self._break_off()
            return verdict
        self._repeated = number
        if not is_open and not self._counts_past(packet_id):
            return verdict
        if number > self._connected_at:
            # MQTT 3.1.1 lets a broker send again on the same connection.
            verdict.is_certain = True
            return verdict
        verdict.is_certain = None
        self._undecided.append(verdict)
        if is_open or number == self._connected_at:
            self.decide(is_certain=True)
        return verdict

    def _break_off(self) -> None:
        """Give no certain verdict any more on this connection."""
        self._repeated = sys.maxsize
        self.decide(is_certain=False)

    def _counts_past(self, packet_id: int) -> bool:
        """Whether no message that may be under way can have this id."""
        return self._steps >= STEPS_MIN and self._highest > self._window + self._ids_since(packet_id)

    def _take(self, packet_id: int, *, is_marked: bool) -> None:
        if not is_marked:
            self._released.discard(packet_id)
            self._count(packet_id)
        # What comes again while our acknowledgement is on its way does not keep its id from being used.
        if packet_id not in self._released:
            self._open.add(packet_id)

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
            self._released.discard(oldest)

    def _name(self, packet_id: int) -> bytes:
        number = self._numbers[packet_id] % _NUMBERS
        return self._session + packet_id.to_bytes(_ID_END - _SESSION_LENGTH) + number.to_bytes(_NUMBER_LENGTH)
