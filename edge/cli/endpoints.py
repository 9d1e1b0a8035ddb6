"""Puts other addresses into a site file, as text: comments and order stay."""

import re
from collections.abc import Mapping

from edge.settings.positions import KeyPath, positions_of

_ASSIGNMENT = re.compile(r"""(?P<key>[^=]+=[ \t]*)(?P<value>"(?:\\.|[^"\\])*"|'[^']*'|[^\s,#}]+)""")


def with_endpoints(text: str, endpoints: Mapping[int, tuple[str, int]]) -> str:
    """Replace host and tcp_port of the connections with these indices, in a site file that is valid."""
    places = positions_of(text)
    starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def offset_of(path: KeyPath) -> int | None:
        place = places.get(path)
        return None if place is None else starts[place[0] - 1] + place[1] - 1

    edits: list[tuple[int, int, str]] = []
    for index, (host, port) in endpoints.items():
        at = offset_of(("connection", index, "host"))
        assert at is not None, "a Modbus/TCP connection has a host"
        edits.append(_edit(text, at, f'"{host}"'))
        port_at = offset_of(("connection", index, "tcp_port"))
        if port_at is None:
            start, end, host_text = edits.pop()
            edits.append((start, end, f"{host_text}{_separator(text, at)}tcp_port = {port}"))
        else:
            edits.append(_edit(text, port_at, str(port)))
    # From the end on, so that what comes before keeps its place.
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _edit(text: str, at: int, new: str) -> tuple[int, int, str]:
    match = _ASSIGNMENT.match(text, at)
    assert match is not None, "positions_of gives the place of a key"
    return match.start("value"), match.end("value"), new


def _separator(text: str, at: int) -> str:
    """Return what stands between a key and the next one: a new line, or a comma inside an inline table."""
    indent = text[text.rfind("\n", 0, at) + 1 : at]
    return f"\n{indent}" if not indent.strip() else ", "
