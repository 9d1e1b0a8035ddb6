"""Questions and answers without I/O: a dialogue gives what to send, judges the answers, and ends with fields.

A dialogue is a generator. It yields a turn and is given the next frame, or None when the turn's time is over.
"""

from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from drivers.decoders.frame import Field, FrameMalformed

T = TypeVar("T")


class NoAnswer(Exception):  # noqa: N818 - as the errors of domain/driver.py
    """Nothing came that could be an answer."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this. What came before is no answer to it; the time is the device's response time-out."""

    data: bytes
    # None = the device's response time-out.
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing; give me a frame if one comes within this time."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class More:
    """The last frame was no answer; the time of the turn goes on."""


Turn: TypeAlias = Ask | Pause | More
Dialogue: TypeAlias = Generator[Turn, bytes | None, T]
Fields: TypeAlias = Mapping[str, Field]


def answer(ask: Ask, parse: Callable[[bytes], T | None], *, to_the_end: bool = False) -> Dialogue[T]:
    """Ask, and return what `parse` makes of the answer.

    What `parse` refuses with FrameMalformed, or by returning None because it says nothing, is passed over: noise, an
    unsolicited line, the late answer to another question. Returns the first answer; `to_the_end` waits out the time
    and returns the last, for when the answer to the question before may still come. Raises NoAnswer, or what was wrong
    with the last frame.
    """
    found: T | None = None
    trouble: FrameMalformed | None = None
    frame = yield ask
    while frame is not None:
        try:
            parsed = parse(frame)
        except FrameMalformed as error:
            error.add_note(f"frame: {frame!r}")
            trouble = error
        else:
            found = found if parsed is None else parsed
        if found is not None and not to_the_end:
            return found
        frame = yield More()
    if found is None:
        raise trouble or NoAnswer
    return found


def question(
    ask: bytes, fields: Callable[[bytes], Fields], wanted: Collection[str], *, to_the_end: bool = False
) -> Dialogue[Fields]:
    """Ask for the wanted fields; the answer may come in several frames.

    Returns as soon as all of them came, or at the end of the time those that did. A frame without any of them is no
    answer, and neither is the echo of the question.
    """
    gathered: dict[str, Field] = {}
    echo = ask.strip()

    def parse(frame: bytes) -> Fields | None:
        if frame.strip() == echo:
            return None
        gathered.update((name, field) for name, field in fields(frame).items() if name in wanted)
        return gathered if len(gathered) == len(wanted) else None

    try:
        return (yield from answer(Ask(ask), parse, to_the_end=to_the_end))
    except (FrameMalformed, NoAnswer):
        if not gathered:
            raise
        return gathered


def instruction(data: bytes, fields: Callable[[bytes], Fields], *, pause_s: float) -> Dialogue[Fields]:
    """Send a line of the setup; wait for its acknowledgement, a frame without fields, or until the pause is over.

    Raises FrameMalformed if the device refuses it.
    """
    echo = data.strip()

    def parse(frame: bytes) -> Fields | None:
        return None if frame.strip() == echo or fields(frame) else {}

    try:
        return (yield from answer(Ask(data, pause_s), parse))
    except NoAnswer:
        return {}
