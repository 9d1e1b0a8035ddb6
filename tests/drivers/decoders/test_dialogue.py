import pytest

from drivers.decoders.dialogue import Ask, Dialogue, Fields, More, NoAnswer, instruction, question
from drivers.decoders.ezo import EzoDecoder
from drivers.decoders.frame import FrameMalformed

READ = EzoDecoder().fields


def told(dialogue: Dialogue[Fields], *frames: bytes | None) -> dict[str, object]:
    """Hold a dialogue with a device that says exactly these frames; None = its time is over."""
    next(dialogue)
    for frame in frames[:-1]:
        assert dialogue.send(frame) == More()
    with pytest.raises(StopIteration) as end:
        dialogue.send(frames[-1])
    fields: Fields = end.value.value
    return {name: field.value for name, field in fields.items()}


def test_the_first_frame_with_all_that_is_wanted_ends_the_question() -> None:
    assert told(question(b"R\r", READ, {"0"}), b"R", b"*OK", b"?I,pH,1.96", b"7.01,8.02") == {"0": 7.01}


def test_what_is_wanted_may_come_in_pieces_and_the_end_of_the_time_ends_it() -> None:
    fields = {b"a": {"0": READ(b"1")["0"]}, b"b": {"1": READ(b"2")["0"]}}
    assert told(question(b"R\r", fields.__getitem__, {"0", "1"}), b"a", b"b") == {"0": 1.0, "1": 2.0}
    assert told(question(b"R\r", fields.__getitem__, {"0", "1"}), b"a", None) == {"0": 1.0}


def test_where_an_older_answer_may_come_the_last_one_counts() -> None:
    assert told(question(b"R\r", READ, {"0"}, to_the_end=True), b"1.0", b"2.0", b"*ER", None) == {"0": 2.0}


def test_a_question_without_an_answer_tells_what_came_last() -> None:
    dialogue = question(b"R\r", READ, {"0"})
    assert next(dialogue) == Ask(b"R\r")
    dialogue.send(b"junk")
    dialogue.send(b"*ER")
    with pytest.raises(FrameMalformed, match="does not understand"):
        dialogue.send(None)
    dialogue = question(b"R\r", READ, {"0"})
    next(dialogue)
    dialogue.send(b"*OK")
    with pytest.raises(NoAnswer):
        dialogue.send(None)


def test_an_instruction_is_over_when_it_is_acknowledged_or_its_pause_is() -> None:
    # Its own echo and a reading that was under way acknowledge nothing.
    assert told(instruction(b"C,0\r", READ, pause_s=0.3), b"C,0", b"7.01", b"*OK") == {}
    assert told(instruction(b"C,0\r", READ, pause_s=0.3), b"7.01", None) == {}
    assert next(instruction(b"C,0\r", READ, pause_s=0.3)) == Ask(b"C,0\r", 0.3)


def test_an_instruction_that_is_refused_says_so() -> None:
    dialogue = instruction(b"C,0\r", READ, pause_s=0.3)
    next(dialogue)
    dialogue.send(b"*ER")
    with pytest.raises(FrameMalformed, match="does not understand"):
        dialogue.send(None)
