"""Questions and answers at one port: one at a time, and a late answer is never taken for the next question's.

A serial line has no number that ties an answer to its question. After a question that was not answered, this takes its
place:

1. The line stays quiet for another response time-out, or twice the longest lateness that this device has shown, so
   that the late answer arrives while no question is open; and as long as bytes arrive, and `quiet_ms` after them.
2. If it still did not arrive, the next question listens to the end of its time and takes the last answer: an adapter
   that hands two over together hands the late one over first.

A wrong value would need an answer that is later than both, and the next answer lost. Devices whose answers hold their
address (SDI-12, WXT) do not wait for each other's late answers.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.decoders.dialogue import Ask, Dialogue, Fields, More, Pause
from drivers.decoders.frame import FrameDecoder, FrameMalformed
from drivers.serial.port import Port

# A device that answers later than this is broken. On a line that never falls silent the next question is asked anyway.
QUIET_S_MAX = 10.0

# Sent after a restart: by EZO circuits (`*RS`, `*RE`), and the boot loaders of ESP8266 and ESP32 boards.
_RESTARTED = re.compile(rb"\*R[SE](?:$|[\r\n])|rst cause:|rst:0x", re.IGNORECASE)


def is_restart(data: bytes) -> bool:
    """Whether a device says here that it has restarted."""
    return _RESTARTED.search(data) is not None


@dataclass(slots=True, kw_only=True)
class LineDevice:
    """A device as its line knows it."""

    decoder: FrameDecoder
    response_timeout_s: float
    # Silence between two questions.
    gap_s: float
    # Its answers hold its address.
    says_address: bool
    # The longest that an answer came after its time-out.
    lateness_s: float = 0.0


@dataclass(slots=True)
class _PendingReply:
    """Frames of a reply that the dialogue has not had yet, and until when the wait for more lasts."""

    frames: deque[bytes] = field(default_factory=deque)
    until_s: float = 0.0
    # The wait is over, and all that came until then is in `frames`.
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class _Missed:
    """A question that was not answered in time."""

    device: LineDevice
    at_s: float


class Exchange:
    """Holds dialogues at one port."""

    def __init__(self, port: Port, *, quiet_s: float, character_s: float) -> None:
        self._port = port
        self._quiet_s = quiet_s
        self._character_s = character_s
        self._loop = asyncio.get_running_loop()
        self._missed: _Missed | None = None
        self._free_at_s = 0.0
        # How often a device was heard to have restarted.
        self.restarts = 0

    async def run_dialogue(self, device: LineDevice, dialogue: Callable[[bool], Dialogue[Fields]]) -> Fields:
        """Run a dialogue. `dialogue` makes it, and is told whether the answer to an earlier question may still come.

        Raises NoAnswer, FrameMalformed or ConnectionLost. May be cancelled: the answer then counts as late.
        """
        await self._wait_for_quiet(device)
        is_owed = self._missed is not None and not self._is_apart(device, self._missed.device)
        device.decoder.reset()
        try:
            fields = await self._run(device, dialogue(is_owed))
        except BaseException:
            device.decoder.reset()
            self._missed = _Missed(device, self._loop.time())
            raise
        finally:
            self._free_at_s = self._loop.time() + device.gap_s
        if fields:
            self._missed = None
        return fields

    async def _wait_for_quiet(self, device: LineDevice) -> None:
        """Keep the gap after the last question, and the quiet period after one that was not answered."""
        heard_s = float("-inf")
        while True:
            chunks = self._port.take()
            self._notice_restart(b"".join(chunk.data for chunk in chunks))
            for chunk in chunks:
                heard_s = chunk.arrived_s
                self._note_late(chunk.data, chunk.arrived_s)
            until_s = max(self._free_at_s, self._quiet_until_s(device, heard_s))
            if self._loop.time() >= until_s:
                return
            await self._port.wait(until_s)

    def _quiet_until_s(self, device: LineDevice, heard_s: float) -> float:
        missed = self._missed
        if missed is None:
            return float("-inf")
        apart = self._is_apart(device, missed.device)
        late_s = 0.0 if apart else max(missed.device.response_timeout_s, 2 * missed.device.lateness_s)
        until_s = max(missed.at_s + max(self._quiet_s, late_s), heard_s + self._quiet_s)
        return min(until_s, missed.at_s + QUIET_S_MAX)

    @staticmethod
    def _is_apart(device: LineDevice, other: LineDevice) -> bool:
        """Whether the answer of one device can never be taken for that of the other."""
        return device is not other and device.says_address and other.says_address

    def _note_late(self, data: bytes, arrived_s: float) -> None:
        """Take in bytes that came without a question: they may be the late answer."""
        missed = self._missed
        if missed is None or not any(_holds_values(missed.device, frame) for frame in missed.device.decoder.feed(data)):
            return
        missed.device.lateness_s = max(missed.device.lateness_s, min(arrived_s - missed.at_s, QUIET_S_MAX))
        self._missed = None
        self._free_at_s = max(self._free_at_s, arrived_s + self._quiet_s)

    async def _run(self, device: LineDevice, dialogue: Dialogue[Fields]) -> Fields:
        reply = _PendingReply()
        turn = next(dialogue)
        while True:
            if not isinstance(turn, More):
                reply = await self._begin(device, turn, reply)
            try:
                turn = dialogue.send(await self._next_frame(device, reply))
            except StopIteration as end:
                fields: Fields = end.value
                return fields

    async def _begin(self, device: LineDevice, turn: Ask | Pause, reply: _PendingReply) -> _PendingReply:
        if isinstance(turn, Pause):
            return _PendingReply(reply.frames, self._loop.time() + turn.wait_s)
        device.decoder.reset()
        await self._port.send(turn.data)
        wait_s = device.response_timeout_s if turn.wait_s is None else turn.wait_s
        # `send` returns when the kernel has the bytes; the line still needs its time for them.
        return _PendingReply(until_s=self._loop.time() + len(turn.data) * self._character_s + wait_s)

    async def _next_frame(self, device: LineDevice, reply: _PendingReply) -> bytes | None:
        while not reply.frames:
            if reply.is_over:
                return None
            reply.is_over = self._loop.time() >= reply.until_s
            for chunk in self._port.take():
                reply.frames.extend(device.decoder.feed(chunk.data))
            if not reply.frames and not reply.is_over:
                await self._port.wait(reply.until_s)
        frame = reply.frames.popleft()
        self._notice_restart(frame)
        return frame

    def _notice_restart(self, data: bytes) -> None:
        self.restarts += is_restart(data)


def _holds_values(device: LineDevice, frame: bytes) -> bool:
    try:
        return bool(device.decoder.fields(frame))
    except FrameMalformed:
        return False
