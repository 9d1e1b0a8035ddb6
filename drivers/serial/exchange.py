"""Questions and answers at one port: one at a time, and a late answer is never taken for the next question's.

A serial line has no number that ties an answer to its question. What stands in for it, after a question that was not
answered:

1. The line stays quiet for another response time-out, or twice the longest lateness that this device has shown, so
   that the late answer arrives while nobody asks; as long as bytes arrive, and for `quiet_ms` after them.
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

# What is later than this is a broken device; and on a line that never falls silent the next question is asked anyway.
QUIET_S_MAX = 10.0

# Said after a restart: EZO circuits (`*RS`, `*RE`), and the boot loaders of ESP8266 and ESP32 boards.
_RESTARTED = re.compile(rb"\*R[SE](?:$|[\r\n])|rst cause:|rst:0x", re.IGNORECASE)


def is_restart(data: bytes) -> bool:
    """Whether a device says here that it has restarted."""
    return _RESTARTED.search(data) is not None


@dataclass(slots=True, kw_only=True)
class Voice:
    """A device as the line knows it."""

    decoder: FrameDecoder
    response_timeout_s: float
    # Silence between two questions.
    gap_s: float
    # Its answers tell who speaks.
    says_address: bool
    # The latest that one of its answers came after its time-out.
    lateness_s: float = 0.0


@dataclass(slots=True)
class _Hearing:
    """What was heard in a dialogue and not judged yet, and until when its turn lasts."""

    frames: deque[bytes] = field(default_factory=deque)
    until_s: float = 0.0
    # The time is over and what had come until then is fetched.
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class _Missed:
    """A question that was not answered in time."""

    voice: Voice
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

    async def hold(self, voice: Voice, dialogue: Callable[[bool], Dialogue[Fields]]) -> Fields:
        """Hold a dialogue; it is made with whether the answer to an earlier question may still come.

        Raises NoAnswer, FrameMalformed or ConnectionLost. May be cancelled: the answer then counts as late.
        """
        await self._fall_silent(voice)
        is_owed = self._missed is not None and not self._is_apart(voice, self._missed.voice)
        voice.decoder.reset()
        try:
            fields = await self._hold(voice, dialogue(is_owed))
        except BaseException:
            voice.decoder.reset()
            self._missed = _Missed(voice, self._loop.time())
            raise
        finally:
            self._free_at_s = self._loop.time() + voice.gap_s
        if fields:
            self._missed = None
        return fields

    async def _fall_silent(self, voice: Voice) -> None:
        """Keep the gap after the last question, and the quiet period after one that was not answered."""
        heard_s = float("-inf")
        while True:
            chunks = self._port.take()
            self._notice_restart(b"".join(chunk.data for chunk in chunks))
            for chunk in chunks:
                heard_s = chunk.arrived_s
                self._overhear(chunk.data, chunk.arrived_s)
            until_s = max(self._free_at_s, self._quiet_until_s(voice, heard_s))
            if self._loop.time() >= until_s:
                return
            await self._port.wait(until_s)

    def _quiet_until_s(self, voice: Voice, heard_s: float) -> float:
        missed = self._missed
        if missed is None:
            return float("-inf")
        apart = self._is_apart(voice, missed.voice)
        late_s = 0.0 if apart else max(missed.voice.response_timeout_s, 2 * missed.voice.lateness_s)
        until_s = max(missed.at_s + max(self._quiet_s, late_s), heard_s + self._quiet_s)
        return min(until_s, missed.at_s + QUIET_S_MAX)

    @staticmethod
    def _is_apart(voice: Voice, other: Voice) -> bool:
        """Whether the one's answer could never be taken for the other's."""
        return voice is not other and voice.says_address and other.says_address

    def _overhear(self, data: bytes, arrived_s: float) -> None:
        """Take in what came while nobody asked; it may be the late answer."""
        missed = self._missed
        if missed is None or not any(_holds_values(missed.voice, frame) for frame in missed.voice.decoder.feed(data)):
            return
        missed.voice.lateness_s = max(missed.voice.lateness_s, min(arrived_s - missed.at_s, QUIET_S_MAX))
        self._missed = None
        self._free_at_s = max(self._free_at_s, arrived_s + self._quiet_s)

    async def _hold(self, voice: Voice, dialogue: Dialogue[Fields]) -> Fields:
        hearing = _Hearing()
        turn = next(dialogue)
        while True:
            if not isinstance(turn, More):
                hearing = await self._begin(voice, turn, hearing)
            try:
                turn = dialogue.send(await self._next_frame(voice, hearing))
            except StopIteration as end:
                fields: Fields = end.value
                return fields

    async def _begin(self, voice: Voice, turn: Ask | Pause, hearing: _Hearing) -> _Hearing:
        if isinstance(turn, Pause):
            return _Hearing(hearing.frames, self._loop.time() + turn.wait_s)
        voice.decoder.reset()
        await self._port.send(turn.data)
        wait_s = voice.response_timeout_s if turn.wait_s is None else turn.wait_s
        # The kernel has the bytes; the line still needs its time for them.
        return _Hearing(until_s=self._loop.time() + len(turn.data) * self._character_s + wait_s)

    async def _next_frame(self, voice: Voice, hearing: _Hearing) -> bytes | None:
        while not hearing.frames:
            if hearing.is_over:
                return None
            hearing.is_over = self._loop.time() >= hearing.until_s
            for chunk in self._port.take():
                hearing.frames.extend(voice.decoder.feed(chunk.data))
            if not hearing.frames and not hearing.is_over:
                await self._port.wait(hearing.until_s)
        frame = hearing.frames.popleft()
        self._notice_restart(frame)
        return frame

    def _notice_restart(self, data: bytes) -> None:
        self.restarts += is_restart(data)


def _holds_values(voice: Voice, frame: bytes) -> bool:
    try:
        return bool(voice.decoder.fields(frame))
    except FrameMalformed:
        return False
