"""The text of a first site file, from what a person answered and what was found. Pure.

Text from outside (names, topics) is escaped wherever it stands: in a value as TOML wants it, in a comment as one line.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge.domain.commissioning import DraftConnection, DraftDevice, TomlValue
from edge.domain.event_store_uri import needs_credential

_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class DraftSite:
    """The contents of a first site file."""

    site_id: str
    name: str
    time_zone: str
    uri: str
    connections: Sequence[DraftConnection] = ()


def site_text(draft: DraftSite) -> str:
    """Return the site file's text. Where a connection has no device yet, an example of one stands in comments."""
    blocks = [_head(draft), *(_connection(connection) for connection in draft.connections)]
    if not draft.connections:
        blocks.append(["# Next: a [[connection]] for each wire, host or broker, and its devices."])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _head(draft: DraftSite) -> list[str]:
    return [
        "#:schema ./site.schema.json",
        "# `greenhouse-edge check` says every mistake of this file, `greenhouse-edge read` reads the devices now.",
        "# For an editor that completes keys: greenhouse-edge schema > site.schema.json",
        "",
        "[site]",
        *_pairs({"id": draft.site_id, "name": draft.name, "time_zone": draft.time_zone}),
        "",
        "[event_store]",
        "# User and password never stand here: name a credential.",
        *_pairs({"uri": draft.uri} | ({"credential": "event-store"} if needs_credential(draft.uri) else {})),
    ]


def _connection(draft: DraftConnection) -> list[str]:
    lines = ["[[connection]]", *_pairs(draft.keys)]
    for device in draft.devices:
        lines += ["", *(f"  {line}" for line in _device(device))]
    comments = [_comment(sentence) for sentence in draft.comments]
    if draft.devices:
        return [*comments, *lines]
    example = [f"  {line}" for line in _device(DraftDevice(keys=draft.example))] if draft.example else []
    hint = "# There is no device yet; `greenhouse-edge scan` looks who is there."
    return [*comments, *lines, hint, *(f"# {line}".rstrip() for line in example)]


def _device(draft: DraftDevice) -> list[str]:
    table = "device_group" if draft.is_group else "device"
    return [*map(_comment, draft.comments), f"[[connection.{table}]]", *_pairs(draft.keys)]


def _pairs(keys: Mapping[str, TomlValue]) -> Iterator[str]:
    for key, value in keys.items():
        yield f"{key} = {_value(value)}"


def _value(value: TomlValue) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    items = [_string(item) for item in value]
    on_one_line = f"[{', '.join(items)}]"
    if len(on_one_line) <= _WIDTH:
        return on_one_line
    return "".join(["[\n", *(f"    {item},\n" for item in items), "  ]"])


def _string(text: str) -> str:
    """Write a TOML string: as JSON does, but for DEL, and for halves of characters, which no file can hold."""
    whole = text.encode("utf-8", errors="replace").decode("utf-8")
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(sentence: str) -> str:
    whole = sentence.encode("utf-8", errors="replace").decode("utf-8")
    return "# " + " ".join("".join(letter if letter.isprintable() else " " for letter in whole).split())
