"""`contract`: the published contract, as files."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What a folder or file is, in the order of the list.
_TITLES = {
    "CONTRACT.md": "the contract in words",
    "asyncapi.json": "streams, event types and schemas as one AsyncAPI 3 document",
    "schemas/": "a JSON Schema of each event type's data, and of the metadata",
    "quantities.json": "what is measured: ids, units, symbols, ranges",
    "examples/": "an event of each type",
    "stories/": "sequences of events, and the view that a read model must come to",
    "read_model.py": "a read model in SQLite, as CONTRACT.md prints it",
    "read_model.sql": "its tables",
    "producer.py": "a producer of configurations, as CONTRACT.md prints it",
    "rights.json": "who needs which right on which stream",
    "grant.py": "sets these rights",
}


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write every file below this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def contract(out: Path | None, *, as_json: bool) -> None:
    """List what is published for services that read or write the streams; with --out, write it.

    Files that are there already are overwritten. Exit codes: 0 done, 1 the folder cannot be written.
    """
    from edge.contract.published import published

    files = published()
    if out is not None:
        try:
            _write(files, out)
        except OSError as error:
            click.echo(error, err=True)
            sys.exit(EXIT_FAILED)
    click.echo(_record(files, out) if as_json else "\n".join(_lines(files, out)))


def _write(files: "Mapping[str, str]", folder: Path) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _record(files: "Mapping[str, str]", out: Path | None) -> str:
    from edge.contract.asyncapi import channels
    from edge.domain.event import SCHEMA_VERSION

    types = {
        event_type.value: {
            "stream": channel.address,
            "schema": f"schemas/{event_type}.v{SCHEMA_VERSION}.json",
            "example": f"examples/{event_type}.json",
        }
        for channel in channels()
        for event_type in channel.types
    }
    folder = None if out is None else str(out)
    return json.dumps(
        {"schemaVersion": SCHEMA_VERSION, "out": folder, "types": types, "files": sorted(files)},
        indent=2,
        ensure_ascii=False,
    )


def _lines(files: "Mapping[str, str]", out: Path | None) -> "Iterable[str]":
    width = max(map(len, _TITLES))
    for name, title in _TITLES.items():
        count = sum(path.startswith(name) for path in files) if name.endswith("/") else 1
        yield f"{name:<{width}}  {title}" + (f" ({count})" if name.endswith("/") else "")
    yield ""
    yield f"{len(files)} files" + (" with --out FOLDER" if out is None else f" written to {out}")
