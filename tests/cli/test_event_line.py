"""The line that `events tail` prints of an event."""

import base64
import json
from typing import Any, NoReturn
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cli.events import event_line
from edge.domain.event import RecordedEvent

JUNK = [
    b"\xff\xfe",
    b"[" * 70_000,
    b"[" * 500 + b"]" * 500,
    b"9" * 5_000,
    b"1e999",
    b"NaN",
    b"-Infinity",
    b'"\\ud800"',
    b'{"a": 1, "a": 2}',
    b'{"a": 1',
    b"\xef\xbb\xbf{}",
    b" ",
]


def line_of(data: bytes, metadata: bytes = b"") -> dict[str, Any]:
    event = RecordedEvent(event_id=UUID(int=1), type="Ä", data=data, metadata=metadata, stream="s-ü", revision=7)
    line = event_line(event)
    assert "\n" not in line.encode().decode()

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    found: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return found


def test_a_line_holds_what_the_event_holds() -> None:
    assert line_of(b'{"a": [1.5, "\xc3\xbc"]}') == {
        "id": str(UUID(int=1)),
        "stream": "s-ü",
        "revision": 7,
        "type": "Ä",
        "data": {"a": [1.5, "ü"]},
        "metadata": None,
    }


@pytest.mark.parametrize("content", JUNK)
def test_what_is_not_json_is_shown_as_it_is_in_base64(content: bytes) -> None:
    for line, name in ((line_of(content), "data"), (line_of(b"{}", content), "metadata")):
        assert line[name] is None
        assert base64.b64decode(line[f"{name}Base64"]) == content


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
contents = st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()) | st.sampled_from(JUNK)


@settings(deadline=None)
@given(contents, contents)
def test_whatever_an_event_holds_it_is_one_line_of_json(data: bytes, metadata: bytes) -> None:
    line = line_of(data, metadata)
    for name, content in (("data", data), ("metadata", metadata)):
        shown = line.get(f"{name}Base64")
        if shown is not None:
            assert base64.b64decode(shown) == content
        elif content:
            assert line[name] == json.loads(content)
